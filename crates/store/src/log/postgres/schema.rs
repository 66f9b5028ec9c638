//! Brings a region's schema up to date, one process at a time, and makes sure that it is this region's.
//!
//! The migrations have the numbers that they have on `SQLite`. A landed one is never edited: its checksum is kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::region::Region;
use sqlx::migrate::{Migration, Migrator};
use tokio_postgres::Client;
use tracing::warn;

use super::{
    connect::Server,
    failure::store_error,
    partitions::{Month, make_ahead},
};
use crate::{Migrated, StoreError};

/// The schema, step by step.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/region/postgres");

const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
const UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended($1, 0))";
/// Whoever else migrates is waited for so long; statements of a migration may take as long as they need.
const PATIENCE: &str = "SET statement_timeout = 0; SET lock_timeout = '60s'";

/// Brings the schema up to date and makes partitions ahead.
pub(super) async fn prepare(server: &Server, region: Region) -> Result<Migrated, StoreError> {
    let client = server.connect().await?;
    let migrated = locked(&client, server, async {
        let migrated = migrate(&client, server).await?;
        claim(&client, server, region).await?;
        let month = Month::of(now(&client).await?);
        if let Err(error) = make_ahead(&client, &server.schema, month).await {
            // The last partition takes what comes, and the next sweep tries again.
            warn!(schema = %server.schema, %error, "no partitions were made ahead in {}: {error}", server.schema);
        }
        Ok(migrated)
    });
    migrated.await
}

/// Makes the partitions of a month and of those to come.
pub(super) async fn make_partitions(server: &Server, now: Month) -> Result<(), StoreError> {
    let client = server.connect().await?;
    locked(&client, server, async {
        make_ahead(&client, &server.schema, now).await
    })
    .await
}

/// Does something that only one process may do at a time. The lock goes with the connection too.
pub(super) async fn locked<T>(
    client: &Client,
    server: &Server,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let name = format!("trunkline {}", server.schema);
    let settings = format!(
        "SET client_min_messages = warning; SET search_path = {}; {PATIENCE}",
        server.schema
    );
    client.batch_execute(&settings).await.map_err(store_error)?;
    client.execute(LOCK, &[&name]).await.map_err(store_error)?;
    let done = work.await?;
    client
        .execute(UNLOCK, &[&name])
        .await
        .map_err(store_error)?;
    Ok(done)
}

async fn migrate(client: &Client, server: &Server) -> Result<Migrated, StoreError> {
    const HAS_SCHEMA: &str = "SELECT to_regnamespace($1) IS NOT NULL";
    const APPLIED_TABLE: &str = "
        CREATE TABLE IF NOT EXISTS migrations (
            version    BIGINT      PRIMARY KEY,
            name       TEXT        NOT NULL,
            checksum   BYTEA       NOT NULL,
            applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )";
    const APPLIED: &str = "SELECT version, checksum FROM migrations ORDER BY version LIMIT 10000";

    let schema = &server.schema;
    // Looked for first: who may not make schemas may use one that is there.
    let found = client.query_one(HAS_SCHEMA, &[schema]).await;
    let has_schema: bool = found.and_then(|row| row.try_get(0)).map_err(store_error)?;
    if !has_schema {
        let make = format!("CREATE SCHEMA {schema}");
        client.batch_execute(&make).await.map_err(store_error)?;
    }
    client
        .batch_execute(APPLIED_TABLE)
        .await
        .map_err(store_error)?;
    let rows = client.query(APPLIED, &[]).await.map_err(store_error)?;
    let applied: BTreeMap<i64, Vec<u8>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    check(&applied, schema)?;
    let from = applied.keys().next_back().copied().unwrap_or_default();
    let mut to = from;
    for migration in MIGRATIONS.iter() {
        if !applied.contains_key(&migration.version) {
            apply(client, migration).await?;
            to = to.max(migration.version);
        }
    }
    Ok(Migrated { from, to })
}

/// Refuses a schema that a newer version made, and one that was made by another text.
fn check(applied: &BTreeMap<i64, Vec<u8>>, schema: &str) -> Result<(), StoreError> {
    for (version, checksum) in applied {
        let known = MIGRATIONS
            .iter()
            .find(|migration| migration.version == *version);
        let Some(known) = known else {
            return Err(StoreError::Unavailable(format!(
                "{schema} has schema {version}, which this version does not know: start the newer version that wrote it"
            )));
        };
        if *known.checksum != **checksum {
            return Err(StoreError::Corrupt(format!(
                "the schema of {schema}: migration {version} was applied with another text"
            )));
        }
    }
    Ok(())
}

async fn apply(client: &Client, migration: &Migration) -> Result<(), StoreError> {
    const NOTE: &str = "INSERT INTO migrations (version, name, checksum) VALUES ($1, $2, $3)";

    client.batch_execute("BEGIN").await.map_err(store_error)?;
    client
        .batch_execute(migration.sql.as_str())
        .await
        .map_err(store_error)?;
    let (name, checksum) = (&*migration.description, &*migration.checksum);
    client
        .execute(NOTE, &[&migration.version, &name, &checksum])
        .await
        .map_err(store_error)?;
    client.batch_execute("COMMIT").await.map_err(store_error)
}

/// Makes sure that the log is this region's.
async fn claim(client: &Client, server: &Server, region: Region) -> Result<(), StoreError> {
    const CLAIM: &str = "
        INSERT INTO region (name)
        SELECT $1::TEXT WHERE NOT EXISTS (SELECT 1 FROM region)";
    const NAME: &str = "SELECT name FROM region LIMIT 1";

    client
        .execute(CLAIM, &[&region.name()])
        .await
        .map_err(store_error)?;
    let row = client.query_one(NAME, &[]).await.map_err(store_error)?;
    let name: &str = row.try_get(0).map_err(store_error)?;
    if name == region.name() {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} is the log of region {name}, not of {region}",
        server.schema
    )))
}

/// The server's time: what one server keeps is dated by one clock.
async fn now(client: &Client) -> Result<DateTime<Utc>, StoreError> {
    const NOW: &str = "SELECT (extract(epoch FROM now()) * 1000000)::BIGINT";

    let row = client.query_one(NOW, &[]).await.map_err(store_error)?;
    let micros: i64 = row.try_get(0).map_err(store_error)?;
    Ok(DateTime::from_timestamp_micros(micros).unwrap_or_default())
}
