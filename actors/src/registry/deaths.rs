//! Decides when an actor that died may be started again.
//!
//! Pure: no actor, no clock. The first death in a while costs nothing, so that one poisonous message does not take the
//! next request with it; further ones rest for 100 ms, 200 ms, … up to 30 s.

use std::time::Duration;

use tokio::time::Instant;

const REST_FIRST: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(30);
/// A life of this length forgives all earlier deaths.
pub(super) const FORGIVE_AFTER: Duration = Duration::from_secs(60);

/// The recent deaths of the actors of one key.
#[derive(Clone, Copy, Debug)]
pub struct Deaths {
    count: u32,
    last_at: Instant,
}

impl Deaths {
    /// The first death.
    pub(super) fn first(now: Instant) -> Deaths {
        Deaths {
            count: 1,
            last_at: now,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, now: Instant) {
        *self = if self.is_forgiven(now) {
            Deaths::first(now)
        } else {
            Deaths {
                count: self.count.saturating_add(1),
                last_at: now,
            }
        };
    }

    /// How many there were lately.
    pub fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn is_forgiven(&self, now: Instant) -> bool {
        now.duration_since(self.last_at) >= FORGIVE_AFTER
    }

    /// How long a new actor must still wait; `None` if it may start.
    pub(super) fn rest_left(&self, now: Instant) -> Option<Duration> {
        let rest_until = self.last_at + self.rest();
        (now < rest_until).then(|| rest_until - now)
    }

    pub(super) fn rest(&self) -> Duration {
        match self.count {
            0 | 1 => Duration::ZERO,
            count => REST_FIRST
                .saturating_mul(1 << (count - 2).min(16))
                .min(REST_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_costs_nothing_and_further_ones_rest_longer() {
        let now = Instant::now();
        let mut deaths = Deaths::first(now);
        assert_eq!(deaths.rest_left(now), None);
        deaths.add(now);
        assert_eq!(deaths.rest_left(now), Some(Duration::from_millis(100)));
        deaths.add(now);
        assert_eq!(deaths.rest_left(now), Some(Duration::from_millis(200)));
        for _ in 0..40 {
            deaths.add(now);
        }
        assert_eq!(deaths.rest_left(now), Some(REST_MAX));
    }

    #[test]
    fn a_quiet_minute_forgives() {
        let now = Instant::now();
        let mut deaths = Deaths::first(now);
        deaths.add(now);
        deaths.add(now + FORGIVE_AFTER);
        assert_eq!(deaths.count(), 1);
    }
}
