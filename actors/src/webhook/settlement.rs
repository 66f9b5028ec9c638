//! Outcomes that wait to be written, together.
//!
//! Pure. While one write is on its way the next one gathers here; what follows from an outcome follows when it is on disk.

use domain::{ids::ReplayId, position::Position};
use store::log::{Attempt, DeliveryState, Exception, WebhookNo};

use super::{
    outcome::Fate,
    parcel::{Errand, Parcel},
    schedule::Retry,
};
use crate::registry::Reply;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    pub(super) attempts: Vec<Attempt>,
    pub(super) exceptions: Vec<Exception>,
    pub(super) cleared: Vec<Position>,
    pub(super) ends: Vec<End>,
    /// Whom to answer when all this is on disk.
    pub(super) replies: Vec<Reply<()>>,
    /// Whether there is something to write that is none of the above: the breaker, or a replay.
    pub(super) is_due: bool,
}

/// What happens when an outcome is on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Whose slot is free then.
    pub(super) position: Position,
    /// That it is tried again, and when.
    pub(super) again: Option<Retry>,
    /// Which replay has made one more delivery, and whether it failed.
    pub(super) replay: Option<(ReplayId, bool)>,
}

impl Settlement {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_due && self.ends.is_empty() && self.cleared.is_empty() && self.replies.is_empty()
    }

    /// Whether it holds an outcome of this delivery.
    pub(super) fn has(&self, position: Position) -> bool {
        self.ends.iter().any(|end| end.position == position)
    }

    /// Whether something will be tried again, which the store must not forget.
    pub(super) fn has_retries(&self) -> bool {
        self.ends.iter().any(|end| end.again.is_some())
    }

    /// How many became dead letters.
    pub(super) fn dead(&self) -> usize {
        let is_dead = |exception: &&Exception| exception.state == DeliveryState::Dead;
        self.exceptions.iter().filter(is_dead).count()
    }

    /// Takes in what an attempt came to.
    pub(super) fn add(
        &mut self,
        webhook: WebhookNo,
        parcel: &Parcel,
        attempt: Attempt,
        fate: Fate,
    ) {
        let position = parcel.position();
        let exception = |state, at| Exception {
            webhook,
            position,
            state,
            attempts: attempt.attempt,
            at,
            last_status: attempt.status,
            last_error: attempt.error.clone(),
        };
        let again = match fate {
            Fate::Delivered => {
                // The first attempt of a new event leaves no exception behind; any other may have.
                if parcel.tries.made > 0 {
                    self.cleared.push(position);
                }
                None
            }
            Fate::Dead => {
                let died_at = attempt.at.plus(attempt.duration);
                self.exceptions
                    .push(exception(DeliveryState::Dead, died_at));
                None
            }
            Fate::Again(due, tries) | Fate::Gone(due, tries) => {
                self.exceptions
                    .push(exception(DeliveryState::Retrying, due));
                Some(Retry {
                    position,
                    tries,
                    due,
                })
            }
        };
        let replay = match parcel.errand {
            Errand::Replay(id) => Some((id, fate != Fate::Delivered)),
            Errand::Live | Errand::Retry(_) => None,
        };
        self.attempts.push(attempt);
        self.ends.push(End {
            position,
            again,
            replay,
        });
    }

    /// Takes in that a dead letter is to be tried again.
    pub(super) fn revive(&mut self, letter: Exception, retry: Retry) {
        self.ends.push(End {
            position: letter.position,
            again: Some(retry),
            replay: None,
        });
        self.exceptions.push(Exception {
            state: DeliveryState::Retrying,
            at: retry.due,
            ..letter
        });
    }

    /// Takes in that a delivery is none any more: its event is no longer kept, or its owner does not want it.
    pub(super) fn drop_delivery(&mut self, position: Position) {
        self.cleared.push(position);
        self.ends.push(End {
            position,
            again: None,
            replay: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use domain::time::Timestamp;

    use super::*;
    use crate::webhook::{parcel::Tries, tests::samples};

    const NO: WebhookNo = WebhookNo(4);

    fn attempt(number: u32, state: DeliveryState) -> Attempt {
        Attempt {
            position: Position::new(3),
            attempt: number,
            at: Timestamp::default(),
            duration: std::time::Duration::ZERO,
            status: Some(500),
            error: None,
            response: Bytes::new(),
            state,
        }
    }

    #[test]
    fn a_first_success_leaves_nothing_but_its_attempt() {
        let mut settlement = Settlement::default();
        let delivered = attempt(1, DeliveryState::Delivered);
        settlement.add(NO, &samples::parcel(3), delivered, Fate::Delivered);
        assert_eq!((settlement.attempts.len(), settlement.ends.len()), (1, 1));
        assert!(settlement.exceptions.is_empty() && settlement.cleared.is_empty());
        assert!(!settlement.has_retries() && !settlement.is_empty());
    }

    #[test]
    fn a_later_success_clears_the_exception() {
        let mut settlement = Settlement::default();
        let parcel = Parcel {
            tries: Tries::anew(1),
            ..samples::parcel(3)
        };
        settlement.add(
            NO,
            &parcel,
            attempt(2, DeliveryState::Delivered),
            Fate::Delivered,
        );
        assert_eq!(settlement.cleared, [Position::new(3)]);
    }

    #[test]
    fn a_failure_is_an_exception_with_the_number_of_attempts_and_when_it_is_due() {
        let mut settlement = Settlement::default();
        let due = Timestamp::from_micros(9);
        let fate = Fate::Again(due, Tries::default().and_one());
        settlement.add(
            NO,
            &samples::parcel(3),
            attempt(1, DeliveryState::Retrying),
            fate,
        );
        let exception = &settlement.exceptions[0];
        assert_eq!((exception.attempts, exception.at), (1, due));
        assert_eq!(exception.state, DeliveryState::Retrying);
        assert!(settlement.has_retries());
        assert_eq!(settlement.dead(), 0);
    }
}
