//! Opens the database of the control plane, and keeps writers out of each other's way.
//!
//! Knows the databases by their URL; nothing beside this file does. Runs no query of its own but settings.

use std::time::Duration;

use sqlx::{
    Any, AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::Migrator,
};

use super::failure::{Outcome as _, migration_failed};
use crate::StoreError;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/control");

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a call waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// What every connection to `SQLite` is told. Order matters: whoever switches to the write-ahead log has to wait for
/// others.
const SQLITE_SETTINGS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -1024;";

/// One database: where to write, and where to read.
#[derive(Debug)]
pub(super) struct Database {
    writer: AnyPool,
    reader: AnyPool,
    begin: &'static str,
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub(super) async fn open(url: &str) -> Result<Database, StoreError> {
        sqlx::any::install_default_drivers();
        let options: AnyConnectOptions = sqlite_url(url)?.parse().or_fail()?;
        let options = options.disable_statement_logging();
        migrate(&options).await?;
        // SQLite has one writer at a time anyway. Waiting for a turn in our own queue is fair and costs nothing;
        // waiting for a lock of the file is neither.
        let writer = sqlite_pool(1)
            .connect_with(options.clone())
            .await
            .or_fail()?;
        let reader = sqlite_pool(READERS_MAX)
            .connect_with(options)
            .await
            .or_fail()?;
        Ok(Database {
            writer,
            reader,
            // A transaction that reads before it writes must not find that another process wrote in between.
            begin: "BEGIN IMMEDIATE",
        })
    }

    /// For statements that write by themselves.
    pub(super) fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// For statements that read. They see everything that was written before.
    pub(super) fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Begins a transaction that writes. Dropped before it is committed, it never was.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.writer.begin_with(self.begin).await.or_fail()
    }

    /// Waits for what runs and closes.
    pub(super) async fn close(&self) {
        self.reader.close().await;
        // The last connection to close folds the write-ahead log into the file.
        self.writer.close().await;
    }
}

/// Brings the schema up to date, on a connection of its own: a pool would try a file that cannot be read again and
/// again, and not say what is wrong with it.
async fn migrate(options: &AnyConnectOptions) -> Result<(), StoreError> {
    let mut connection = AnyConnection::connect_with(options).await.or_fail()?;
    connection.execute(SQLITE_SETTINGS).await.or_fail()?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| migration_failed(&error))?;
    connection.close().await.or_fail()
}

fn sqlite_pool(connections_max: u32) -> AnyPoolOptions {
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
                connection.execute(SQLITE_SETTINGS).await?;
                Ok(())
            })
        })
}

/// The URL as the driver wants it, so that a file that is not there is made.
fn sqlite_url(url: &str) -> Result<String, StoreError> {
    let refuse = |why: &str| Err(StoreError::Unavailable(why.to_owned()));
    let Some(path) = url.strip_prefix("sqlite:") else {
        return refuse("the control plane needs a URL such as sqlite:data/control.db");
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
            assert_eq!(sqlite_url(given).unwrap(), wanted);
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
                matches!(sqlite_url(url), Err(StoreError::Unavailable(_))),
                "{url}"
            );
        }
    }
}
