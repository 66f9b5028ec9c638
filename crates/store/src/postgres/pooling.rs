//! Tells a server from a pooler that lends its connections for one transaction at a time, as `PgBouncer` does with
//! `pool_mode = transaction`.
//!
//! Behind one, what a connection was told is forgotten or somebody else's: its schema, its time limits, its prepared statements
//! and its locks. A pooler is known by what it does, not by its name: behind two connections that are both open there is one
//! process of the server, or behind one there is now this process and now that. Neither happens with a server, nor with a pooler
//! that lends connections for as long as clients keep theirs. Changes nothing.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::PostgresOptions;
use crate::{StoreError, log::postgres::PostgresLog};

/// How often it is looked. Others may use the pooler at the same time, so that one look may find nothing.
const LOOKS: usize = 5;

/// Answered in one round trip, and nothing is prepared for it.
const PROCESS: &str = "SELECT pg_backend_pid()";

impl PostgresOptions {
    /// Fails if a connection is not a session: then nothing else may be done with it.
    pub async fn refuse_lent_connections(&self) -> Result<(), StoreError> {
        let patience = self.connect_timeout + self.statement_timeout;
        tokio::time::timeout(patience, self.look())
            .await
            .unwrap_or_else(|_elapsed| {
                Err(StoreError::Unavailable(format!(
                    "it did not answer within {} ms",
                    patience.as_millis()
                )))
            })
    }

    async fn look(&self) -> Result<(), StoreError> {
        let one = PostgresLog::connect(self).await?;
        let other = PostgresLog::connect(self).await?;
        let mut seen = Vec::new();
        for _ in 0..LOOKS {
            seen.push([process(&one).await?, process(&other).await?]);
        }
        if are_lent(&seen) {
            return Err(StoreError::Unavailable(
                "a pooler stands before it that lends connections for one transaction at a time (PgBouncer: pool_mode = \
                 transaction or statement): name PostgreSQL itself, or a pooler with pool_mode = session"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// Whether connections are lent, by the processes that were seen behind each of two at the same time.
fn are_lent(seen: &[[String; 2]]) -> bool {
    seen.iter()
        .any(|[one, other]| one == other || [one, other] != seen[0].each_ref())
}

async fn process(client: &Client) -> Result<String, StoreError> {
    let failed = |error: tokio_postgres::Error| StoreError::Unavailable(error.to_string());
    let answer = client.simple_query(PROCESS).await.map_err(failed)?;
    let process = answer.iter().find_map(|message| {
        let SimpleQueryMessage::Row(row) = message else {
            return None;
        };
        row.get(0).map(str::to_owned)
    });
    process.ok_or_else(|| StoreError::Corrupt("no process answers behind a connection".to_owned()))
}

#[cfg(test)]
mod tests;
