//! What is on its way, what is settled, and the cursor that follows from it.
//!
//! Pure. A slot is taken from the moment a delivery is chosen until its outcome is on disk: so a process that is killed
//! leaves no more deliveries to be made twice than there are slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::position::Position;

use super::parcel::Errand;

/// See the module.
#[derive(Debug)]
pub(super) struct Slots {
    /// Every event up to here has been looked at.
    read_to: Position,
    /// Events for the webhook up to there whose outcome is not on disk.
    open: BTreeMap<Position, Open>,
    taken: HashMap<Position, Errand>,
    taken_by_replays: usize,
    /// What was found settled beyond the cursor when the actor started.
    settled_ahead: BTreeSet<Position>,
}

/// How far an open delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It has no outcome yet.
    Waiting,
    /// Its outcome is part of the next write, or of the one that is on its way.
    Settling,
}

impl Slots {
    /// Everything up to `cursor` is settled, and what stands in `settled_ahead` beyond it.
    pub(super) fn new(
        cursor: Position,
        settled_ahead: impl IntoIterator<Item = Position>,
    ) -> Slots {
        Slots {
            read_to: cursor,
            open: BTreeMap::new(),
            taken: HashMap::new(),
            taken_by_replays: 0,
            settled_ahead: settled_ahead
                .into_iter()
                .filter(|position| *position > cursor)
                .collect(),
        }
    }

    /// Every event up to here has been looked at.
    pub(super) fn read_to(&self) -> Position {
        self.read_to
    }

    /// Notes that there is nothing more to look at up to `position`.
    pub(super) fn move_to(&mut self, position: Position) {
        if position > self.read_to {
            self.read_to = position;
            self.settled_ahead = self.settled_ahead.split_off(&position.next());
        }
    }

    /// Notes an event for the webhook that has just been looked at. Answers whether it is to be delivered: it may have been
    /// settled before the actor started.
    pub(super) fn open(&mut self, position: Position) -> bool {
        if position <= self.read_to || self.settled_ahead.contains(&position) {
            return false;
        }
        self.open.insert(position, Open::Waiting);
        true
    }

    /// Whether the event's first outcome is still owed.
    pub(super) fn is_open(&self, position: Position) -> bool {
        self.open.contains_key(&position)
    }

    /// Takes a slot.
    pub(super) fn take(&mut self, position: Position, errand: Errand) {
        let previous = self.taken.insert(position, errand);
        debug_assert!(previous.is_none(), "one slot a position");
        self.taken_by_replays += usize::from(matches!(errand, Errand::Replay(_)));
    }

    /// Whether a slot is taken for the event.
    pub(super) fn is_taken(&self, position: Position) -> bool {
        self.taken.contains_key(&position)
    }

    /// Frees the slot of a delivery that was not sent after all.
    pub(super) fn give_back(&mut self, position: Position) {
        if let Some(Errand::Replay(_)) = self.taken.remove(&position) {
            self.taken_by_replays -= 1;
        }
    }

    /// Notes that the outcome of the event will be part of the next write.
    pub(super) fn settling(&mut self, position: Position) {
        if let Some(open) = self.open.get_mut(&position) {
            *open = Open::Settling;
        }
    }

    /// Notes that the outcome of the event is on disk.
    pub(super) fn settled(&mut self, position: Position) {
        self.open.remove(&position);
        self.give_back(position);
    }

    /// How many slots are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }

    /// How many of them replays have taken.
    pub(super) fn taken_by_replays(&self) -> usize {
        self.taken_by_replays
    }

    /// The highest position below which everything is settled once the next write is on disk.
    pub(super) fn cursor(&self) -> Position {
        self.open
            .iter()
            .find(|(_, open)| **open == Open::Waiting)
            .map_or(self.read_to, |(position, _)| position.prev())
    }

    /// The highest position below which everything is settled, on disk, already.
    pub(super) fn cursor_on_disk(&self) -> Position {
        self.open
            .first_key_value()
            .map_or(self.read_to, |(position, _)| position.prev())
    }

    /// Whether nothing is on its way and everything that was looked at is settled, on disk.
    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty() && self.taken.is_empty()
    }

    /// How far beyond the first open event the log has been looked at.
    pub(super) fn span(&self) -> u64 {
        self.open
            .first_key_value()
            .map_or(0, |(first, _)| self.read_to.get() - first.get())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    fn look_at(slots: &mut Slots, position: u64) -> bool {
        let is_for_it = slots.open(at(position));
        slots.move_to(at(position));
        is_for_it
    }

    #[test]
    fn the_cursor_stops_before_the_first_event_without_an_outcome() {
        let mut slots = Slots::new(at(10), []);
        for position in [11, 13, 17] {
            assert!(look_at(&mut slots, position));
        }
        assert_eq!(slots.cursor(), at(10));
        slots.settling(at(13));
        assert_eq!(slots.cursor(), at(10));
        slots.settling(at(11));
        assert_eq!(slots.cursor(), at(16));
        assert_eq!(slots.cursor_on_disk(), at(10));
        slots.settled(at(11));
        slots.settled(at(13));
        assert_eq!(slots.cursor_on_disk(), at(16));
        assert_eq!(slots.cursor(), at(16));
        slots.settling(at(17));
        assert_eq!(slots.cursor(), at(17));
    }

    #[test]
    fn what_does_not_concern_the_webhook_does_not_hold_the_cursor() {
        let mut slots = Slots::new(at(0), []);
        slots.move_to(at(90));
        assert_eq!(slots.cursor(), at(90));
        assert!(slots.is_at_rest());
    }

    #[test]
    fn what_was_settled_before_the_start_is_not_delivered_again() {
        let mut slots = Slots::new(at(10), [at(9), at(12)]);
        assert!(look_at(&mut slots, 11));
        assert!(!look_at(&mut slots, 12));
        assert!(look_at(&mut slots, 13));
        assert!(!slots.open(at(12)));
    }

    #[test]
    fn a_slot_is_free_when_the_outcome_is_on_disk() {
        let mut slots = Slots::new(at(0), []);
        look_at(&mut slots, 1);
        slots.take(at(1), Errand::Live);
        slots.settling(at(1));
        assert_eq!(slots.taken(), 1);
        slots.settled(at(1));
        assert_eq!(slots.taken(), 0);
        assert!(slots.is_at_rest());
    }

    proptest! {
        #[test]
        fn in_whatever_order_outcomes_come_the_cursor_passes_no_event_that_is_not_settled(
            is_for_it in proptest::collection::vec(any::<bool>(), 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
            on_disk in proptest::collection::vec(any::<bool>(), 80),
        ) {
            let mut slots = Slots::new(Position::ZERO, []);
            let mut unsettled = BTreeSet::new();
            for (index, is_for_it) in is_for_it.iter().enumerate() {
                let position = at(index as u64 + 1);
                if *is_for_it {
                    prop_assert!(slots.open(position));
                    slots.take(position, Errand::Live);
                    unsettled.insert(position);
                }
                slots.move_to(position);
            }
            let mut last = slots.cursor();
            for (index, is_on_disk) in order.iter().zip(on_disk) {
                if unsettled.is_empty() {
                    break;
                }
                let position = *unsettled.iter().nth(index.index(unsettled.len())).unwrap();
                unsettled.remove(&position);
                slots.settling(position);
                if is_on_disk {
                    slots.settled(position);
                }
                let cursor = slots.cursor();
                prop_assert!(unsettled.first().is_none_or(|first| cursor < *first));
                prop_assert!(cursor >= last);
                last = cursor;
            }
            if unsettled.is_empty() {
                prop_assert_eq!(slots.cursor(), at(is_for_it.len() as u64));
            }
        }
    }
}
