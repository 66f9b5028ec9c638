//! The control plane: tenants, keys, workspaces, webhooks, answers to repeated requests, and who did what.
//!
//! One SQL text for every database (DESIGN §6), in the portable subset that `migrations/control` describes. Decides no
//! policy: what a plan allows comes in as a number, secrets come in sealed, and time comes in as an argument.

mod audit;
mod columns;
mod counters;
mod database;
mod failure;
mod keys;
mod reservations;
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
    reservations::{Answer, Reservation, Reserve},
    tenants::{NewTenant, Tenant, TenantChange},
    webhooks::SealedWebhook,
    workspaces::{NewWorkspace, Workspace},
};
use self::{columns::number, database::Database, failure::Outcome as _};
use crate::StoreError;

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
    /// Opens the database, such as `sqlite:data/control.db`, and brings its schema up to date. A file that is not there
    /// is made; its folder must be there.
    ///
    /// Refuses a schema that is newer than this program, because it could not know what it would spoil.
    pub async fn open(url: &str) -> Result<Control, StoreError> {
        let database = Database::open(url).await?;
        Ok(Control {
            database: Arc::new(database),
        })
    }

    /// Waits for what runs, flushes and closes. Later calls fail with [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Asks the database for an answer and says how long that took.
    pub async fn ping(&self) -> Result<Duration, StoreError> {
        let asked_at = Instant::now();
        sqlx::query(PING)
            .fetch_one(self.database.reader())
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
            .fetch_one(self.database.reader())
            .await
            .or_fail()?;
        Ok(ControlCounts {
            tenants: number(&row, "tenants")?,
            keys_used: number(&row, "keys_used")?,
        })
    }
}
