//! Sorts what SQLite and sqlx say into what the caller does about it.
//!
//! Does not log and does not retry.

use std::{io, path::Path};

use sqlx::error::ErrorKind;

use crate::StoreError;

/// SQLite's result codes that we tell apart; the low byte of an extended code is the code proper.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READ_ONLY: i32 = 8;
const IO: i32 = 10;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const CONSTRAINT: i32 = 19;
/// The shared-memory file beside the log could not grow.
const IO_SHM_SIZE: i32 = IO | (19 << 8);

/// How much room a full disk must not have; more than SQLite ever asks for at once besides the write itself.
const ROOM_BYTES: usize = 256 * 1024;

/// Whether the statement ran into a row that was there already.
pub(super) fn is_clash(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::UniqueViolation))
}

/// Sorts an error by its code alone.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is given to map_err, which hands errors over"
)]
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Io(error) = &error {
        return io_error(error);
    }
    let says = error.to_string();
    if matches!(
        error,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed
    ) {
        return StoreError::Unavailable(says);
    }
    match code(&error) {
        Some(IO_SHM_SIZE) => StoreError::Full,
        Some(extended) => match extended & 0xff {
            FULL => StoreError::Full,
            CONSTRAINT => StoreError::Conflict(says),
            BUSY | LOCKED | READ_ONLY | IO | CANNOT_OPEN => StoreError::Unavailable(says),
            _broken_or_our_mistake => StoreError::Corrupt(says),
        },
        None => StoreError::Corrupt(says),
    }
}

/// Sorts an error of a write. SQLite reports some ways of running out of room as a plain I/O error, so the disk is asked.
pub(super) async fn write_error(error: sqlx::Error, folder: &Path) -> StoreError {
    let may_be_full = code(&error).is_some_and(|code| matches!(code & 0xff, IO | CANNOT_OPEN));
    if may_be_full && is_full(folder).await {
        return StoreError::Full;
    }
    store_error(error)
}

/// Sorts an error of the file system.
pub(super) fn io_error(error: &io::Error) -> StoreError {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    if full.contains(&error.kind()) {
        StoreError::Full
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

async fn is_full(folder: &Path) -> bool {
    let path = folder.join(".room");
    let written = tokio::fs::write(&path, vec![0_u8; ROOM_BYTES]).await;
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::debug!(%error, "could not remove the file that asked the disk for room");
    }
    written.is_err_and(|error| matches!(io_error(&error), StoreError::Full))
}
