//! What an attempt's outcome means for the delivery and for the breaker.
//!
//! Pure. The rules are those of [`domain::retry`]; here they meet what the client reports.

use std::time::Duration;

use domain::{
    retry::{Next, RetrySchedule, Verdict, judge},
    time::Timestamp,
};
use outbound::{Outcome, PostError};
use store::log::{Attempt, DeliveryState};

use super::parcel::{Parcel, Tries};

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is delivered.
    Delivered,
    /// It is a dead letter.
    Dead,
    /// It is tried again at this moment.
    Again(Timestamp, Tries),
    /// The receiver is gone for good. The delivery waits with all others for the owner to enable the webhook again.
    Gone(Timestamp, Tries),
}

impl Fate {
    /// In a word, for the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Dead => "dead letter",
            Fate::Again(..) => "tried again later",
            Fate::Gone(..) => "the receiver is gone",
        }
    }
}

/// What an attempt says about the receiver's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It works.
    Good,
    /// It does not.
    Bad,
    /// The attempt never got as far as the receiver.
    Unknown,
}

/// How long a delivery that never got as far as the receiver rests before it is sent again: a second, give or take a half.
pub(super) fn rest(random: u64) -> Duration {
    Duration::from_millis(500) + Duration::from_millis(random >> 54)
}

/// Decides what becomes of the delivery after an attempt that may have reached the receiver. `random` spreads retries.
pub(super) fn decide(
    parcel: &Parcel,
    outcome: &Outcome,
    schedule: &RetrySchedule,
    now: Timestamp,
    random: u64,
) -> Fate {
    let (status, retry_after) = match &outcome.result {
        Ok(answer) => (Some(answer.status), answer.retry_after),
        Err(_) => (None, None),
    };
    let attempt = parcel.tries.next_of_round();
    let tries = parcel.tries.and_one();
    let (mut verdict, mut not_before) = (judge(status, retry_after), Duration::ZERO);
    if let Verdict::RetryAfter(wanted) = verdict {
        // The schedule counts all the same: the later of the two.
        (verdict, not_before) = (Verdict::Retry, wanted);
    }
    match schedule.after(attempt, verdict, random) {
        Next::Delivered => Fate::Delivered,
        Next::Dead => Fate::Dead,
        Next::RetryIn(delay) => Fate::Again(now.plus(delay.max(not_before)), tries),
        Next::Disable => Fate::Gone(now, Tries::anew(tries.made)),
    }
}

/// What the outcome says about the receiver.
pub(super) fn health(outcome: &Outcome) -> Health {
    match &outcome.result {
        Ok(answer) if (200..300).contains(&answer.status) => Health::Good,
        // Our own limits, our own end, our own mistakes.
        Err(PostError::HostBusy | PostError::BrokenOff | PostError::Fault) => Health::Unknown,
        Ok(_)
        | Err(
            PostError::Refused(_)
            | PostError::Resolve(_)
            | PostError::Connect(_)
            | PostError::Tls(_)
            | PostError::Timeout
            | PostError::Reset(_),
        ) => Health::Bad,
    }
}

/// Whether the attempt is none: our own limits held the delivery up, or our own end broke it off. A mistake of ours counts, so
/// that an event that brings it about each time is not sent for ever.
pub(super) fn counts_for_nothing(outcome: &Outcome) -> bool {
    matches!(
        outcome.result,
        Err(PostError::HostBusy | PostError::BrokenOff)
    )
}

/// The attempt as it is logged.
pub(super) fn attempt(parcel: &Parcel, outcome: Outcome, at: Timestamp, fate: Fate) -> Attempt {
    let (status, response, error) = match outcome.result {
        Ok(answer) => (Some(answer.status), answer.body, in_words(answer.status)),
        Err(error) => (None, bytes::Bytes::new(), Some(error.to_string().into())),
    };
    Attempt {
        position: parcel.position(),
        attempt: parcel.tries.next(),
        at,
        duration: outcome.duration,
        status,
        error,
        response,
        state: match fate {
            Fate::Delivered => DeliveryState::Delivered,
            Fate::Dead => DeliveryState::Dead,
            Fate::Again(..) | Fate::Gone(..) => DeliveryState::Retrying,
        },
    }
}

/// What a status does not say by itself.
fn in_words(status: u16) -> Option<Box<str>> {
    match status {
        300..=399 => Some("a redirect was answered, and redirects are not followed".into()),
        410 => Some("the receiver says that it is gone: the webhook is disabled".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use outbound::Answer;

    use super::*;
    use crate::webhook::{parcel::Errand, tests::samples};

    const MIDDLE: u64 = 1 << 63;

    fn parcel(tries: Tries) -> Parcel {
        Parcel {
            tries,
            errand: Errand::Retry(Timestamp::default()),
            ..samples::parcel(3)
        }
    }

    fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome {
            duration: Duration::from_millis(3),
            result: Ok(Answer {
                status,
                retry_after: retry_after.map(Duration::from_secs),
                body: Bytes::from_static(b"no"),
            }),
        }
    }

    fn failed(error: PostError) -> Outcome {
        Outcome {
            duration: Duration::ZERO,
            result: Err(error),
        }
    }

    fn fate(made: u32, outcome: &Outcome) -> Fate {
        let tries = Tries {
            made,
            before_round: 0,
        };
        let now = Timestamp::default();
        decide(
            &parcel(tries),
            outcome,
            &RetrySchedule::Standard,
            now,
            MIDDLE,
        )
    }

    fn due(fate: Fate) -> i64 {
        let Fate::Again(due, _) = fate else {
            panic!("{fate:?}");
        };
        due.unix_seconds()
    }

    #[test]
    fn failures_are_tried_again_as_the_schedule_says_and_die_at_its_end() {
        assert_eq!(fate(0, &answered(204, None)), Fate::Delivered);
        assert_eq!(due(fate(0, &answered(500, None))), 60);
        assert_eq!(due(fate(1, &failed(PostError::Timeout))), 300);
        assert_eq!(due(fate(3, &answered(302, None))), 6 * 3_600);
        assert_eq!(fate(4, &answered(500, None)), Fate::Dead);
        assert_eq!(fate(0, &answered(404, None)), Fate::Dead);
    }

    #[test]
    fn the_later_of_schedule_and_retry_after_counts() {
        assert_eq!(due(fate(0, &answered(429, Some(7)))), 60);
        assert_eq!(due(fate(0, &answered(503, Some(700)))), 700);
        assert_eq!(due(fate(0, &answered(500, Some(700)))), 60);
        assert_eq!(fate(4, &answered(503, Some(7))), Fate::Dead);
    }

    #[test]
    fn a_receiver_that_is_gone_keeps_the_delivery_waiting() {
        let gone = fate(2, &answered(410, None));
        assert_eq!(gone, Fate::Gone(Timestamp::default(), Tries::anew(3)));
        let logged = attempt(
            &parcel(Tries::anew(2)),
            answered(410, None),
            Timestamp::default(),
            gone,
        );
        assert_eq!((logged.attempt, logged.state), (3, DeliveryState::Retrying));
        assert!(logged.error.is_some());
    }

    #[test]
    fn what_never_reached_the_receiver_says_nothing_about_it() {
        assert_eq!(health(&answered(200, None)), Health::Good);
        assert_eq!(health(&answered(404, None)), Health::Bad);
        assert_eq!(health(&failed(PostError::Timeout)), Health::Bad);
        assert_eq!(health(&failed(PostError::HostBusy)), Health::Unknown);
        assert_eq!(health(&failed(PostError::BrokenOff)), Health::Unknown);
        assert_eq!(health(&failed(PostError::Fault)), Health::Unknown);
    }

    #[test]
    fn a_mistake_of_our_own_is_an_attempt_and_our_own_end_is_none() {
        assert!(counts_for_nothing(&failed(PostError::HostBusy)));
        assert!(counts_for_nothing(&failed(PostError::BrokenOff)));
        assert!(!counts_for_nothing(&failed(PostError::Fault)));
        assert_eq!(due(fate(0, &failed(PostError::Fault))), 60);
        assert_eq!(fate(4, &failed(PostError::Fault)), Fate::Dead);
    }

    #[test]
    fn what_never_reached_the_receiver_rests_for_about_a_second() {
        assert_eq!(rest(0), Duration::from_millis(500));
        assert_eq!(rest(MIDDLE), Duration::from_millis(1_012));
        assert!(rest(u64::MAX) < Duration::from_millis(1_600));
    }
}
