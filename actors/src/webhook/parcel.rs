//! One delivery on its way through the actor: what is sent, how often it was tried, and on what errand.
//!
//! Decides nothing.

use std::sync::Arc;

use domain::{event::Event, ids::ReplayId, position::Position, time::Timestamp};

use crate::feed::Frame;

/// A delivery that is to be attempted, or is being attempted.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    /// What is sent.
    pub(super) frame: Arc<Frame>,
    /// How often it was tried.
    pub(super) tries: Tries,
    /// Why it is sent.
    pub(super) errand: Errand,
}

/// How often a delivery was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tries {
    /// Attempts that were made.
    pub(super) made: u32,
    /// Those of them that were made before the schedule began anew, as it does when a dead letter is replayed.
    pub(super) before_round: u32,
}

/// Why a delivery is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// The event is new.
    Live,
    /// An earlier attempt failed, and this one was due at this moment.
    Retry(Timestamp),
    /// A replay came by it.
    Replay(ReplayId),
}

impl Parcel {
    /// A delivery of an event that is new.
    pub(super) fn live(frame: Arc<Frame>) -> Parcel {
        Parcel {
            frame,
            tries: Tries::default(),
            errand: Errand::Live,
        }
    }

    /// The event.
    pub(super) fn event(&self) -> &Event {
        &self.frame.event
    }

    /// The event's place in the log, which names the delivery within its webhook.
    pub(super) fn position(&self) -> Position {
        self.frame.event.position
    }

    /// What it is ordered by, for webhooks that ask for order.
    pub(super) fn ordering_key(&self) -> Option<&str> {
        self.frame.event.fields.ordering_key.as_deref()
    }
}

impl Tries {
    /// A delivery that has failed `made` times and whose schedule begins anew.
    pub(super) fn anew(made: u32) -> Tries {
        Tries {
            made,
            before_round: made,
        }
    }

    /// What a stored number of attempts means under a schedule of `attempts_max`: the store does not keep where a round
    /// began, and all rounds but the last one went to their end.
    pub(super) fn stored(made: u32, attempts_max: u32) -> Tries {
        Tries {
            made,
            before_round: made - made % attempts_max.max(1),
        }
    }

    /// The number of the attempt that comes next.
    pub(super) fn next(self) -> u32 {
        self.made.saturating_add(1)
    }

    /// The number of the attempt that comes next, within the present round of the schedule.
    pub(super) fn next_of_round(self) -> u32 {
        self.next().saturating_sub(self.before_round)
    }

    /// After one more attempt.
    pub(super) fn and_one(self) -> Tries {
        Tries {
            made: self.next(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_that_begins_anew_counts_its_own_attempts() {
        let tries = Tries::anew(5);
        assert_eq!((tries.next(), tries.next_of_round()), (6, 1));
        assert_eq!(tries.and_one().next_of_round(), 2);
    }

    #[test]
    fn a_stored_count_lies_in_the_last_round() {
        assert_eq!(Tries::stored(3, 5).next_of_round(), 4);
        assert_eq!(Tries::stored(5, 5).next_of_round(), 1);
        assert_eq!(Tries::stored(7, 5).next_of_round(), 3);
    }
}
