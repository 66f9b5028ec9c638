//! What the engine's errors look like to a client: the one place where they get their codes.

use actors::{EngineError, auth::AuthError, engine::CommandError};

use serde_json::json;

use super::problem::{Code, Problem};

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Problem {
        match error {
            EngineError::NotFound(what) => Problem::not_found(what),
            EngineError::Invalid { pointer, detail } => Problem::invalid_field(&pointer, detail),
            EngineError::Conflict(detail) => Problem::new(Code::Conflict, detail),
            EngineError::VersionMismatch => super::etag::version_mismatch(),
            EngineError::PlanRequired(detail) => Problem::new(Code::PlanRequired, detail),
            EngineError::RateLimited {
                retry_after: Some(after),
                ..
            } => Problem::new(Code::RateLimited, error.to_string()).retry_after(after),
            // More than a whole minute has: to come back later would not help.
            EngineError::RateLimited {
                retry_after: None,
                standing,
            } => {
                let detail = format!(
                    "the request has more events than the {} that the plan takes in a minute: split it",
                    standing.limit
                );
                Problem::new(Code::PayloadTooLarge, detail)
            }
            EngineError::IdempotencyInFlight => {
                Problem::new(Code::IdempotencyInFlight, error.to_string())
            }
            EngineError::IdempotencyMismatch => {
                Problem::new(Code::IdempotencyMismatch, error.to_string())
            }
            EngineError::Overloaded(_) => Problem::new(Code::Overloaded, error.to_string()),
            EngineError::OwnerUnreachable { retry_after, .. } => {
                tracing::info!("a tenant could not be worked for: {error}");
                Problem::new(Code::OwnerUnreachable, Code::OwnerUnreachable.meaning())
                    .retry_after(retry_after)
            }
            EngineError::StorageFull => Problem::new(Code::StorageFull, error.to_string()),
            EngineError::Unavailable(cause) => {
                tracing::warn!("a store or its writer did not answer: {cause}");
                Problem::new(Code::StoreUnavailable, Code::StoreUnavailable.meaning())
            }
            EngineError::Internal(cause) => Problem::internal(&cause),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        match error {
            CommandError::NotFound => Problem::not_found("device"),
            CommandError::Offline => Problem::new(
                Code::DeviceOffline,
                "no gateway is connected for this device",
            ),
            CommandError::TimedOut => Problem::new(
                Code::DeviceTimeout,
                "the device's gateway did not answer in time; it may have done it all the same",
            ),
            CommandError::Ended => Problem::new(
                Code::DeviceTimeout,
                "the device's session was ended before its gateway answered; it may have done it all the same",
            ),
            CommandError::Refused { code, message } => {
                let detail = format!("the device's gateway refused it: {message} ({code})");
                Problem::new(Code::DeviceRefused, detail)
                    .with("device_error", json!({ "code": code, "message": message }))
            }
            CommandError::Busy => Problem::new(
                Code::Overloaded,
                "more commands wait for this device than may wait at once",
            ),
            CommandError::Engine(error) => error.into(),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Problem {
        match error {
            AuthError::Invalid => Problem::new(Code::InvalidKey, "the key is not known here"),
            AuthError::Expired => Problem::new(Code::ExpiredKey, "the key has expired"),
            AuthError::Revoked => Problem::new(Code::RevokedKey, "the key was revoked"),
            AuthError::IpNotAllowed(_) => Problem::new(Code::IpNotAllowed, error.to_string()),
            AuthError::Suspended => Problem::new(Code::PermissionDenied, error.to_string()),
            AuthError::Store(error) => EngineError::from(error).into(),
        }
    }
}

impl From<store::StoreError> for Problem {
    fn from(error: store::StoreError) -> Problem {
        EngineError::from(error).into()
    }
}
