//! Decides whether this node may work for tenants: how its session with the control plane stands, and for how long that can
//! be believed.
//!
//! Pure: no I/O, and time comes in as an argument. The node's own clock is only ever used to stop *earlier* than the control
//! plane's clock would: trust runs from the moment at which a heartbeat was sent, and ends before the session can.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use store::control::SessionId;
use tokio::time::Instant;

/// How much of a session's time is believed: clocks run at slightly different speeds.
const TRUSTED_TENTHS: u32 = 9;

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The control plane has confirmed it lately: the node works.
    Held,
    /// It may have ended: the node does nothing until the control plane says which.
    Unknown,
    /// It has ended: whatever was held under it may be somebody else's.
    Lost,
}

/// One session of this node, from its begin to its loss. Shared by everything that was claimed under it.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    ttl: Duration,
    begun_at: Instant,
    /// Microseconds after `begun_at`.
    trusted_until: AtomicU64,
    is_lost: AtomicBool,
}

impl Session {
    /// The control plane has begun it, asked at `sent_at`.
    pub(crate) fn begun(id: SessionId, ttl: Duration, sent_at: Instant) -> Session {
        let session = Session {
            id,
            ttl,
            begun_at: sent_at,
            trusted_until: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
        };
        session.renewed(sent_at);
        session
    }

    /// Its name.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// The control plane has confirmed it, asked at `sent_at`. One that is lost stays so.
    pub(crate) fn renewed(&self, sent_at: Instant) {
        let trusted =
            sent_at.saturating_duration_since(self.begun_at) + self.ttl * TRUSTED_TENTHS / 10;
        let micros = u64::try_from(trusted.as_micros()).unwrap_or(u64::MAX);
        self.trusted_until.fetch_max(micros, Ordering::AcqRel);
    }

    /// The control plane has said that it is no more. Answers whether that is news.
    pub(crate) fn lost(&self) -> bool {
        !self.is_lost.swap(true, Ordering::AcqRel)
    }

    /// How it stands at `now`.
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        if self.is_lost.load(Ordering::Acquire) {
            return Standing::Lost;
        }
        let trusted = Duration::from_micros(self.trusted_until.load(Ordering::Acquire));
        if now.saturating_duration_since(self.begun_at) < trusted {
            Standing::Held
        } else {
            Standing::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TTL: Duration = Duration::from_secs(15);

    fn session(sent_at: Instant) -> Session {
        let id = "00000000-0000-0000-0000-000000000001".parse().unwrap();
        Session::begun(id, TTL, sent_at)
    }

    #[test]
    fn a_session_is_believed_for_nine_tenths_of_its_time() {
        let start = Instant::now();
        let session = session(start);
        assert_eq!(session.standing(start), Standing::Held);
        let almost = start + Duration::from_millis(13_499);
        assert_eq!(session.standing(almost), Standing::Held);
        let then = start + Duration::from_millis(13_500);
        assert_eq!(session.standing(then), Standing::Unknown);
    }

    #[test]
    fn a_heartbeat_counts_from_the_moment_at_which_it_was_sent_and_ends_the_doubt() {
        let start = Instant::now();
        let session = session(start);
        let late = start + Duration::from_secs(14);
        assert_eq!(session.standing(late), Standing::Unknown);
        session.renewed(start + Duration::from_secs(13));
        assert_eq!(session.standing(late), Standing::Held);
        let end = start + Duration::from_millis(26_500);
        assert_eq!(session.standing(end), Standing::Unknown);
    }

    #[test]
    fn an_answer_that_comes_late_takes_no_trust_away() {
        let start = Instant::now();
        let session = session(start);
        session.renewed(start + Duration::from_secs(5));
        session.renewed(start + Duration::from_secs(1));
        let then = start + Duration::from_secs(18);
        assert_eq!(session.standing(then), Standing::Held);
    }

    #[test]
    fn a_lost_session_never_comes_back() {
        let start = Instant::now();
        let session = session(start);
        assert!(session.lost());
        assert!(!session.lost());
        session.renewed(start + Duration::from_secs(1));
        assert_eq!(session.standing(start), Standing::Lost);
    }

    proptest! {
        /// The database lets a session live for `TTL` from the moment at which it handles a heartbeat, which is after the
        /// moment at which that was sent. So whoever trusts a session is never later than the database.
        #[test]
        fn trust_ends_before_the_database_lets_go(
            beats in proptest::collection::vec((1_u64..20_000, 0_u64..3_000), 0..20),
            look in 0_u64..200_000,
        ) {
            let start = Instant::now();
            let session = session(start);
            let mut ends_at = start + TTL;
            let mut at = start;
            for (pause, delay) in beats {
                at += Duration::from_millis(pause);
                let handled_at = at + Duration::from_millis(delay);
                if handled_at >= ends_at {
                    break;
                }
                session.renewed(at);
                ends_at = ends_at.max(handled_at + TTL);
            }
            let now = start + Duration::from_millis(look);
            if session.standing(now) == Standing::Held {
                prop_assert!(now < ends_at);
            }
        }
    }
}
