//! How a gateway stands, and why it ends.
//!
//! Only words: what leads to them is decided by the task.

use domain::fence::Fence;

/// How a gateway stands with the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No session: it is being opened, or waited for the next attempt.
    Connecting,
    /// The session is open.
    Open {
        /// The session's number.
        fence: Fence,
    },
    /// Over for good.
    Ended(Ended),
}

/// Why a gateway is over for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Somebody else took the session. Coming back would take it from them again.
    #[error("another gateway took the session")]
    Replaced,
    /// The key was revoked, the device was deleted, or an operator ended the session.
    #[error("the engine ended the session for good")]
    Revoked,
    /// The engine does not let this key have a session of this device.
    #[error("the engine refused the session with {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The caller closed it.
    #[error("the gateway was closed")]
    Closed,
}

/// Why an event has no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The engine does not take it, now or later.
    #[error("the event was refused with {code}: {message}")]
    Refused {
        /// The code of the API.
        code: Box<str>,
        /// What was expected.
        message: String,
    },
    /// The gateway is over; whether the event is in the log is not known.
    #[error(transparent)]
    Ended(#[from] Ended),
}
