//! Decides whether a device may open one more session, so that a gateway that flaps costs nobody else.
//!
//! Pure: the moment comes in as an argument. Sessions are counted, whoever opens them: two gateways that take the session
//! from each other are slowed down too.

use std::{collections::VecDeque, time::Duration};

use crate::time::Timestamp;

/// How many sessions may be opened within [`WINDOW`].
const SESSIONS_MAX: usize = 10;
/// The time in which they are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// How long nothing is admitted after one too many.
const PAUSE: Duration = Duration::from_mins(1);

/// What one device's sessions looked like lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flapping {
    /// When the last sessions were admitted, the oldest first; at most [`SESSIONS_MAX`].
    admitted: VecDeque<Timestamp>,
    paused_until: Option<Timestamp>,
}

/// A session is not admitted before this much time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device opened too many sessions")]
pub struct RetryAfter(pub Duration);

impl Flapping {
    /// Admits a session, or says how long to wait.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), RetryAfter> {
        if let Some(until) = self.paused_until {
            if now < until {
                return Err(RetryAfter(until.since(now)));
            }
            self.paused_until = None;
            self.admitted.clear();
        }
        self.forget(now);
        if self.admitted.len() == SESSIONS_MAX {
            self.paused_until = Some(now.plus(PAUSE));
            return Err(RetryAfter(PAUSE));
        }
        self.admitted.push_back(now);
        Ok(())
    }

    /// Whether there is nothing worth remembering.
    pub fn is_calm(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.admitted.is_empty() && self.paused_until.is_none_or(|until| until <= now)
    }

    fn forget(&mut self, now: Timestamp) {
        while self
            .admitted
            .front()
            .is_some_and(|at| now.since(*at) >= WINDOW)
        {
            self.admitted.pop_front();
        }
    }
}
