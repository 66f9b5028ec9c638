//! Who owns what: looked up by any node, without a lock. An answer may be old by the time it arrives.

use std::collections::HashMap;

use domain::{fence::Fence, ids::TenantId};
use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    Claim,
    key::{LeaseKey, LeaseKind},
};
use crate::{
    StoreError,
    control::{
        Control,
        columns::{big, number, parsed, text},
        failure::Outcome as _,
        sessions::SessionId,
    },
};

/// Whose a lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Which session's.
    pub session: SessionId,
    /// What its node calls itself.
    pub node: String,
    /// What its writes carry.
    pub fence: Fence,
}

/// Keys that are looked up at once.
const LOOKED_UP_AT_ONCE: usize = 256;
/// Leases that are read at once when all of a session are asked for.
const PAGE: usize = 1_000;

pub(super) const OWNER: &str = "
    SELECT leases.session, leases.node, leases.fence
    FROM   leases
    JOIN   node_sessions ON node_sessions.id = leases.session
    WHERE  leases.kind = $1
    AND    leases.key = $2
    AND    node_sessions.expires_at > (SELECT now FROM database_clock)";

const OF_SESSION: &str = "
    SELECT   kind, key, fence
    FROM     leases
    WHERE    session = $1
    AND      kind = $2
    AND      key > $3
    ORDER BY key
    LIMIT    $4";

impl Control {
    /// Whose a lease is, if a session that lives owns it.
    pub async fn owner(&self, key: &LeaseKey) -> Result<Option<Owner>, StoreError> {
        let look = async {
            let row = sqlx::query(OWNER)
                .bind(key.kind().name())
                .bind(key.text())
                .fetch_optional(&mut self.database.reader().await?)
                .await
                .or_fail()?;
            row.map(|row| owner_of(&row)).transpose()
        };
        self.database.patiently(look).await
    }

    /// What a session owns of one kind, in the order of the keys.
    pub async fn leases_of(
        &self,
        session: SessionId,
        kind: LeaseKind,
    ) -> Result<Vec<(LeaseKey, Fence)>, StoreError> {
        let mut all: Vec<(LeaseKey, Fence)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.text()).unwrap_or_default();
            let read = async {
                let rows = sqlx::query(OF_SESSION)
                    .bind(session.to_string())
                    .bind(kind.name())
                    .bind(after)
                    .bind(big(PAGE as u64))
                    .fetch_all(&mut self.database.reader().await?)
                    .await
                    .or_fail()?;
                let page = rows.iter().map(|row| lease_of(row, kind));
                page.collect::<Result<Vec<_>, StoreError>>()
            };
            let page = self.database.patiently(read).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Of these tenants, those that no session that lives owns; in the order in which they were given.
    pub async fn without_owner(&self, tenants: &[TenantId]) -> Result<Vec<TenantId>, StoreError> {
        let owners = self.owners_of(tenants).await?;
        let free = tenants.iter().filter(|tenant| !owners.contains_key(tenant));
        Ok(free.copied().collect())
    }

    /// Of these tenants, those that a session that lives owns, and which one.
    pub async fn owners_of(
        &self,
        tenants: &[TenantId],
    ) -> Result<HashMap<TenantId, SessionId>, StoreError> {
        let mut owners = HashMap::new();
        for chunk in tenants.chunks(LOOKED_UP_AT_ONCE) {
            owners.extend(self.database.patiently(self.owners_of_some(chunk)).await?);
        }
        Ok(owners)
    }

    async fn owners_of_some(
        &self,
        tenants: &[TenantId],
    ) -> Result<Vec<(TenantId, SessionId)>, StoreError> {
        let places: Vec<String> = (2..tenants.len() + 2)
            .map(|place| format!("${place}"))
            .collect();
        let sql = format!(
            "SELECT leases.key, leases.session
             FROM   leases
             JOIN   node_sessions ON node_sessions.id = leases.session
             WHERE  leases.kind = $1
             AND    leases.key IN ({})
             AND    node_sessions.expires_at > (SELECT now FROM database_clock)",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(LeaseKind::Tenant.name());
        for tenant in tenants {
            query = query.bind(tenant.to_string());
        }
        // Kept by no connection: there would be as many statements as there are numbers of tenants.
        let rows = query
            .persistent(false)
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        let owner = |row| Ok((parsed(row, "key")?, parsed(row, "session")?));
        rows.iter().map(owner).collect()
    }
}

impl Owner {
    /// Says that it is taken.
    pub(super) fn into_held(self) -> Claim {
        Claim::Held {
            by: self.session,
            node: self.node,
            fence: self.fence,
        }
    }
}

/// Reads an owner.
pub(super) fn owner_of(row: &AnyRow) -> Result<Owner, StoreError> {
    Ok(Owner {
        session: parsed(row, "session")?,
        node: text(row, "node")?,
        fence: Fence::new(number(row, "fence")?),
    })
}

fn lease_of(row: &AnyRow, kind: LeaseKind) -> Result<(LeaseKey, Fence), StoreError> {
    let key = LeaseKey::read(kind, text(row, "key")?)?;
    Ok((key, Fence::new(number(row, "fence")?)))
}
