//! By which moment something has to be begun, between nodes whose clocks show different times.
//!
//! A node reads its own clock out in everything that it answers. Whoever asks it names the latest moment for its request by
//! that clock, so that a request which waited somewhere on its way, however long, is told from one that did not. All that is
//! relied on is that two clocks run equally fast for a minute. Pure: the time comes in as an argument.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How long what another clock showed is reckoned on.
const RECKONED_FOR: Duration = Duration::from_secs(60);
/// Clocks that are remembered.
const CLOCKS_MAX: usize = 4_096;

/// A moment by one node's clock, which began to run with its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// This node's clock.
#[derive(Debug)]
pub(super) struct Clock {
    began_at: Instant,
}

/// What is known of the clocks of others.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    by_node: Mutex<HashMap<String, Heard>>,
}

/// What a clock showed, at the latest when that was heard.
#[derive(Clone, Copy, Debug)]
struct Heard {
    moment: Moment,
    at: Instant,
}

impl Moment {
    /// A moment so many microseconds after the clock began.
    pub(super) fn from_micros(micros: u64) -> Moment {
        Moment(micros)
    }

    /// The microseconds since the clock began.
    pub(super) fn micros(self) -> u64 {
        self.0
    }

    fn plus(self, time: Duration) -> Moment {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(micros))
    }
}

impl Clock {
    /// One that begins now.
    pub(super) fn begin(now: Instant) -> Clock {
        Clock { began_at: now }
    }

    /// What it shows.
    pub(super) fn read(&self, now: Instant) -> Moment {
        Moment(0).plus(now.saturating_duration_since(self.began_at))
    }
}

impl Clocks {
    /// A node's clock showed this before now.
    pub(super) fn hear(&self, node: &str, moment: Moment, now: Instant) {
        let mut clocks = self.by_node.lock();
        let heard = Heard { moment, at: now };
        if let Some(known) = clocks.get_mut(node) {
            // Of two that took differently long on their way, the quicker one tells more.
            if !known.is_good(now) || moment > known.at_least(now) {
                *known = heard;
            }
            return;
        }
        if clocks.len() >= CLOCKS_MAX {
            clocks.retain(|_, known| known.is_good(now));
        }
        if clocks.len() >= CLOCKS_MAX {
            clocks.clear();
        }
        clocks.insert(node.to_owned(), heard);
    }

    /// What a node's clock shows at `when` at the earliest: if it shows no more, `when` has not passed. `None` if nothing was
    /// heard of it lately.
    pub(super) fn at(&self, node: &str, when: Instant, now: Instant) -> Option<Moment> {
        let clocks = self.by_node.lock();
        let known = clocks.get(node).filter(|known| known.is_good(now))?;
        Some(known.at_least(when))
    }
}

impl Heard {
    fn is_good(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < RECKONED_FOR
    }

    fn at_least(&self, when: Instant) -> Moment {
        self.moment.plus(when.saturating_duration_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    proptest! {
        /// Whatever the way of each answer took, and however far the clocks are apart: as long as the other clock does not
        /// show more than the moment that was named, the moment that was meant has not come here.
        #[test]
        fn what_is_not_late_there_is_not_late_here(
            apart in 0_u64..1_000_000,
            answers in proptest::collection::vec((0_u64..5_000, 0_u64..3_000), 1..20),
            patience in 0_u64..5_000,
            arrives_after in 0_u64..20_000,
        ) {
            let there = Instant::now();
            let start = there + millis(apart);
            let (clock, clocks) = (Clock::begin(there), Clocks::default());
            let mut now = start;
            for (pause, way) in answers {
                let read = clock.read(now + millis(pause));
                now += millis(pause + way);
                clocks.hear("b", read, now);
            }
            let meant = now + millis(patience);
            let named = clocks.at("b", meant, now).unwrap();
            let arrives = now + millis(arrives_after);
            prop_assert!(clock.read(arrives) > named || arrives <= meant);
        }
    }

    #[test]
    fn an_answer_that_was_long_on_its_way_does_not_spoil_what_a_quick_one_told() {
        let now = Instant::now();
        let (clock, clocks) = (Clock::begin(now), Clocks::default());
        clocks.hear("b", clock.read(now), now);
        let slow = now + millis(900);
        clocks.hear("b", clock.read(now + millis(100)), slow);
        assert_eq!(clocks.at("b", slow, slow), Some(clock.read(slow)));
    }

    #[test]
    fn a_clock_that_was_not_heard_for_a_minute_is_asked_again() {
        let now = Instant::now();
        let clocks = Clocks::default();
        assert_eq!(clocks.at("b", now, now), None);
        clocks.hear("b", Moment(0), now);
        assert!(
            clocks
                .at("b", now, now + RECKONED_FOR - millis(1))
                .is_some()
        );
        let late = now + RECKONED_FOR;
        assert_eq!(clocks.at("b", late, late), None);
        // What is heard then counts, although it looks like less: the two may run at different speeds.
        clocks.hear("b", Moment(7), late);
        assert_eq!(clocks.at("b", late, late), Some(Moment(7)));
    }

    #[test]
    fn no_number_of_nodes_fills_the_memory() {
        let now = Instant::now();
        let clocks = Clocks::default();
        for number in 0..2 * CLOCKS_MAX {
            clocks.hear(&number.to_string(), Moment(1), now);
        }
        assert!(clocks.by_node.lock().len() <= CLOCKS_MAX);
    }
}
