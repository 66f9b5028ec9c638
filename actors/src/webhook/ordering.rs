//! Events with the same ordering key go one at a time, in order.
//!
//! Pure. What has to wait is kept here; other keys, and events without one, flow past.

use std::collections::{HashMap, VecDeque};

use domain::position::Position;

/// One lane for each key with something on its way.
#[derive(Debug)]
pub(super) struct Lanes<P> {
    by_key: HashMap<Box<str>, Lane<P>>,
    blocked: usize,
}

#[derive(Debug)]
struct Lane<P> {
    /// What is on its way: one, or more if they were under way before order was asked for.
    active: Vec<Position>,
    waiting: VecDeque<(Position, P)>,
}

impl<P> Default for Lanes<P> {
    fn default() -> Lanes<P> {
        Lanes {
            by_key: HashMap::new(),
            blocked: 0,
        }
    }
}

impl<P> Default for Lane<P> {
    fn default() -> Lane<P> {
        Lane {
            active: Vec::new(),
            waiting: VecDeque::new(),
        }
    }
}

impl<P> Lanes<P> {
    /// Puts a delivery into its lane. Answers it back if it may go now, as it may if it holds the lane; else it waits here.
    pub(super) fn enter(&mut self, key: &str, position: Position, parcel: P) -> Option<P> {
        let lane = self.lane(key);
        if lane.active.is_empty() {
            lane.active.push(position);
        }
        if lane.active.contains(&position) {
            return Some(parcel);
        }
        lane.waiting.push_back((position, parcel));
        self.blocked += 1;
        None
    }

    /// Holds a lane for a delivery that waits for another attempt elsewhere.
    pub(super) fn hold(&mut self, key: &str, position: Position) {
        self.lane(key).active.push(position);
    }

    /// Takes a delivery that is settled out of its lane, and answers the one that may go next.
    pub(super) fn leave(&mut self, key: &str, position: Position) -> Option<P> {
        let lane = self.by_key.get_mut(key)?;
        lane.active.retain(|active| *active != position);
        if !lane.active.is_empty() {
            return None;
        }
        let Some((next, parcel)) = lane.waiting.pop_front() else {
            self.by_key.remove(key);
            return None;
        };
        lane.active.push(next);
        self.blocked -= 1;
        Some(parcel)
    }

    /// Takes a delivery out whose event is no longer kept, so that nobody knows its key. Answers the one that may go next.
    pub(super) fn forget(&mut self, position: Position) -> Option<P> {
        let mut lanes = self.by_key.iter();
        let key = lanes.find_map(|(key, lane)| lane.active.contains(&position).then_some(key))?;
        let key = key.clone();
        self.leave(&key, position)
    }

    /// How many wait behind others.
    pub(super) fn blocked(&self) -> usize {
        self.blocked
    }

    fn lane(&mut self, key: &str) -> &mut Lane<P> {
        if !self.by_key.contains_key(key) {
            self.by_key.insert(key.into(), Lane::default());
        }
        self.by_key.get_mut(key).expect("put in above")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    #[test]
    fn one_key_goes_in_order_and_others_flow() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter("a", at(1), 1), Some(1));
        assert_eq!(lanes.enter("a", at(1), 1), Some(1));
        assert_eq!(lanes.enter("a", at(2), 2), None);
        assert_eq!(lanes.enter("b", at(3), 3), Some(3));
        assert_eq!(lanes.enter("a", at(4), 4), None);
        assert_eq!(lanes.blocked(), 2);
        assert_eq!(lanes.leave("b", at(3)), None);
        assert_eq!(lanes.leave("a", at(1)), Some(2));
        assert_eq!(lanes.leave("a", at(2)), Some(4));
        assert_eq!(lanes.leave("a", at(4)), None);
        assert_eq!((lanes.blocked(), lanes.by_key.len()), (0, 0));
    }

    #[test]
    fn a_lane_that_is_held_is_free_when_all_that_hold_it_have_left() {
        let mut lanes = Lanes::default();
        lanes.hold("a", at(1));
        lanes.hold("a", at(2));
        assert_eq!(lanes.enter("a", at(3), 3), None);
        assert_eq!(lanes.leave("a", at(2)), None);
        assert_eq!(lanes.leave("a", at(1)), Some(3));
    }

    #[test]
    fn leaving_a_lane_that_one_was_never_in_frees_nobody() {
        let mut lanes = Lanes::default();
        lanes.enter("a", at(1), 1);
        lanes.enter("a", at(2), 2);
        assert_eq!(lanes.leave("a", at(9)), None);
        assert_eq!(lanes.leave("b", at(1)), None);
        assert_eq!(lanes.blocked(), 1);
    }

    #[test]
    fn what_is_no_longer_kept_leaves_its_lane_to_the_next() {
        let mut lanes = Lanes::default();
        lanes.hold("a", at(1));
        assert_eq!(lanes.enter("a", at(2), 2), None);
        assert_eq!(lanes.forget(at(9)), None);
        assert_eq!(lanes.forget(at(1)), Some(2));
        assert_eq!(lanes.blocked(), 0);
    }

    proptest! {
        #[test]
        fn each_key_goes_one_at_a_time_and_in_order(
            steps in proptest::collection::vec((0_u8..4, any::<bool>()), 1..100),
        ) {
            let mut lanes = Lanes::default();
            let mut gone: HashMap<String, Vec<u64>> = HashMap::new();
            let mut active: HashMap<String, u64> = HashMap::new();
            for (number, (key, is_settled)) in steps.iter().enumerate() {
                let (number, key) = (number as u64 + 1, key.to_string());
                if let Some(sent) = lanes.enter(&key, at(number), number) {
                    prop_assert_eq!(active.insert(key.clone(), sent), None);
                    gone.entry(key.clone()).or_default().push(sent);
                }
                if *is_settled && let Some(settled) = active.remove(&key)
                    && let Some(next) = lanes.leave(&key, at(settled))
                {
                    active.insert(key.clone(), next);
                    gone.entry(key).or_default().push(next);
                }
            }
            for sent in gone.values() {
                prop_assert!(sent.is_sorted());
            }
        }
    }
}
