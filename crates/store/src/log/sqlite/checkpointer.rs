//! Moves the write-ahead log into the database file, beside the writer and not in its way.
//!
//! SQLite would do it inside a commit, which then takes as long as tens of megabytes take to be written. Here a connection of
//! its own does it while commits go on; only when the log has grown long does the writer stop for the little that is left, so
//! that the log begins anew. Decides nothing about what is durable: a commit is on disk before any of this.

use std::{sync::Arc, time::Duration};

use sqlx::{Row as _, SqliteConnection};
use tokio::{
    sync::{Mutex, Notify},
    task::JoinHandle,
};

use super::{open::Files, writer::Writer};

/// How long commits gather before their pages are moved.
const EVERY: Duration = Duration::from_millis(500);
/// A log of so many pages (64 MiB) is to begin anew.
const LONG_PAGES: i64 = 16_384;

const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The task that moves pages. It sleeps while nothing is committed.
pub(super) struct Checkpointer {
    committed: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Checkpointer {
    /// Starts the task on the present runtime.
    pub(super) fn start(files: Arc<Files>, writer: Arc<Mutex<Writer>>) -> Checkpointer {
        let committed = Arc::new(Notify::new());
        let heard = Arc::clone(&committed);
        let task = tokio::spawn(async move {
            let mut connection = None;
            loop {
                heard.notified().await;
                tokio::time::sleep(EVERY).await;
                if let Err(error) = move_pages(&files, &writer, &mut connection).await {
                    // The writer's own limit is behind this; a full disk shows there.
                    tracing::debug!(%error, "pages of {} were not moved", files.region);
                    connection = None;
                }
            }
        });
        Checkpointer { committed, task }
    }

    /// Notes that something was committed.
    pub(super) fn note(&self) {
        self.committed.notify_one();
    }

    /// Ends the task.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn move_pages(
    files: &Files,
    writer: &Mutex<Writer>,
    connection: &mut Option<SqliteConnection>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(files.checkpointer().await?),
    };
    if pages_in_log(connection).await? >= LONG_PAGES {
        // What was committed during the last pass is little; when it is moved too, the next commit begins a new log.
        writer.lock().await.move_pages().await;
    }
    Ok(())
}

/// Moves what can be moved without waiting for anybody; answers how long the log is.
pub(super) async fn pages_in_log(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let row = sqlx::query(MOVE).fetch_one(&mut *connection).await?;
    row.try_get(1)
}
