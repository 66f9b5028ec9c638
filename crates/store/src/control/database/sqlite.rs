//! The control plane in one file of this machine.

use std::time::Duration;

use sqlx::{
    AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use super::schema::Setup;
use crate::{StoreError, control::failure::Outcome as _};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a call waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What every connection is told. Order matters: whoever switches to the write-ahead log has to wait for others. What a sort needs
/// stays in memory, because there may be no other place that can be written than the data folder.
const SETTINGS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -1024;";

/// What goes before the migrations.
pub(super) const SETUP: Setup = Setup {
    before: SETTINGS,
    clock: "
    CREATE VIEW IF NOT EXISTS database_clock AS
    SELECT CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) AS now",
};

/// The file's place, and how it is opened.
pub(super) fn options(url: &str) -> Result<AnyConnectOptions, StoreError> {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = file_url(url)?.parse().or_fail()?;
    Ok(options.disable_statement_logging())
}

/// Where to write, and where to read.
pub(super) async fn pools(options: &AnyConnectOptions) -> Result<(AnyPool, AnyPool), StoreError> {
    // There is one writer at a time anyway. Waiting for a turn in our own queue is fair and costs nothing; waiting for
    // a lock of the file is neither.
    let writer = pool(1).connect_with(options.clone()).await.or_fail()?;
    let reader = pool(READERS_MAX).connect_with(options.clone());
    Ok((writer, reader.await.or_fail()?))
}

fn pool(connections_max: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(TURN_WITHIN)
        // A connection to a file does not go away while nobody looks.
        .test_before_acquire(false)
        // A full disk makes SQLite roll back by itself, of which the driver's count of open transactions learns
        // nothing: such a connection could never begin another one. It makes room for a fresh one.
        .before_acquire(|connection: &mut AnyConnection, _| {
            let is_of_use = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_of_use) })
        })
        .after_connect(|connection: &mut AnyConnection, _| {
            Box::pin(async move {
                connection.execute(SETTINGS).await?;
                Ok(())
            })
        })
}

/// The URL as the driver wants it, so that a file that is not there is made.
fn file_url(url: &str) -> Result<String, StoreError> {
    let refuse = |why: &str| Err(StoreError::Unavailable(why.to_owned()));
    let Some(path) = url.strip_prefix("sqlite:") else {
        return refuse(
            "the control plane needs a URL such as sqlite:data/control.db or postgres://host/database",
        );
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(":memory:") || path.contains("mode=memory") {
        // Every connection would see a database of its own, and none would outlive the process.
        return refuse("the control plane needs a file, such as sqlite:data/control.db");
    }
    Ok(match path.split_once('?') {
        None => format!("sqlite:{path}?mode=rwc"),
        Some(_) => format!("sqlite:{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_made_unless_the_url_says_otherwise() {
        for (given, wanted) in [
            ("sqlite:a.db", "sqlite:a.db?mode=rwc"),
            ("sqlite://a.db", "sqlite:a.db?mode=rwc"),
            ("sqlite:///var/a.db", "sqlite:/var/a.db?mode=rwc"),
            ("sqlite:a.db?mode=rw", "sqlite:a.db?mode=rw"),
        ] {
            assert_eq!(file_url(given).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for url in [
            "a.db",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a?mode=memory",
            "mysql:a",
        ] {
            assert!(
                matches!(file_url(url), Err(StoreError::Unavailable(_))),
                "{url}"
            );
        }
    }
}
