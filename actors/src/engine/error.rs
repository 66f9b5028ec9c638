//! Why the engine did not do what was asked, by what the caller does about it.

use std::time::Duration;

use domain::rate::Standing;
use store::{StoreError, log::WriteError};

use crate::{
    placement::NotHeld,
    registry::AskError,
    tenant::{AckError, IngestError, LoadError},
};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is none, or it belongs to somebody else.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A value that was given is not allowed.
    #[error("{pointer}: {detail}")]
    Invalid {
        /// JSON pointer to the value.
        pointer: String,
        /// What is wrong and what would be right.
        detail: String,
    },
    /// The state of things does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The caller's version is not the present one.
    #[error("the resource has changed since it was read")]
    VersionMismatch,
    /// The plan does not include it.
    #[error("{0}")]
    PlanRequired(String),
    /// A limit is spent.
    #[error("the plan's events per minute are spent")]
    RateLimited {
        /// When to come back; `None` if it can never succeed in this size.
        retry_after: Option<Duration>,
        /// How the caller stands.
        standing: Standing,
    },
    /// A request with the same idempotency key is in flight.
    #[error("a request with this idempotency key is in flight")]
    IdempotencyInFlight,
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    IdempotencyMismatch,
    /// Somebody has more in flight than allowed.
    #[error("the engine is busy: {0}")]
    Overloaded(AskError),
    /// The disk is full.
    #[error("the disk of the store is full")]
    StorageFull,
    /// The tenant is another node's, or nobody's at this moment, and that node cannot be reached.
    #[error("the node that works for the tenant cannot be reached now: {cause}")]
    OwnerUnreachable {
        /// What exactly is the matter.
        cause: NotHeld,
        /// When to come back.
        retry_after: Duration,
    },
    /// A store does not answer.
    #[error("{0}")]
    Unavailable(String),
    /// Something is broken that no caller can help.
    #[error("{0}")]
    Internal(String),
}

impl From<NotHeld> for EngineError {
    fn from(cause: NotHeld) -> EngineError {
        EngineError::OwnerUnreachable {
            retry_after: cause.retry_after(),
            cause,
        }
    }
}

impl From<LoadError> for EngineError {
    fn from(error: LoadError) -> EngineError {
        match error {
            LoadError::NotHeld(why) => why.into(),
            LoadError::Store(error) => error.into(),
        }
    }
}

impl From<AskError> for EngineError {
    fn from(error: AskError) -> EngineError {
        match error {
            AskError::Full | AskError::Resting(_) => EngineError::Overloaded(error),
            AskError::Stopped | AskError::TimedOut => EngineError::Unavailable(error.to_string()),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> EngineError {
        match error {
            StoreError::Full => EngineError::StorageFull,
            StoreError::Unavailable(what) | StoreError::Unsuitable(what) => {
                EngineError::Unavailable(what)
            }
            StoreError::Conflict(what) => EngineError::Conflict(what),
            StoreError::VersionMismatch => EngineError::VersionMismatch,
            StoreError::NotFound(what) => EngineError::NotFound(what),
            StoreError::LimitReached { .. } => EngineError::PlanRequired(error.to_string()),
            StoreError::Corrupt(what) => EngineError::Internal(what),
        }
    }
}

impl From<WriteError> for EngineError {
    fn from(error: WriteError) -> EngineError {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Fenced { .. } => NotHeld::Leaving.into(),
            WriteError::DeviceFenced { .. } => EngineError::Conflict(error.to_string()),
            WriteError::HeadMoved { .. } | WriteError::AnswerTaken => {
                EngineError::Unavailable(error.to_string())
            }
        }
    }
}

impl From<IngestError> for EngineError {
    fn from(error: IngestError) -> EngineError {
        match error {
            IngestError::NoTenant => EngineError::NotFound("tenant"),
            IngestError::RateLimited {
                retry_after,
                standing,
            } => EngineError::RateLimited {
                retry_after: Some(retry_after),
                standing,
            },
            IngestError::OverLimit { standing } => EngineError::RateLimited {
                retry_after: None,
                standing,
            },
            IngestError::IdempotencyInFlight => EngineError::IdempotencyInFlight,
            IngestError::IdempotencyMismatch => EngineError::IdempotencyMismatch,
            IngestError::DeviceFenced { .. } => EngineError::Conflict(error.to_string()),
            IngestError::NotHeld(why) => why.into(),
            IngestError::Store(error) => error.into(),
        }
    }
}

impl From<AckError> for EngineError {
    fn from(error: AckError) -> EngineError {
        match error {
            AckError::NoTenant => EngineError::NotFound("tenant"),
            AckError::TooManyOpen(_) => EngineError::Conflict(error.to_string()),
            AckError::BeyondHead { .. } => EngineError::NotFound("event"),
            AckError::NotHeld(why) => why.into(),
            AckError::Store(error) => error.into(),
        }
    }
}
