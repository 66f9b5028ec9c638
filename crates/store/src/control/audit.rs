//! The audit log: who changed what, when, and from where.
//!
//! Only ever appended to. Says nothing about events: those have a log of their own.

use std::net::IpAddr;

use domain::{ids::TenantId, time::Timestamp};
use sqlx::{AnyConnection, any::AnyRow};

use super::{
    Control,
    columns::{big, json, maybe_parsed, maybe_text, number, parsed, text, time, to_json},
    counters::bump,
    failure::{Failed, Outcome as _},
};
use crate::StoreError;

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Whose data it concerned.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// Who: the id of a key, or `operator`, or `engine`.
    pub actor: String,
    /// What, such as `webhook.created`.
    pub action: String,
    /// What kind of thing it was done to, such as `webhook`.
    pub resource_type: String,
    /// To which one.
    pub resource_id: String,
    /// What else is worth knowing; never a secret.
    pub meta: serde_json::Value,
    /// From where, if a request did it.
    pub ip: Option<IpAddr>,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

/// An entry with its place in its tenant's audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAudit {
    /// 1, 2, 3 …
    pub no: u64,
    /// What was done.
    pub entry: AuditEntry,
}

/// Which entries; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only this action.
    pub action: Option<String>,
    /// Only by this actor.
    pub actor: Option<String>,
    /// Only what was done to things of this kind.
    pub resource_type: Option<String>,
    /// Only what was done to this one.
    pub resource_id: Option<String>,
    /// Only at or after this moment.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub to: Option<Timestamp>,
}

const APPEND: &str = "
    INSERT INTO audit_log (tenant, no, at, actor, action, resource_type, resource_id, meta, ip, user_agent)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const LIST: &str = "
    SELECT tenant, no, at, actor, action, resource_type, resource_id, meta, ip, user_agent
    FROM   audit_log
    WHERE  tenant = $1
    AND    no < $2
    AND    ($3 IS NULL OR action = $3)
    AND    ($4 IS NULL OR actor = $4)
    AND    at >= $5
    AND    at < $6
    AND    ($7 IS NULL OR resource_type = $7)
    AND    ($8 IS NULL OR resource_id = $8)
    ORDER BY no DESC
    LIMIT  $9";

impl Control {
    /// Appends an entry and answers its place in the tenant's audit log.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<u64, StoreError> {
        self.database.again(|| self.try_to_append(entry)).await
    }

    async fn try_to_append(&self, entry: &AuditEntry) -> Result<u64, Failed> {
        let mut transaction = self.database.begin().await?;
        let no = append(&mut transaction, entry).await?;
        transaction.commit().await.or_collide()?;
        Ok(no)
    }

    /// One page of the tenant's audit log, newest first: what follows the entry with the number `after`, at most
    /// `limit`.
    pub async fn audit_log(
        &self,
        tenant: TenantId,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: u32,
    ) -> Result<Vec<RecordedAudit>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(tenant.to_string())
            .bind(after.map_or(i64::MAX, big))
            .bind(filter.action.as_deref())
            .bind(filter.actor.as_deref())
            .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.to.map_or(i64::MAX, Timestamp::micros))
            .bind(filter.resource_type.as_deref())
            .bind(filter.resource_id.as_deref())
            .bind(i64::from(limit))
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        rows.iter().map(from_row).collect()
    }
}

/// Appends an entry in the transaction of what it tells of: there is either both of them or neither.
pub(super) async fn append(on: &mut AnyConnection, entry: &AuditEntry) -> Result<u64, Failed> {
    let no = bump(on, &format!("audit_log.no/{}", entry.tenant)).await?;
    sqlx::query(APPEND)
        .bind(entry.tenant.to_string())
        .bind(no)
        .bind(entry.at.micros())
        .bind(entry.actor.as_str())
        .bind(entry.action.as_str())
        .bind(entry.resource_type.as_str())
        .bind(entry.resource_id.as_str())
        .bind(to_json(&entry.meta))
        .bind(entry.ip.map(|ip| ip.to_string()))
        .bind(entry.user_agent.as_deref())
        .execute(on)
        .await
        .or_dangling("tenant")?;
    Ok(no.unsigned_abs())
}

fn from_row(row: &AnyRow) -> Result<RecordedAudit, StoreError> {
    Ok(RecordedAudit {
        no: number(row, "no")?,
        entry: AuditEntry {
            tenant: parsed(row, "tenant")?,
            at: time(row, "at")?,
            actor: text(row, "actor")?,
            action: text(row, "action")?,
            resource_type: text(row, "resource_type")?,
            resource_id: text(row, "resource_id")?,
            meta: json(row, "meta")?,
            ip: maybe_parsed(row, "ip")?,
            user_agent: maybe_text(row, "user_agent")?,
        },
    })
}
