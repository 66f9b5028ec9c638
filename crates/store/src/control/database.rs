//! Opens the database of the control plane, and keeps writers out of each other's way.
//!
//! Knows the databases by their URL; nothing beside this folder does. Runs no query of its own but settings.

mod patient;
mod postgres;
mod schema;
mod sqlite;

use std::{future::Future, time::Duration};

use sqlx::{Any, AnyPool, Transaction};
use tokio::{runtime::Handle, time::timeout};

pub(super) use self::patient::Patient;
use super::failure::{Failed, Outcome as _};
use crate::{Migrated, PostgresOptions, StoreError};

/// How often a transaction is tried again that another one stood in the way of.
const COLLISIONS_MAX: u32 = 8;

/// What is said of a server that neither did nor refused what it was asked for.
const NO_ANSWER: &str = "it did not answer in time";

/// Which database it is, where that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One file, and one writer at a time.
    Sqlite,
    /// A server, with many writers from many nodes.
    Postgres,
}

/// One database: where to write, and where to read.
#[derive(Debug)]
pub(super) struct Database {
    kind: Kind,
    writer: AnyPool,
    reader: AnyPool,
    sessions: AnyPool,
    /// Of a server; what lies on this machine always answers, to whoever asks.
    home: Option<Home>,
}

/// What only connections to a server need.
#[derive(Debug)]
struct Home {
    /// Where they live: the runtime on which the database was opened.
    runtime: Handle,
    /// How long a call may take before its outcome is unknown.
    patience: Duration,
}

impl Database {
    /// Opens the database and brings its schema up to date.
    pub(super) async fn open(url: &str) -> Result<Database, StoreError> {
        if is_postgres(url) {
            return Database::open_postgres(&PostgresOptions::new(url)).await;
        }
        let options = sqlite::options(url)?;
        schema::migrate(&options, &sqlite::SETUP).await?;
        let (writer, reader) = sqlite::pools(&options).await?;
        Ok(Database {
            kind: Kind::Sqlite,
            sessions: writer.clone(),
            writer,
            reader,
            home: None,
        })
    }

    /// Opens a database on a server and brings its schema up to date.
    pub(super) async fn open_postgres(options: &PostgresOptions) -> Result<Database, StoreError> {
        let connect = postgres::options(options)?;
        Database::migrate_postgres(options).await?;
        let pools = postgres::pools(&connect, options).await?;
        Ok(Database {
            kind: Kind::Postgres,
            writer: pools.work.clone(),
            reader: pools.work,
            sessions: pools.sessions,
            home: Some(Home {
                runtime: Handle::current(),
                patience: options.connect_timeout + options.statement_timeout,
            }),
        })
    }

    /// Brings the schema up to date, and does nothing else.
    pub(super) async fn migrate(url: &str) -> Result<Migrated, StoreError> {
        if is_postgres(url) {
            return Database::migrate_postgres(&PostgresOptions::new(url)).await;
        }
        schema::migrate(&sqlite::options(url)?, &sqlite::SETUP).await
    }

    /// The same on a server.
    pub(super) async fn migrate_postgres(
        options: &PostgresOptions,
    ) -> Result<Migrated, StoreError> {
        let connect = postgres::options(options)?;
        // A migration may take as long as it takes, but a server that is not there is told from one that works.
        let limit = options.connect_timeout;
        let open = || {
            within(
                limit,
                postgres::connect(&connect),
                "the server does not answer",
            )
        };
        options.refuse_lent(open).await?;
        schema::migrate(&connect, &postgres::SETUP).await
    }

    /// For statements that write by themselves.
    pub(super) async fn writer(&self) -> Result<Patient, StoreError> {
        self.acquire(&self.writer).await
    }

    /// For statements that read. They see everything that was written before.
    pub(super) async fn reader(&self) -> Result<Patient, StoreError> {
        self.acquire(&self.reader).await
    }

    /// For what keeps a session alive: it waits neither behind requests of clients nor behind claims.
    pub(super) async fn sessions(&self) -> Result<Patient, StoreError> {
        self.acquire(&self.sessions).await
    }

    /// Begins a transaction that writes. Dropped before it is committed, it never was.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.begin_on(&self.writer).await
    }

    /// The same, beside requests of clients and claims.
    pub(super) async fn begin_for_sessions(&self) -> Result<Transaction<'static, Any>, StoreError> {
        self.begin_on(&self.sessions).await
    }

    /// The statement that fits this database, for the few that cannot be one text.
    pub(super) fn choose(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.kind {
            Kind::Sqlite => sqlite,
            Kind::Postgres => postgres,
        }
    }

    /// Waits for an outcome for as long as a living server can need. After that it is unknown.
    pub(super) async fn patiently<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match &self.home {
            None => call.await,
            Some(home) => within(home.patience, call, NO_ANSWER).await,
        }
    }

    /// Runs an attempt at a transaction, patiently, and again for as long as other transactions stand in its way.
    pub(super) async fn again<T, A>(&self, attempt: impl FnMut() -> A) -> Result<T, StoreError>
    where
        A: Future<Output = Result<T, Failed>>,
    {
        self.patiently(again(attempt)).await
    }

    /// Waits for what runs and closes.
    pub(super) async fn close(&self) {
        self.sessions.close().await;
        self.reader.close().await;
        // The last connection to close folds SQLite's write-ahead log into the file.
        self.writer.close().await;
    }

    async fn begin_on(&self, pool: &AnyPool) -> Result<Transaction<'static, Any>, StoreError> {
        // SQLite: a transaction that reads before it writes must not find that another process wrote in between.
        // PostgreSQL: each statement sees what was committed before it; what must not change in between is locked.
        let begin = self.choose("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED");
        match &self.home {
            None => pool.begin_with(begin).await.or_fail(),
            Some(home) => {
                let pool = pool.clone();
                at_home(home, async move { pool.begin_with(begin).await }).await
            }
        }
    }

    async fn acquire(&self, pool: &AnyPool) -> Result<Patient, StoreError> {
        let connection = match &self.home {
            None => pool.acquire().await.or_fail()?,
            Some(home) => at_home(home, pool.acquire()).await?,
        };
        let patience = self.home.as_ref().map(|home| home.patience);
        Ok(Patient::new(connection, patience))
    }

    /// The pool that writes, for tests that look behind the scenes.
    #[cfg(test)]
    pub(super) fn pool(&self) -> &AnyPool {
        &self.writer
    }

    /// Both pools.
    #[cfg(test)]
    pub(super) fn pools(&self) -> [&AnyPool; 2] {
        [&self.writer, &self.reader]
    }
}

/// Does what may open a connection on the runtime that is to drive it: one that was opened on the thread of whoever asked
/// first would stand still whenever that thread is busy, and break when it ends.
async fn at_home<T: Send + 'static>(
    Home { runtime, patience }: &Home,
    call: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
) -> Result<T, StoreError> {
    // Within the limit there too: nobody ends a call that runs elsewhere.
    match runtime.spawn(timeout(*patience, call)).await {
        Ok(Ok(outcome)) => outcome.or_fail(),
        Ok(Err(_elapsed)) => Err(StoreError::Unavailable(NO_ANSWER.to_owned())),
        Err(_ended) => Err(StoreError::Unavailable(
            "the threads of its connections have ended".to_owned(),
        )),
    }
}

/// Runs an attempt again for as long as other transactions stand in its way. Nothing of a failed attempt remains.
async fn again<T, A>(mut attempt: impl FnMut() -> A) -> Result<T, StoreError>
where
    A: Future<Output = Result<T, Failed>>,
{
    let mut left = COLLISIONS_MAX;
    loop {
        match attempt().await {
            Err(Failed::Collided(_)) if left > 0 => left -= 1,
            outcome => return outcome.map_err(StoreError::from),
        }
    }
}

/// Whether a URL names a server.
fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
    otherwise: &str,
) -> Result<T, StoreError> {
    match timeout(limit, call).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(StoreError::Unavailable(otherwise.to_owned())),
    }
}
