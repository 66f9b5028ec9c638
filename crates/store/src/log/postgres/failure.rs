//! Sorts what `PostgreSQL` and its client say into what the caller does about it.
//!
//! Does not log and does not retry.

use deadpool_postgres::PoolError;
use tokio_postgres::{Error, error::SqlState};

use crate::StoreError;

/// Sorts an error of a statement.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is given to map_err, which hands errors over"
)]
pub(super) fn store_error(error: Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        // No answer came, or none that could be read: the connection is of no use any more.
        return StoreError::Unavailable(chain(&error));
    };
    let says = format!("{} ({})", said.message(), said.code().code());
    let code = said.code();
    if *code == SqlState::DISK_FULL {
        return StoreError::Full;
    }
    match &code.code()[..2] {
        // Connections, resources, operators, locks, the system: all of them pass.
        "08" | "25" | "28" | "40" | "53" | "55" | "57" | "58" => StoreError::Unavailable(says),
        "23" => StoreError::Conflict(says),
        _broken_or_our_mistake => StoreError::Corrupt(says),
    }
}

/// Sorts an error of getting a connection.
pub(super) fn pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => {
            let sorted = store_error(error);
            if matches!(sorted, StoreError::Full) {
                sorted
            } else {
                StoreError::Unavailable(sorted.to_string())
            }
        }
        PoolError::Closed => StoreError::Unavailable("the log is closed".to_owned()),
        PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            StoreError::Unavailable(format!("no connection to the database: {error}"))
        }
    }
}

/// Whether the connection was lost, so that another one may do better.
pub(super) fn is_lost(error: &Error) -> bool {
    let ends_connection = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    match error.as_db_error() {
        Some(said) => ends_connection.contains(said.code()),
        None => true,
    }
}

/// Whether the server has said that it wrote nothing, and another way of writing the same may do better: the data was not what
/// was expected, or the server is about to end.
pub(super) fn is_refusal(error: &Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|said| is_lost(error) || matches!(&said.code().code()[..2], "22" | "23"))
}

fn chain(error: &Error) -> String {
    use std::error::Error as _;

    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
