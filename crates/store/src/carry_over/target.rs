//! The server: whether it may be written to, and the note that says which installation is being carried over.
//!
//! The note is the table `trunkline.carry_over`. A server that serves never looks at it.

use std::collections::HashSet;

use domain::{
    ids::{TenantId, WorkspaceId},
    region::Region,
    time::Timestamp,
};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::{CarryOverError, Side, source::Source};
use crate::{PostgresOptions, control::Control, log::postgres::PostgresLog};

/// What a session has to know. An earlier run that was killed may take a moment until its last statement has ended.
const SETTINGS: &str = "
    SET application_name = 'trunkline carry-over';
    SET client_min_messages = warning;
    SET statement_timeout = 0;
    SET lock_timeout = '60s';
    SET idle_in_transaction_session_timeout = 0";

/// One connection to the server, and the lock that keeps a second carry-over out.
pub(super) struct Target {
    pub(super) client: Client,
}

/// Whether there is anything to do.
pub(super) enum Admission {
    /// There is.
    Open,
    /// It was done before.
    Done {
        /// When.
        at: Timestamp,
    },
}

impl Target {
    /// Connects, and waits until no other carry-over is at work.
    pub(super) async fn connect(options: &PostgresOptions) -> Result<Target, CarryOverError> {
        const LOCK: &str =
            "SELECT pg_advisory_lock(hashtextextended('trunkline carry-over', 0))::TEXT";

        let client = PostgresLog::connect(options)
            .await
            .map_err(CarryOverError::store(
                Side::Target,
                "connecting to the database",
            ))?;
        let failed = || CarryOverError::target("waiting for another carry-over");
        client.batch_execute(SETTINGS).await.map_err(failed())?;
        client.query(LOCK, &[]).await.map_err(failed())?;
        Ok(Target { client })
    }

    /// Refuses a target that is served from, or holds what is not from this source. Changes nothing.
    pub(super) async fn admit(&self, source: &Source) -> Result<Admission, CarryOverError> {
        const LIVE: &str = "
            SELECT count(*) FROM trunkline.node_sessions
            WHERE  expires_at > (SELECT now FROM trunkline.database_clock)";
        const NOTES: &str = "SELECT source, finished_at FROM trunkline.carry_over LIMIT 10";
        const TENANTS: &str = "SELECT count(*) FROM trunkline.tenants";

        let notes = self.rows_of("trunkline.carry_over", NOTES).await?;
        for note in &notes {
            let (of, finished_at): (String, Option<i64>) = (note.get(0), note.get(1));
            if of != source.name() {
                let what = format!("another installation, whose first tenant is {of}");
                return Err(CarryOverError::TargetHolds { what });
            }
            if let Some(at) = finished_at {
                let at = Timestamp::from_micros(at);
                return Ok(Admission::Done { at });
            }
        }
        let nodes = match self.rows_of("trunkline.node_sessions", LIVE).await?.first() {
            Some(row) => row.get(0),
            None => 0,
        };
        if nodes > 0 {
            return Err(CarryOverError::TargetInUse { nodes });
        }
        if let Some(row) = self.rows_of("trunkline.tenants", TENANTS).await?.first() {
            check_no_tenants(row.get(0))?;
        }
        for region in Region::ALL {
            self.check_region(region, source, !notes.is_empty()).await?;
        }
        Ok(Admission::Open)
    }

    /// Makes the schemas, and notes what they are for.
    pub(super) async fn begin(
        &self,
        options: &PostgresOptions,
        source: &Source,
    ) -> Result<(), CarryOverError> {
        const TABLE: &str = "
            CREATE TABLE IF NOT EXISTS trunkline.carry_over (
                source      TEXT   NOT NULL PRIMARY KEY,
                started_at  BIGINT NOT NULL,
                finished_at BIGINT
            )";
        const NOTE: &str = "
            INSERT INTO trunkline.carry_over (source, started_at)
            SELECT $1, now FROM trunkline.database_clock
            ON CONFLICT (source) DO NOTHING";

        Control::migrate_postgres(options)
            .await
            .map_err(CarryOverError::store(
                Side::Target,
                "making the schema trunkline",
            ))?;
        let failed = || CarryOverError::target("noting that it begins");
        self.client.batch_execute(TABLE).await.map_err(failed())?;
        let name = source.name();
        self.client
            .execute(NOTE, &[&name])
            .await
            .map_err(failed())?;
        Ok(())
    }

    /// The number of a tenant in a region's log, with all its workspaces; made if they are not there.
    pub(super) async fn tenant_no(
        &self,
        schema: &str,
        tenant: TenantId,
        workspaces: &[WorkspaceId],
    ) -> Result<i64, CarryOverError> {
        let failed = || CarryOverError::target("numbering a tenant");
        let make = format!(
            "INSERT INTO {schema}.tenants (id)
             SELECT $1::UUID WHERE NOT EXISTS (SELECT 1 FROM {schema}.tenants WHERE id = $1)
             ON CONFLICT (id) DO NOTHING"
        );
        let find = format!("SELECT no FROM {schema}.tenants WHERE id = $1");
        let streams = format!(
            "INSERT INTO {schema}.streams (tenant_no, id)
             SELECT $1, w.id FROM unnest($2::UUID[]) AS w (id)
             WHERE  NOT EXISTS (SELECT 1 FROM {schema}.streams s WHERE s.tenant_no = $1 AND s.id = w.id)
             ON CONFLICT (tenant_no, id) DO NOTHING"
        );
        let id = tenant.uuid();
        self.client.execute(&make, &[&id]).await.map_err(failed())?;
        let row = self
            .client
            .query_one(&find, &[&id])
            .await
            .map_err(failed())?;
        let no: i64 = row.get(0);
        let ids: Vec<Uuid> = workspaces.iter().map(|one| one.uuid()).collect();
        self.client
            .execute(&streams, &[&no, &ids])
            .await
            .map_err(failed())?;
        Ok(no)
    }

    /// A count.
    pub(super) async fn count(&self, statement: &str) -> Result<i64, CarryOverError> {
        let row = self.client.query_one(statement, &[]).await;
        row.map(|row| row.get(0))
            .map_err(CarryOverError::target("counting rows"))
    }

    async fn check_region(
        &self,
        region: Region,
        source: &Source,
        was_begun: bool,
    ) -> Result<(), CarryOverError> {
        let table = format!("{}.tenants", schema(region));
        let found = self
            .rows_of(&table, &format!("SELECT id FROM {table}"))
            .await?;
        let ours: HashSet<TenantId> = if was_begun {
            source.writers(region)
        } else {
            HashSet::new()
        };
        let mut ids = found.iter().map(|row| TenantId::from_uuid(row.get(0)));
        match ids.find(|id| !ours.contains(id)) {
            Some(id) => Err(CarryOverError::TargetHolds {
                what: format!(
                    "a log of the tenant {id} in region {region}, which is not from here"
                ),
            }),
            None => Ok(()),
        }
    }

    /// What a statement finds in a table that may not be there.
    async fn rows_of(&self, table: &str, statement: &str) -> Result<Vec<Row>, CarryOverError> {
        const IS_THERE: &str = "SELECT to_regclass($1) IS NOT NULL";

        let failed = || CarryOverError::target(format!("looking into {table}"));
        let found = self.client.query_one(IS_THERE, &[&table]).await;
        let is_there: bool = found.map_err(failed())?.get(0);
        if !is_there {
            return Ok(Vec::new());
        }
        self.client.query(statement, &[]).await.map_err(failed())
    }
}

/// Refuses a control plane that has tenants: it gets its tenants last.
pub(super) fn check_no_tenants(count: i64) -> Result<(), CarryOverError> {
    if count == 0 {
        return Ok(());
    }
    let what = format!("{count} tenant(s) that are not from here");
    Err(CarryOverError::TargetHolds { what })
}

/// Where a region's log is.
pub(super) fn schema(region: Region) -> String {
    format!("region_{}", region.name().to_ascii_lowercase())
}
