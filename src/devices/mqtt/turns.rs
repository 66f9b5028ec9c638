//! The order in which publishes are answered: that in which they came, whatever is settled first.

use std::collections::VecDeque;

use super::packet::Sureness;

/// Publishes that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The turn of the first that waits.
    first: u64,
    waiting: VecDeque<(Sureness, Option<Outcome>)>,
}

/// Which publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn(u64);

/// What came of a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is durable, or handed over.
    Done,
    /// It is not a topic of the device.
    Foreign,
    /// It will never be taken as it is.
    Refused {
        /// Why, for programs.
        code: &'static str,
        /// Why, for people.
        message: String,
    },
}

impl Turns {
    /// A publish came.
    pub(super) fn enter(&mut self, sureness: Sureness) -> Turn {
        self.waiting.push_back((sureness, None));
        Turn(self.first + self.waiting.len() as u64 - 1)
    }

    /// It is known what came of it.
    pub(super) fn settle(&mut self, turn: Turn, outcome: Outcome) {
        let place = turn
            .0
            .checked_sub(self.first)
            .and_then(|index| self.waiting.get_mut(usize::try_from(index).ok()?));
        if let Some((_, known)) = place {
            *known = Some(outcome);
        }
    }

    /// The next one to answer, if it is known what to answer.
    pub(super) fn next(&mut self) -> Option<(Sureness, Outcome)> {
        let outcome = self.waiting.front_mut()?.1.take()?;
        let (sureness, _) = self.waiting.pop_front()?;
        self.first += 1;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some((sureness, outcome))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn id(number: u16) -> Sureness {
        Sureness::Puback(NonZeroU16::new(number).unwrap())
    }

    #[test]
    fn what_is_settled_first_waits_for_what_came_before_it() {
        let mut turns = Turns::default();
        let (first, second) = (turns.enter(id(1)), turns.enter(id(2)));
        turns.settle(second, Outcome::Foreign);
        assert_eq!(turns.next(), None);
        turns.settle(first, Outcome::Done);
        assert_eq!(turns.next(), Some((id(1), Outcome::Done)));
        assert_eq!(turns.next(), Some((id(2), Outcome::Foreign)));
        assert_eq!(turns.next(), None);
        let third = turns.enter(id(3));
        turns.settle(first, Outcome::Foreign);
        assert_eq!(turns.next(), None);
        turns.settle(third, Outcome::Done);
        assert_eq!(turns.next(), Some((id(3), Outcome::Done)));
    }
}
