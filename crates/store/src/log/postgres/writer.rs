//! Commits, in one of two ways.
//!
//! The fast one is a single statement: it decides in memory by what this node remembers of its last commits ([`at_once`]), and the
//! database writes all of it if that is how things are, or nothing. The slow one reads under locks, decides, and writes, in two
//! round trips when the names are known; it is gone for whatever the fast one could not do: the first commit of a tenant, another
//! node's hand, a part that must fail.
//!
//! Either way the rows of all tenants of a commit are locked first, in the order of their numbers, and nothing else is ever
//! waited for, so that commits of any number of nodes cannot block each other in a circle. What a part may write is decided
//! in [`plan`].

mod at_once;
pub(super) mod plan;
pub(super) mod read;

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Object, Pool};
use futures_util::future::BoxFuture;
use tokio_postgres::{Error, Statement, types::ToSql};

use self::{
    plan::{Plan, State},
    read::{Failure, Wanted},
};
use super::{
    connect::in_time,
    failure::{is_lost, pool_error, store_error},
    names::Names,
    session::{GivenUp, Session},
};
use crate::{
    StoreError,
    log::{Write, WriteError},
};

/// So often a commit begins anew, as long as it has not sent anything to be written.
const BEGINNINGS_MAX: u32 = 3;

/// What writes.
pub(super) struct Writer {
    pub(super) pool: Pool,
    pub(super) names: Arc<Names>,
    pub(super) given_up: GivenUp,
    /// How long a commit may take.
    pub(super) patience: Duration,
}

impl Writer {
    /// Writes all parts in one transaction.
    pub(super) async fn commit(
        &self,
        parts: &[Write],
    ) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        in_time(self.patience, self.commit_patiently(parts)).await?
    }

    async fn commit_patiently(
        &self,
        parts: &[Write],
    ) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        self.given_up.none().await;
        let wanted = Wanted::of(parts);
        let (taken, remembered) = self.names.ends.lock().take(&wanted);
        if let Some(state) = remembered
            && let Some(done) = self.commit_at_once(state, parts).await?
        {
            self.names.ends.lock().put(taken, done.after);
            return Ok(done.outcomes);
        }
        let (outcomes, after) = self.commit_step_by_step(&wanted, parts).await?;
        self.names.ends.lock().put(taken, after);
        Ok(outcomes)
    }

    /// Reads under locks, decides, writes.
    async fn commit_step_by_step(
        &self,
        wanted: &Wanted,
        parts: &[Write],
    ) -> Result<(Vec<Result<(), WriteError>>, State), StoreError> {
        for beginning in 1.. {
            let connection = self.pool.get().await.map_err(pool_error)?;
            let session = Session::new(connection, &self.given_up);
            let may_retry = beginning < BEGINNINGS_MAX;
            let state = match wanted.read(session.client(), &self.names).await {
                Ok(state) => state,
                // Nothing was written: a server that has restarted, or another one, may be asked again.
                Err(Failure::Sql(error)) if may_retry && is_lost(&error) => continue,
                Err(Failure::NamesChanged) if may_retry => {
                    self.names.clear();
                    continue;
                }
                Err(Failure::Sql(error)) => return Err(store_error(error)),
                Err(Failure::NamesChanged) => break,
            };
            let Plan {
                batch,
                outcomes,
                after,
            } = state.plan(parts)?;
            let steps: Vec<_> = batch.steps().collect();
            let mut statements = Vec::with_capacity(steps.len());
            for step in &steps {
                statements.push((
                    prepare(session.client(), step.sql()).await?,
                    step.parameters(),
                ));
            }
            let end = if statements.is_empty() {
                "ROLLBACK"
            } else {
                "COMMIT"
            };
            write(session.client(), &statements, end)
                .await
                .map_err(store_error)?;
            session.end();
            return Ok((outcomes, after));
        }
        Err(StoreError::Unavailable(
            "the numbers of tenants and workspaces change under the log".to_owned(),
        ))
    }

    /// Runs one statement as a transaction of its own; answers how many rows it touched.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let done = in_time(self.patience, async {
            let connection = self.pool.get().await.map_err(pool_error)?;
            let session = Session::new(connection, &self.given_up);
            let statement = prepare(session.client(), sql).await?;
            let done = session.client().execute(&statement, parameters).await;
            let rows = done.map_err(store_error)?;
            session.end();
            Ok(rows)
        });
        done.await?
    }
}

async fn prepare(client: &Object, sql: &'static str) -> Result<Statement, StoreError> {
    client.prepare_cached(sql).await.map_err(store_error)
}

/// Sends all statements and the end of the transaction without waiting in between.
///
/// After one that fails, the server refuses the others and takes the end for a rollback.
async fn write(
    client: &Object,
    statements: &[(Statement, Vec<&(dyn ToSql + Sync)>)],
    end: &str,
) -> Result<(), Error> {
    let mut sent: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::with_capacity(statements.len() + 1);
    for (statement, parameters) in statements {
        sent.push(Box::pin(async move {
            client.execute(statement, parameters).await.map(drop)
        }));
    }
    sent.push(Box::pin(client.batch_execute(end)));
    in_order(sent).await.into_iter().collect()
}

/// Polls futures in their order, so that each sends before the next one does; answers when all have ended.
async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    use futures_util::future::{MaybeDone, maybe_done};
    use std::{future::Future as _, pin::Pin, task::Poll};

    let mut futures: Vec<MaybeDone<BoxFuture<'_, T>>> =
        futures.into_iter().map(maybe_done).collect();
    std::future::poll_fn(|context| {
        let mut are_done = true;
        for future in &mut futures {
            are_done &= Pin::new(future).poll(context).is_ready();
        }
        if are_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let outputs = futures.iter_mut();
    outputs
        .filter_map(|future| Pin::new(future).take_output())
        .collect()
}
