//! Opens the files of one region: which settings, which schema, and only one process at a time.
//!
//! Runs no statement of the log itself.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::region::Region;
use sqlx::{
    ConnectOptions, Connection as _, SqliteConnection, SqlitePool,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use tokio::sync::Mutex;

use super::{
    SqliteLog,
    checkpointer::Checkpointer,
    failure::{io_error, store_error, write_error},
    reader::Reader,
    writer::Writer,
};
use crate::{Migrated, StoreError};

/// The schema, step by step.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/region/sqlite");

/// Readers never wait for the writer, so few of them are enough to keep the disk busy.
const READERS_MAX: u32 = 4;
/// A reader that nobody needed for so long gives its memory back.
const READER_IDLE: Duration = Duration::from_secs(60);
/// Longer than any commit takes; reached only if the disk hangs or every reader is stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// A commit of one event writes two or three pages, and an fsync of less is sooner done.
const PAGE_BYTES: u32 = 4_096;
/// A log of so many pages (128 MiB) is moved by the writer itself, because its checkpointer has fallen behind.
const CHECKPOINT_PAGES: &str = "32768";
/// KiB of pages that the checkpointer keeps: it copies, and looks at nothing twice.
const CHECKPOINTER_CACHE: &str = "-64";
/// KiB of pages that the writer keeps.
const WRITER_CACHE: &str = "-8192";
/// KiB of pages that each reader keeps; the system's cache is behind it.
const READER_CACHE: &str = "-2048";
/// Rows that a reader finds before it waits for them to be taken: those of a webhook's page, so that it seldom has to wait.
const READER_ROWS: usize = 256;
/// Statements that the writer keeps prepared; the largest needs about 300 KB.
const WRITER_STATEMENTS: usize = 48;

impl SqliteLog {
    /// Opens the region's files in `folder` and makes them if they are not there. Fails if another process has them open,
    /// if a newer version wrote them, or if they belong to another region.
    pub async fn open(folder: &Path, region: Region) -> Result<SqliteLog, StoreError> {
        let files = Files {
            folder: folder.to_owned(),
            region,
        };
        let lock = files.lock()?;
        SqliteLog::open_files(files, Some(lock)).await
    }

    /// Brings the schema of the region's file up to date and does nothing else; makes the file if it is not there.
    pub async fn migrate(folder: &Path, region: Region) -> Result<Migrated, StoreError> {
        let files = Files {
            folder: folder.to_owned(),
            region,
        };
        let _lock = files.lock()?;
        let mut connection = match files.writer().await {
            Ok(connection) => connection,
            Err(error) => return Err(write_error(error, &files.folder).await),
        };
        let migrated = files.prepare(&mut connection).await?;
        match connection.close().await {
            Ok(()) => Ok(migrated),
            Err(error) => Err(write_error(error, &files.folder).await),
        }
    }

    pub(super) async fn open_files(
        files: Files,
        lock: Option<File>,
    ) -> Result<SqliteLog, StoreError> {
        std::fs::create_dir_all(&files.folder).map_err(|error| io_error(&error))?;
        let mut connection = match files.writer().await {
            Ok(connection) => connection,
            Err(error) => return Err(write_error(error, &files.folder).await),
        };
        files.prepare(&mut connection).await?;
        // The writer opens its own with the first commit: a region that nobody uses costs neither thread nor memory.
        if let Err(error) = connection.close().await {
            return Err(write_error(error, &files.folder).await);
        }
        let reader = Reader::new(files.readers());
        let files = Arc::new(files);
        let writer = Arc::new(Mutex::new(Writer::new(Arc::clone(&files))));
        Ok(SqliteLog {
            checkpointer: Checkpointer::start(Arc::clone(&files), Arc::clone(&writer)),
            files,
            writer,
            reader,
            lock: parking_lot::Mutex::new(lock),
        })
    }
}

/// The files of one region.
#[derive(Debug)]
pub(super) struct Files {
    /// Where they are.
    pub(super) folder: PathBuf,
    /// Which region's.
    pub(super) region: Region,
}

impl Files {
    fn database(&self) -> PathBuf {
        self.folder.join(format!("{}.db", self.region))
    }

    /// Keeps every other process out for as long as the answer lives.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        std::fs::create_dir_all(&self.folder).map_err(|error| io_error(&error))?;
        let path = self.folder.join(format!("{}.lock", self.region));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io_error(&error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
                "another process uses this data folder: it holds the lock on {}",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(io_error(&error)),
        }
    }

    /// Opens the database's file for writing, and writes nothing.
    pub(super) async fn touch(&self) -> Result<(), StoreError> {
        let opened = tokio::fs::File::options()
            .append(true)
            .open(self.database())
            .await;
        opened.map(drop).map_err(|error| io_error(&error))
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.database())
            .foreign_keys(false)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging()
    }

    /// Opens a connection that may write.
    pub(super) async fn writer(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options()
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("cache_size", WRITER_CACHE)
            // Otherwise a statement that touches many pages keeps their old state in a file.
            .pragma("temp_store", "MEMORY")
            .statement_cache_capacity(WRITER_STATEMENTS)
            .thread_name(|_| "log-writer".to_owned())
            .connect()
            .await
    }

    /// Opens the connection that moves the write-ahead log into the database file.
    pub(super) async fn checkpointer(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.options()
            .pragma("wal_autocheckpoint", "0")
            .pragma("cache_size", CHECKPOINTER_CACHE)
            .synchronous(SqliteSynchronous::Full)
            .thread_name(|_| "log-checkpoint".to_owned())
            .connect()
            .await
    }

    /// The pool of connections that only read. Opens none before one is needed.
    pub(super) fn readers(&self) -> SqlitePool {
        let options = self
            .options()
            .read_only(true)
            .pragma("cache_size", READER_CACHE)
            .row_buffer_size(READER_ROWS)
            .thread_name(|_| "log-reader".to_owned());
        SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .idle_timeout(READER_IDLE)
            .max_lifetime(None)
            .acquire_timeout(BUSY_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }

    /// Brings the schema up to date and makes sure that the file is this region's.
    pub(super) async fn prepare(
        &self,
        writer: &mut SqliteConnection,
    ) -> Result<Migrated, StoreError> {
        const CLAIM: &str = "
            INSERT INTO region (name)
            SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM region)";
        const NAME: &str = "SELECT name FROM region LIMIT 1";

        let from = version(writer).await?;
        MIGRATIONS
            .run_direct(None, &mut *writer, false)
            .await
            .map_err(|error| schema_error(error, &self.database()))?;
        sqlx::query(CLAIM)
            .bind(self.region.name())
            .execute(&mut *writer)
            .await
            .map_err(store_error)?;
        let name: String = sqlx::query_scalar(NAME)
            .fetch_one(&mut *writer)
            .await
            .map_err(store_error)?;
        if name == self.region.name() {
            let to = version(writer).await?;
            return Ok(Migrated { from, to });
        }
        Err(StoreError::Corrupt(format!(
            "{} is the log of region {name}, not of {}",
            self.database().display(),
            self.region
        )))
    }
}

/// The number of the last migration; 0 if there was none.
async fn version(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    const HAS_TABLE: &str = "
        SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    const LAST: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";

    let tables: i64 = sqlx::query_scalar(HAS_TABLE)
        .fetch_one(&mut *connection)
        .await
        .map_err(store_error)?;
    if tables == 0 {
        return Ok(0);
    }
    sqlx::query_scalar(LAST)
        .fetch_one(connection)
        .await
        .map_err(store_error)
}

fn schema_error(error: MigrateError, path: &Path) -> StoreError {
    if let MigrateError::VersionMissing(version) = error {
        return StoreError::Unavailable(format!(
            "{} has schema {version}, which this version does not know: start the newer version that wrote it",
            path.display()
        ));
    }
    if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
        return store_error(error);
    }
    StoreError::Corrupt(format!("the schema of {}: {error}", path.display()))
}
