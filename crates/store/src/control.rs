//! The control plane: tenants, keys, workspaces, webhooks, devices, answers to repeated requests, and who did what.
//!
//! One SQL text for every database (DESIGN §6), in the portable subset that `migrations/control` describes. Several
//! nodes may work on one server at the same time: what each of them owns is in leases. Decides no policy: what a plan
//! allows comes in as a number, secrets come in sealed, and time comes in as an argument.

mod audit;
mod columns;
mod counters;
mod database;
mod devices;
mod failure;
mod keys;
mod leases;
mod limits;
mod reservations;
mod retention;
mod sessions;
mod tenants;
mod webhooks;
mod workspaces;

#[cfg(test)]
mod conformance;

use std::{sync::Arc, time::Duration};

use domain::time::Timestamp;
use tokio::time::Instant;

pub use self::{
    audit::{AuditEntry, AuditFilter, RecordedAudit},
    devices::{ChangedDevice, Device, DeviceChange, DeviceNote, Holder, NewDevice, OpenedDevice},
    leases::{Before, Claim, LeaseKey, LeaseKind, Owner},
    reservations::{Answer, Reservation, Reserve},
    retention::Keeping,
    sessions::{NodeSession, Renewal, SessionId},
    tenants::{NewTenant, Tenant, TenantChange},
    webhooks::SealedWebhook,
    workspaces::{NewWorkspace, Workspace},
};
use self::{columns::number, database::Database, failure::Outcome as _};
use crate::{Migrated, PostgresOptions, StoreError};

/// The control plane on one database. Cheap to clone; every clone is the same.
#[derive(Clone, Debug)]
pub struct Control {
    database: Arc<Database>,
}

/// Counts for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlCounts {
    /// Tenants that there are.
    pub tenants: u64,
    /// Keys that have been used since the given moment, as far as that was written down.
    pub keys_used: u64,
}

const PING: &str = "SELECT 1 AS one";

const COUNTS: &str = "
    SELECT (SELECT COUNT(*) FROM tenants) AS tenants,
           (SELECT COUNT(*) FROM api_keys WHERE last_used_at >= $1) AS keys_used";

impl Control {
    /// Opens the database, such as `sqlite:data/control.db` or `postgres://host/database`, and brings its schema up to
    /// date. A file that is not there is made; its folder must be there. On a server, everything is in the schema
    /// `trunkline`.
    ///
    /// Refuses a schema that is newer than this program, because it could not know what it would spoil.
    pub async fn open(url: &str) -> Result<Control, StoreError> {
        let database = Database::open(url).await?;
        Ok(Control {
            database: Arc::new(database),
        })
    }

    /// The same on a server, with its pool and timeouts. Connections live on the runtime on which this is called.
    pub async fn open_postgres(options: &PostgresOptions) -> Result<Control, StoreError> {
        let database = Database::open_postgres(options).await?;
        Ok(Control {
            database: Arc::new(database),
        })
    }

    /// Brings the schema up to date and does nothing else. Says where it stood and stands.
    pub async fn migrate(url: &str) -> Result<Migrated, StoreError> {
        Database::migrate(url).await
    }

    /// The same on a server.
    pub async fn migrate_postgres(options: &PostgresOptions) -> Result<Migrated, StoreError> {
        Database::migrate_postgres(options).await
    }

    /// Waits for what runs, flushes and closes. Later calls fail with [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Asks the database for an answer and says how long that took.
    pub async fn ping(&self) -> Result<Duration, StoreError> {
        let asked_at = Instant::now();
        sqlx::query(PING)
            .fetch_one(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        Ok(asked_at.elapsed())
    }

    /// Counts for operators, over all tenants.
    pub async fn operator_counts(
        &self,
        used_since: Timestamp,
    ) -> Result<ControlCounts, StoreError> {
        let row = sqlx::query(COUNTS)
            .bind(used_since.micros())
            .fetch_one(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        Ok(ControlCounts {
            tenants: number(&row, "tenants")?,
            keys_used: number(&row, "keys_used")?,
        })
    }
}
