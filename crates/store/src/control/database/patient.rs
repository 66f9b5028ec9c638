//! A connection that waits for an answer no longer than a living server can need.
//!
//! A server that was frozen, or that the network cut off without a word, answers nothing and refuses nothing: without a limit
//! its callers would wait for ever, and so would everybody who needs their connections. Says nothing about what became of the
//! statement: nobody knows.

use std::{fmt, io, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, Describe, Either, Error, Execute, Executor, SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
    pool::PoolConnection,
};
use tokio::time::timeout;

/// See the module. Goes back to its pool when it is dropped.
pub(in crate::control) struct Patient {
    connection: PoolConnection<Any>,
    patience: Option<Duration>,
}

impl Patient {
    /// A connection that waits for so long, or for ever.
    pub(super) fn new(connection: PoolConnection<Any>, patience: Option<Duration>) -> Patient {
        Patient {
            connection,
            patience,
        }
    }
}

impl<'c> Executor<'c> for &'c mut Patient {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let rows = self.connection.fetch_many(query);
        let Some(patience) = self.patience else {
            return rows;
        };
        stream::unfold(rows, move |mut rows| async move {
            let next = match timeout(patience, rows.next()).await {
                Ok(next) => next?,
                Err(_elapsed) => Err(no_answer()),
            };
            Some((next, rows))
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let row = self.connection.fetch_optional(query);
        let Some(patience) = self.patience else {
            return row;
        };
        async move {
            match timeout(patience, row).await {
                Ok(row) => row,
                Err(_elapsed) => Err(no_answer()),
            }
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

fn no_answer() -> Error {
    Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        "it did not answer in time",
    ))
}
