//! Tells a server from a pooler that lends its connections for one transaction at a time, as `PgBouncer` does with
//! `pool_mode = transaction`.
//!
//! Behind one, what a connection was told is forgotten or somebody else's: its schema, its time limits, its prepared statements
//! and its locks. A pooler is known by what it does, not by its name: behind two connections that are both open there is one
//! process of the server, or behind one there is now this process and now that. Neither happens with a server, nor with a pooler
//! that lends connections for as long as clients keep theirs. Changes nothing, and opens nothing: each part of the store looks
//! through connections like those that it will work with.

use std::time::Duration;

use super::PostgresOptions;
use crate::StoreError;

/// How often it is looked. Others may use the pooler at the same time, so that one look may find nothing.
const LOOKS: usize = 5;

/// Asks for the process behind a connection, as a text. It has to be asked without preparing it.
pub(crate) const PROCESS: &str = "SELECT CAST(pg_backend_pid() AS TEXT)";

/// A connection of whichever driver.
pub(crate) trait Connected {
    /// Answers [`PROCESS`].
    fn process(&mut self) -> impl Future<Output = Result<String, StoreError>> + Send;
}

impl PostgresOptions {
    /// Opens two connections and fails if they are not sessions: then nothing else may be done with any.
    pub(crate) async fn refuse_lent<C, O>(&self, open: impl Fn() -> O) -> Result<(), StoreError>
    where
        C: Connected,
        O: Future<Output = Result<C, StoreError>>,
    {
        let look = async { look(&mut open().await?, &mut open().await?).await };
        let patience: Duration = self.connect_timeout + self.statement_timeout;
        tokio::time::timeout(patience, look)
            .await
            .unwrap_or_else(|_elapsed| {
                Err(StoreError::Unavailable(format!(
                    "it did not answer within {} ms",
                    patience.as_millis()
                )))
            })
    }
}

async fn look<C: Connected>(one: &mut C, other: &mut C) -> Result<(), StoreError> {
    let mut seen = Vec::new();
    for _ in 0..LOOKS {
        seen.push([one.process().await?, other.process().await?]);
    }
    if are_lent(&seen) {
        return Err(StoreError::Unsuitable(
            "a pooler stands before it that lends connections for one transaction at a time (PgBouncer: pool_mode = \
             transaction or statement): name PostgreSQL itself, or a pooler with pool_mode = session"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether connections are lent, by the processes that were seen behind each of two at the same time.
fn are_lent(seen: &[[String; 2]]) -> bool {
    seen.iter()
        .any(|[one, other]| one == other || [one, other] != seen[0].each_ref())
}

#[cfg(test)]
mod tests;
