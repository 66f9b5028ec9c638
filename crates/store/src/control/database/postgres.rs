//! The control plane on a server: in the schema `trunkline`, shared by all nodes.

use std::{io, sync::Arc, time::Duration};

use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _,
    Row as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use super::schema::Setup;
use crate::{
    PostgresOptions, StoreError,
    control::failure::Outcome as _,
    postgres::pooling::{Connected, PROCESS},
};

/// Connections that keep the node's session alive, beside those for everything else.
const SESSIONS_POOL: u32 = 2;

/// What goes before the migrations. Two processes that make a schema at the same time would fail each other, and whoever
/// may not make one must not even try when it is there: hence the lock and the question. Migrations may take long.
pub(super) const SETUP: Setup = Setup {
    before: "
    SET client_min_messages TO warning;
    SET statement_timeout TO 0;
    SET search_path TO trunkline;
    DO $$
    BEGIN
        PERFORM pg_advisory_xact_lock(8390880602223716462);
        IF to_regnamespace('trunkline') IS NULL THEN
            CREATE SCHEMA IF NOT EXISTS trunkline;
        END IF;
    END
    $$;",
    clock: "
    DO $$
    BEGIN
        IF to_regclass('trunkline.database_clock') IS NULL THEN
            CREATE VIEW trunkline.database_clock AS
            SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now;
        END IF;
    END
    $$;",
};

/// The pools of one process.
pub(super) struct Pools {
    /// For what clients ask.
    pub(super) work: AnyPool,
    /// For the node's session.
    pub(super) sessions: AnyPool,
}

/// The server's address, and how it is reached.
pub(super) fn options(options: &PostgresOptions) -> Result<AnyConnectOptions, StoreError> {
    sqlx::any::install_default_drivers();
    let parsed: AnyConnectOptions = options.url.parse().or_fail()?;
    Ok(parsed.disable_statement_logging())
}

/// Opens one connection beside the pools.
pub(super) async fn connect(connect: &AnyConnectOptions) -> Result<AnyConnection, StoreError> {
    connect.connect().await.or_fail()
}

impl Connected for AnyConnection {
    async fn process(&mut self) -> Result<String, StoreError> {
        let row = sqlx::raw_sql(PROCESS).fetch_one(self).await.or_fail()?;
        row.try_get(0).or_fail()
    }
}

/// Opens the pools.
pub(super) async fn pools(
    connect: &AnyConnectOptions,
    options: &PostgresOptions,
) -> Result<Pools, StoreError> {
    let work = pool(options, options.pool_size.max(1)).connect_with(connect.clone());
    let sessions = pool(options, SESSIONS_POOL).connect_with(connect.clone());
    Ok(Pools {
        work: work.await.or_fail()?,
        sessions: sessions.await.or_fail()?,
    })
}

fn pool(options: &PostgresOptions, connections_max: u32) -> AnyPoolOptions {
    let patience = options.statement_timeout;
    let settings: Arc<str> = settings(options.statement_timeout).into();
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(options.connect_timeout)
        // A server that was restarted has forgotten its connections: they are replaced before anybody gets one.
        .test_before_acquire(true)
        // Whoever gave a call up leaves a connection behind that may never say another word.
        .after_release(move |connection: &mut AnyConnection, _| {
            Box::pin(async move {
                match tokio::time::timeout(patience, connection.ping()).await {
                    Ok(Ok(())) => Ok(true),
                    Ok(Err(error)) => Err(error),
                    Err(_elapsed) => Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())),
                }
            })
        })
        .after_connect(move |connection: &mut AnyConnection, _| {
            let settings = Arc::clone(&settings);
            Box::pin(async move {
                connection.execute(AssertSqlSafe(settings)).await?;
                Ok(())
            })
        })
}

/// What every connection is told. A node that freezes amid a transaction must not keep its locks for longer than a
/// statement may take, and one that is cut off must not keep its connections for hours.
fn settings(statement_timeout: Duration) -> String {
    let timeout = statement_timeout.as_millis();
    format!(
        "SET client_min_messages TO warning;
         SET search_path TO trunkline;
         SET statement_timeout TO {timeout};
         SET idle_in_transaction_session_timeout TO {timeout};
         SET tcp_keepalives_idle TO 60;
         SET tcp_keepalives_interval TO 10;
         SET tcp_keepalives_count TO 3;
         SET TIME ZONE 'UTC'"
    )
}
