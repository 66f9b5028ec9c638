//! The one connection that writes, and the rules by which a commit keeps or drops its parts.
//!
//! A commit is first written as a whole, in as few statements as it has kinds of rows. Only if a row is there already is it
//! rolled back and written part by part, each in a savepoint, so that the guilty parts fail and no others. Memory of heads
//! and numbers is trusted only after a commit that ended well: from the first statement to the last the connection is in
//! doubt, and whoever finds it in doubt (an error, or a caller that went away) rolls back and forgets first.

mod plan;

use std::sync::Arc;

use sqlx::{Connection as _, Executor as _, SqliteConnection, sqlite::SqliteArguments};

use super::{
    batch::Batch,
    checkpointer::pages_in_log,
    failure::{is_clash, write_error},
    fold,
    names::Names,
    open::Files,
    statement::{Edges, Texts},
};
use crate::{
    StoreError,
    log::{Append, Write, WriteError, fold::Fold},
};

/// The one connection that writes.
pub(super) struct Writer {
    files: Arc<Files>,
    link: Link,
    names: Names,
    texts: Texts,
    commit_no: u64,
}

/// How the connection stands.
enum Link {
    /// No transaction is open, and the memory is true.
    Sound(SqliteConnection),
    /// A transaction may be open, and the memory may be ahead of the disk.
    InDoubt(SqliteConnection),
    /// There is none; the next write opens one.
    Lost,
    /// There will be none any more.
    Closed,
}

/// Why a statement did not go through.
enum Trouble {
    /// A row is there already.
    Clash,
    /// Anything else that the database said.
    Sql(sqlx::Error),
    /// Something that needs no sorting.
    Store(StoreError),
}

impl Writer {
    /// A writer of files whose schema is up to date. It opens its connection with the first write.
    pub(super) fn new(files: Arc<Files>) -> Writer {
        Writer {
            files,
            link: Link::Lost,
            names: Names::default(),
            texts: Texts::default(),
            commit_no: 0,
        }
    }

    /// Writes all parts in one transaction.
    pub(super) async fn commit(
        &mut self,
        parts: &[Write],
    ) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        let result = match self.write_together(parts).await {
            Err(Trouble::Clash) => self.write_apart(parts).await,
            other => other,
        };
        match result {
            Ok(outcomes) => Ok(outcomes),
            Err(trouble) => Err(self.fail(trouble).await),
        }
    }

    /// Runs one statement as a transaction of its own; answers how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        arguments: SqliteArguments,
    ) -> Result<u64, StoreError> {
        self.make_sound().await?;
        let result = match self.connection() {
            Ok(connection) => sqlx::query_with(sql, arguments).execute(connection).await,
            Err(trouble) => return Err(self.fail(trouble).await),
        };
        match result {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.fail(error.into()).await),
        }
    }

    /// Removes events of a tenant by one text that begins and ends a transaction.
    pub(super) async fn remove(
        &mut self,
        sql: &'static str,
        arguments: SqliteArguments,
        tenant_no: i64,
    ) -> Result<(), StoreError> {
        let removed = async {
            self.start().await?;
            sqlx::query_with(sql, arguments)
                .execute(self.connection()?)
                .await?;
            self.end();
            Ok(())
        };
        let removed: Result<(), Trouble> = removed.await;
        // They say up to where seqs are gone.
        self.names.forget_streams(tenant_no);
        match removed {
            Ok(()) => Ok(()),
            Err(trouble) => Err(self.fail(trouble).await),
        }
    }

    /// Whether nothing was written yet since the start, so that there is no connection.
    pub(super) fn is_resting(&self) -> bool {
        matches!(self.link, Link::Lost) && self.commit_no == 0
    }

    /// Moves what is left in the write-ahead log into the database file, while nobody commits.
    pub(super) async fn move_pages(&mut self) {
        if let Link::Sound(connection) = &mut self.link
            && let Err(error) = pages_in_log(connection).await
        {
            tracing::debug!(%error, "pages of {} were not moved", self.files.region);
        }
    }

    /// Moves the log's tail into the database file and closes the connection.
    pub(super) async fn close(&mut self) {
        if matches!(self.link, Link::InDoubt(_)) {
            self.roll_back().await;
        }
        if let Link::Sound(mut connection) = std::mem::replace(&mut self.link, Link::Closed) {
            if let Err(error) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
                tracing::warn!(%error, "the log of {} keeps its tail until it is opened again", self.files.region);
            }
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "the log of {} was not closed cleanly", self.files.region);
            }
        }
    }

    async fn write_together(
        &mut self,
        parts: &[Write],
    ) -> Result<Vec<Result<(), WriteError>>, Trouble> {
        self.start().await?;
        let mut batch = Batch::default();
        let mut fold = Fold::default();
        let mut outcomes = Vec::with_capacity(parts.len());
        for part in parts {
            outcomes.push(self.plan(part, &mut batch, &mut fold).await?);
        }
        fold::write(fold, &mut batch)?;
        self.run(batch, true).await?;
        self.end();
        Ok(outcomes)
    }

    async fn write_apart(
        &mut self,
        parts: &[Write],
    ) -> Result<Vec<Result<(), WriteError>>, Trouble> {
        self.roll_back().await;
        self.start().await?;
        self.connection()?.execute("BEGIN IMMEDIATE").await?;
        // Appends first: a savepoint that is rolled back empties the memory, which the other parts' rows rely on.
        let mut outcomes = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            outcomes.push(match part.as_append() {
                Some(append) => match replaced_by_earlier(&parts[..index], append) {
                    Some(replaced) => Err(replaced),
                    None => self.append_apart(append).await?,
                },
                None => Ok(()),
            });
        }
        let mut fold = Fold::default();
        let mut rest = Batch::default();
        for (part, outcome) in parts.iter().zip(&mut outcomes) {
            match part.as_append() {
                None => *outcome = self.plan(part, &mut rest, &mut fold).await?,
                Some(append) if outcome.is_ok() => {
                    self.mark_messages(append, &mut rest, &mut fold).await?;
                }
                Some(_failed) => {}
            }
        }
        fold::write(fold, &mut rest)?;
        self.run(rest, false).await?;
        self.connection()?.execute("COMMIT").await?;
        self.end();
        Ok(outcomes)
    }

    /// Writes one append within the open transaction, or leaves no trace of it.
    async fn append_apart(&mut self, append: &Append) -> Result<Result<(), WriteError>, Trouble> {
        self.connection()?.execute("SAVEPOINT part").await?;
        match self.try_append(append).await {
            Ok(outcome) => {
                self.connection()?.execute("RELEASE part").await?;
                Ok(outcome)
            }
            Err(Trouble::Clash) => {
                self.connection()?
                    .execute("ROLLBACK TO part; RELEASE part")
                    .await?;
                self.names.clear();
                self.blame(append).await.map(Err)
            }
            Err(other) => Err(other),
        }
    }

    async fn try_append(&mut self, append: &Append) -> Result<Result<(), WriteError>, Trouble> {
        self.drop_expired_answers(append).await?;
        let mut batch = Batch::default();
        let outcome = self.plan_append(append, &mut batch).await?;
        self.run(batch, false).await?;
        Ok(outcome)
    }

    /// Runs the statements of a batch, as a transaction of their own if `whole`.
    async fn run(&mut self, batch: Batch, whole: bool) -> Result<(), Trouble> {
        let steps = batch.into_steps();
        let last = steps.len();
        for (index, step) in steps.into_iter().enumerate() {
            let edges = Edges {
                begins: whole && index == 0,
                commits: whole && index + 1 == last,
            };
            let (sql, arguments) = step.into_query(&mut self.texts, edges);
            sqlx::query_with(sql, arguments)
                .execute(self.connection()?)
                .await?;
        }
        Ok(())
    }

    /// Puts the connection in doubt, which [`Writer::end`] ends.
    async fn start(&mut self) -> Result<(), Trouble> {
        self.make_sound().await?;
        self.names.trim();
        self.commit_no += 1;
        self.link = match std::mem::replace(&mut self.link, Link::Lost) {
            Link::Sound(connection) | Link::InDoubt(connection) => Link::InDoubt(connection),
            other @ (Link::Lost | Link::Closed) => other,
        };
        Ok(())
    }

    fn end(&mut self) {
        self.link = match std::mem::replace(&mut self.link, Link::Lost) {
            Link::Sound(connection) | Link::InDoubt(connection) => Link::Sound(connection),
            other @ (Link::Lost | Link::Closed) => other,
        };
    }

    async fn make_sound(&mut self) -> Result<(), StoreError> {
        if matches!(self.link, Link::InDoubt(_)) {
            self.roll_back().await;
        }
        match &self.link {
            Link::Sound(_) => Ok(()),
            Link::Closed => Err(StoreError::Unavailable("the log is closed".to_owned())),
            Link::Lost | Link::InDoubt(_) => {
                self.names.clear();
                match self.files.writer().await {
                    Ok(connection) => {
                        self.link = Link::Sound(connection);
                        Ok(())
                    }
                    Err(error) => Err(write_error(error, &self.files.folder).await),
                }
            }
        }
    }

    /// Ends whatever transaction may be open and forgets what may not be so.
    async fn roll_back(&mut self) {
        self.names.clear();
        let mut connection = match std::mem::replace(&mut self.link, Link::Lost) {
            Link::Sound(connection) | Link::InDoubt(connection) => connection,
            other @ (Link::Lost | Link::Closed) => {
                self.link = other;
                return;
            }
        };
        // SQLite ends a transaction by itself when the disk is full; then this fails, and rightly.
        if let Err(error) = connection.execute("ROLLBACK").await {
            tracing::debug!(%error, "there was nothing to roll back");
        }
        match connection.execute("BEGIN; ROLLBACK").await {
            Ok(_) => self.link = Link::Sound(connection),
            Err(error) => {
                tracing::warn!(%error, "the writer of {} lost its connection and opens another", self.files.region);
            }
        }
    }

    async fn fail(&mut self, trouble: Trouble) -> StoreError {
        if !matches!(self.link, Link::Closed) {
            self.roll_back().await;
        }
        match trouble {
            Trouble::Clash => StoreError::Conflict("a row of the log is there already".to_owned()),
            Trouble::Sql(error) => write_error(error, &self.files.folder).await,
            Trouble::Store(error) => error,
        }
    }

    fn connection(&mut self) -> Result<&mut SqliteConnection, Trouble> {
        match &mut self.link {
            Link::Sound(connection) | Link::InDoubt(connection) => Ok(connection),
            Link::Lost | Link::Closed => Err(Trouble::Store(StoreError::Unavailable(
                "the writer has no connection".to_owned(),
            ))),
        }
    }
}

/// Whether a session that an append came through is replaced by a part before it, which is written after it when parts are
/// written apart.
fn replaced_by_earlier(earlier: &[Write], append: &Append) -> Option<WriteError> {
    append.sessions.iter().find_map(|(device, fence)| {
        let raises = earlier.iter().filter_map(|part| {
            if let Write::OpenDevice {
                tenant,
                device: opened,
                fence,
            } = part
                && (tenant, opened) == (&append.tenant, device)
            {
                return Some(*fence);
            }
            None
        });
        let (device, held) = (*device, raises.max()?);
        (held > *fence).then_some(WriteError::DeviceFenced { device, held })
    })
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Trouble {
        if is_clash(&error) {
            Trouble::Clash
        } else {
            Trouble::Sql(error)
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl Write {
    fn as_append(&self) -> Option<&Append> {
        match self {
            Write::Append(append) => Some(append),
            Write::Settle(_)
            | Write::Dispatch(_)
            | Write::Consume(_)
            | Write::Replay { .. }
            | Write::ForgetWebhook { .. }
            | Write::OpenDevice { .. }
            | Write::Credentials { .. }
            | Write::Outgoing { .. }
            | Write::Outcome { .. }
            | Write::ForgetDevice { .. } => None,
        }
    }
}
