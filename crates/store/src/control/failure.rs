//! Decides what a failure of the database means to a caller.
//!
//! The one place where errors of the driver are read; nothing here retries.

use std::io;

use sqlx::{Error, error::DatabaseError, migrate::MigrateError};

use crate::StoreError;

/// Says what a failure of the database means.
///
/// What is neither the database's own answer nor an unreadable value is about the way to the database: pools, sockets,
/// workers, TLS, the URL.
pub(super) fn failed(error: &Error) -> StoreError {
    if let Error::Database(answer) = error {
        return of_database(&**answer);
    }
    if matches!(error, Error::Io(cause) if cause.kind() == io::ErrorKind::StorageFull) {
        return StoreError::Full;
    }
    let is_unreadable = matches!(
        error,
        Error::ColumnDecode { .. }
            | Error::Decode(_)
            | Error::ColumnNotFound(_)
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::TypeNotFound { .. }
            | Error::AnyDriverError(_)
            | Error::RowNotFound
    );
    if is_unreadable {
        StoreError::Corrupt(error.to_string())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

/// Says what a failure of the migrations means.
pub(super) fn migration_failed(error: &MigrateError) -> StoreError {
    if let MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) = error {
        return failed(cause);
    }
    if let MigrateError::VersionMissing(version) = error {
        return StoreError::Unavailable(format!(
            "its schema is newer than this program (migration {version}): start a newer version"
        ));
    }
    StoreError::Corrupt(format!("its schema: {error}"))
}

/// Why an attempt at a transaction came to nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// Another transaction stood in its way: the same attempt may work now.
    Collided(StoreError),
    /// It would fail again.
    For(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::For(error)
    }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> StoreError {
        match failed {
            Failed::Collided(error) | Failed::For(error) => error,
        }
    }
}

/// What a call of the database came to, in words of the store.
pub(super) trait Outcome<T> {
    /// Any failure as [`failed`] reads it.
    fn or_fail(self) -> Result<T, StoreError>;
    /// The same, but a unique value that is taken is a conflict with these words.
    fn or_taken(self, words: impl FnOnce() -> String) -> Result<T, StoreError>;
    /// The same, but a reference to nothing says what is not there.
    fn or_dangling(self, what: &'static str) -> Result<T, StoreError>;
    /// Both of these.
    fn or_refused(
        self,
        words: impl FnOnce() -> String,
        what: &'static str,
    ) -> Result<T, StoreError>;
    /// Any failure, with the word whether it was a collision.
    fn or_collide(self) -> Result<T, Failed>;
}

impl<T> Outcome<T> for Result<T, Error> {
    fn or_fail(self) -> Result<T, StoreError> {
        self.map_err(|error| failed(&error))
    }

    fn or_taken(self, words: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| {
            if is_taken(&error) {
                StoreError::Conflict(words())
            } else {
                failed(&error)
            }
        })
    }

    fn or_dangling(self, what: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| {
            if is_dangling(&error) {
                StoreError::NotFound(what)
            } else {
                failed(&error)
            }
        })
    }

    fn or_refused(
        self,
        words: impl FnOnce() -> String,
        what: &'static str,
    ) -> Result<T, StoreError> {
        match self {
            Err(error) if is_dangling(&error) => Err(StoreError::NotFound(what)),
            outcome => outcome.or_taken(words),
        }
    }

    fn or_collide(self) -> Result<T, Failed> {
        self.map_err(|error| {
            let is_collision = is_collision(&error);
            let error = failed(&error);
            if is_collision {
                Failed::Collided(error)
            } else {
                Failed::For(error)
            }
        })
    }
}

/// Says whether a row with the same unique value was there already.
fn is_taken(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_unique_violation)
}

/// Says whether the row refers to something that is not there.
fn is_dangling(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(DatabaseError::is_foreign_key_violation)
}

/// Says whether the server ended a transaction in favour of another one: `serialization_failure`, `deadlock_detected`.
fn is_collision(error: &Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

fn of_database(error: &dyn DatabaseError) -> StoreError {
    if error.is_unique_violation() {
        return StoreError::Conflict("the name is taken".to_owned());
    }
    let code = error.code().unwrap_or_default();
    match meaning(&code) {
        Meaning::Full => StoreError::Full,
        Meaning::Corrupt => StoreError::Corrupt(error.to_string()),
        Meaning::Other => StoreError::Unavailable(error.to_string()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Full,
    Corrupt,
    Other,
}

/// Reads the extended result codes of `SQLite`, which have up to four digits, and the SQLSTATEs of `PostgreSQL`, which
/// have five characters.
fn meaning(code: &str) -> Meaning {
    /// `SQLITE_IOERR_SHMSIZE`: the index of the write-ahead log could not grow.
    const SHARED_MEMORY_SIZE: u32 = 10 | (19 << 8);
    const DISK_FULL: u32 = 13;
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;

    if code.len() >= 5 {
        return match code {
            // `disk_full`; `data_corrupted` and `index_corrupted`.
            "53100" => Meaning::Full,
            "XX001" | "XX002" => Meaning::Corrupt,
            _ => Meaning::Other,
        };
    }
    match code.parse::<u32>() {
        Ok(SHARED_MEMORY_SIZE) => Meaning::Full,
        Ok(code) => match code & 0xff {
            DISK_FULL => Meaning::Full,
            CORRUPT | NOT_A_DATABASE => Meaning::Corrupt,
            _ => Meaning::Other,
        },
        Err(_not_a_number) => Meaning::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_recognised_on_both_databases() {
        for code in ["13", "4874", "53100"] {
            assert_eq!(meaning(code), Meaning::Full, "{code}");
        }
    }

    #[test]
    fn codes_of_one_database_are_not_read_as_the_other_s() {
        // 57101 & 0xff is SQLITE_FULL, and 267 is SQLITE_CORRUPT_VTAB.
        assert_eq!(meaning("57101"), Meaning::Other);
        assert_eq!(meaning("267"), Meaning::Corrupt);
        assert_eq!(meaning("5"), Meaning::Other);
        assert_eq!(meaning(""), Meaning::Other);
    }

    #[test]
    fn a_pool_that_times_out_is_unavailable_and_a_full_disk_under_a_socket_is_full() {
        assert!(matches!(
            failed(&Error::PoolTimedOut),
            StoreError::Unavailable(_)
        ));
        let full = Error::Io(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(failed(&full), StoreError::Full));
        let unreadable = Error::ColumnNotFound("name".to_owned());
        assert!(matches!(failed(&unreadable), StoreError::Corrupt(_)));
    }
}
