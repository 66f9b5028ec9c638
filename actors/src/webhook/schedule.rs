//! When deliveries that failed are due again.
//!
//! Pure. Keeps the soonest ones in memory; the store has all of them, and [`Schedule::wants_more`] says when to ask it.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::{position::Position, time::Timestamp};
use store::log::Exception;

use super::parcel::Tries;

/// Deliveries that are kept in memory while they wait.
pub(super) const KEPT_MAX: usize = 1_000;

/// A delivery that waits for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// Of which event.
    pub(super) position: Position,
    /// How often it was tried.
    pub(super) tries: Tries,
    /// When it is tried again.
    pub(super) due: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    by_due: BTreeMap<(Timestamp, Position), Tries>,
    /// When each of them is due: a delivery stands here once, whenever the store believes that it is due.
    due_of: HashMap<Position, Timestamp>,
    /// Whether the store has some that are due later than all that are kept.
    has_more: bool,
    /// Positions that were added or removed while the store was asked: its answer knows less of them.
    touched: Option<HashSet<Position>>,
}

impl Schedule {
    /// Adds a delivery, which is in the store already. Should it be kept already, what is said now counts.
    pub(super) fn add(&mut self, retry: Retry) {
        let due = retry.due;
        self.remove(retry.position);
        let last = self.by_due.last_key_value().map(|((due, _), _)| *due);
        // An answer that is on its way may know nothing of this one, so it is kept until then, wherever it belongs.
        let is_asking = self.touched.is_some();
        if self.has_more && !is_asking && last.is_none_or(|last| due > last) {
            return;
        }
        self.by_due.insert((due, retry.position), retry.tries);
        self.due_of.insert(retry.position, due);
        if !is_asking {
            self.trim();
        }
    }

    /// Takes out what is due, soonest first, at most `limit`.
    pub(super) fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Retry> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(first) = self.by_due.first_entry()
            && first.key().0 <= now
        {
            let ((due, position), tries) = first.remove_entry();
            self.due_of.remove(&position);
            self.touch(position);
            taken.push(Retry {
                position,
                tries,
                due,
            });
        }
        taken
    }

    /// Takes out one delivery, whenever it is due. Answers whether it was kept.
    pub(super) fn remove(&mut self, position: Position) -> bool {
        self.touch(position);
        let found = self.due_of.remove(&position);
        found.is_some_and(|due| self.by_due.remove(&(due, position)).is_some())
    }

    /// When the soonest is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first_key_value().map(|((due, _), _)| *due)
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.by_due.len()
    }

    /// Whether nothing waits, here or in the store.
    pub(super) fn is_empty(&self) -> bool {
        self.by_due.is_empty() && !self.has_more
    }

    /// Whether the store is to be asked for more.
    pub(super) fn wants_more(&self) -> bool {
        self.has_more && self.by_due.len() < KEPT_MAX / 4 && self.touched.is_none()
    }

    /// Notes that the store is being asked.
    pub(super) fn asking(&mut self) {
        self.touched = Some(HashSet::new());
    }

    /// Notes that the store did not answer.
    pub(super) fn not_answered(&mut self) {
        self.touched = None;
    }

    /// Takes over what the store answered to a question for [`KEPT_MAX`] of them. `is_elsewhere` says which ones are on
    /// their way; `attempts_max` is that of the schedule.
    pub(super) fn answered(
        &mut self,
        exceptions: &[Exception],
        attempts_max: u32,
        is_elsewhere: impl Fn(Position) -> bool,
    ) {
        let touched = self.touched.take().unwrap_or_default();
        for exception in exceptions {
            let position = exception.position;
            // What is kept already keeps what it knows of its round, and of when it is due.
            let is_kept = self.due_of.contains_key(&position);
            if !is_kept && !touched.contains(&position) && !is_elsewhere(position) {
                let tries = Tries::stored(exception.attempts, attempts_max);
                self.by_due.insert((exception.at, position), tries);
                self.due_of.insert(position, exception.at);
            }
        }
        self.has_more = exceptions.len() >= KEPT_MAX;
        self.trim();
    }

    fn trim(&mut self) {
        while self.by_due.len() > KEPT_MAX {
            if let Some(((_, position), _)) = self.by_due.pop_last() {
                self.due_of.remove(&position);
            }
            self.has_more = true;
        }
    }

    fn touch(&mut self, position: Position) {
        if let Some(touched) = &mut self.touched {
            touched.insert(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use store::log::{DeliveryState, WebhookNo};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn retry(position: u64, due: i64) -> Retry {
        Retry {
            position: Position::new(position),
            tries: Tries::default(),
            due: at(due),
        }
    }

    fn stored(position: u64, due: i64) -> Exception {
        Exception {
            webhook: WebhookNo(1),
            position: Position::new(position),
            state: DeliveryState::Retrying,
            attempts: 1,
            at: at(due),
            last_status: None,
            last_error: None,
        }
    }

    fn positions(retries: &[Retry]) -> Vec<u64> {
        retries.iter().map(|retry| retry.position.get()).collect()
    }

    #[test]
    fn the_soonest_comes_first_and_nothing_comes_early() {
        let mut schedule = Schedule::default();
        schedule.add(retry(1, 5));
        schedule.add(retry(2, 3));
        schedule.add(retry(3, 9));
        assert_eq!(schedule.next_due(), Some(at(3)));
        assert_eq!(positions(&schedule.take_due(at(5), 9)), [2, 1]);
        assert!(schedule.take_due(at(8), 9).is_empty());
        assert!(!schedule.is_empty());
        assert_eq!(positions(&schedule.take_due(at(9), 9)), [3]);
        assert!(schedule.is_empty());
    }

    #[test]
    fn what_does_not_fit_stays_in_the_store_and_is_fetched_from_there() {
        let mut schedule = Schedule::default();
        let count = KEPT_MAX as u64 + 5;
        for position in 1..=count {
            schedule.add(retry(position, i64::try_from(position).unwrap()));
        }
        assert_eq!(schedule.len(), KEPT_MAX);
        let taken = schedule.take_due(at(10_000), usize::MAX);
        assert_eq!(taken.len(), KEPT_MAX);
        assert!(schedule.wants_more() && !schedule.is_empty());
        schedule.asking();
        assert!(!schedule.wants_more());
        let rest: Vec<_> = (KEPT_MAX as u64 + 1..=count)
            .map(|p| stored(p, 1))
            .collect();
        schedule.answered(&rest, 5, |_| false);
        assert_eq!(schedule.take_due(at(1), usize::MAX).len(), 5);
        assert!(schedule.is_empty());
    }

    #[test]
    fn an_answer_brings_back_nothing_that_was_taken_meanwhile() {
        let mut schedule = Schedule::default();
        schedule.add(retry(1, 1));
        schedule.asking();
        assert_eq!(schedule.take_due(at(1), 1).len(), 1);
        schedule.answered(&[stored(1, 1), stored(2, 1), stored(3, 1)], 5, |position| {
            position == Position::new(3)
        });
        assert_eq!(positions(&schedule.take_due(at(1), 9)), [2]);
    }

    #[test]
    fn one_that_is_added_while_the_store_is_asked_is_not_lost() {
        let mut schedule = Schedule {
            has_more: true,
            ..Schedule::default()
        };
        schedule.asking();
        schedule.add(retry(1, 9));
        schedule.answered(&[stored(2, 1)], 5, |_| false);
        assert_eq!(positions(&schedule.take_due(at(9), 9)), [2, 1]);
        assert!(schedule.is_empty());
    }

    #[test]
    fn one_that_is_due_after_all_that_are_kept_waits_in_the_store_with_the_others() {
        let mut schedule = Schedule {
            has_more: true,
            ..Schedule::default()
        };
        schedule.add(retry(1, 1));
        assert_eq!(schedule.len(), 0);
        assert!(schedule.wants_more());
    }

    #[test]
    fn a_delivery_stands_once_whenever_it_is_said_to_be_due() {
        let mut schedule = Schedule::default();
        schedule.add(retry(1, 5));
        schedule.asking();
        // The store believes in another time than what is kept.
        schedule.answered(&[stored(1, 2), stored(2, 3)], 5, |_| false);
        assert_eq!((schedule.len(), schedule.next_due()), (2, Some(at(3))));
        schedule.add(retry(2, 4));
        assert_eq!((schedule.len(), schedule.next_due()), (2, Some(at(4))));
        let taken = schedule.take_due(at(9), 9);
        assert_eq!(positions(&taken), [2, 1]);
        assert_eq!(taken[0].due, at(4));
        assert!(schedule.is_empty() && schedule.due_of.is_empty());
    }

    #[test]
    fn what_is_put_back_as_it_was_taken_is_removed_whole() {
        let mut schedule = Schedule::default();
        schedule.add(retry(1, 1));
        for retry in schedule.take_due(at(7), 9) {
            schedule.add(retry);
        }
        schedule.asking();
        schedule.not_answered();
        schedule.answered(&[stored(1, 1)], 5, |_| false);
        assert!(schedule.remove(Position::new(1)));
        assert!(!schedule.remove(Position::new(1)));
        assert!(schedule.is_empty());
    }
}
