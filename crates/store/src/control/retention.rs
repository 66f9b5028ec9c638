//! For how long tenants' events are to be kept: what their plans are called, and what their workspaces ask for.
//!
//! Deleted workspaces count: their events stay until they have outlived their time. What a plan allows is not known here.

use std::collections::HashMap;

use domain::{
    ids::{TenantId, WorkspaceId},
    plan::PlanName,
    template::Template,
};

use sqlx::any::AnyRow;

use super::{
    Control,
    columns::{maybe_json, maybe_number, parsed},
    failure::Outcome as _,
};
use crate::StoreError;

/// Rows that one question may find. A row that were left out would only have its events kept for longer.
const FOUND_MAX: i64 = 1_000_000;

/// What decides for how long a tenant's events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// What the tenant has paid for.
    pub plan: PlanName,
    /// Workspaces that ask for a time of their own, with the days.
    pub own: Vec<(WorkspaceId, u32)>,
}

impl Control {
    /// What decides about the tenants from one id to another, both of them included.
    pub async fn keepings(
        &self,
        from: TenantId,
        to: TenantId,
    ) -> Result<HashMap<TenantId, Keeping>, StoreError> {
        const PLANS: &str = "
            SELECT id, plan
            FROM   tenants
            WHERE  id >= $1
            AND    id <= $2
            ORDER BY id
            LIMIT  $3";
        const OWN: &str = "
            SELECT tenant, id, retention_days, template
            FROM   workspaces
            WHERE  tenant >= $1
            AND    tenant <= $2
            AND    (retention_days IS NOT NULL OR template IS NOT NULL)
            ORDER BY tenant, id
            LIMIT  $3";

        let (from, to) = (from.to_string(), to.to_string());
        let mut keepings = HashMap::new();
        for sql in [PLANS, OWN] {
            let rows = sqlx::query(sql)
                .bind(from.as_str())
                .bind(to.as_str())
                .bind(FOUND_MAX)
                .fetch_all(&mut self.database.reader().await?)
                .await
                .or_fail()?;
            for row in &rows {
                if sql == PLANS {
                    let keeping = Keeping {
                        plan: parsed(row, "plan")?,
                        own: Vec::new(),
                    };
                    keepings.insert(parsed(row, "id")?, keeping);
                } else if let Some(keeping) = keepings.get_mut(&parsed(row, "tenant")?) {
                    let days = own_days(row)?;
                    let workspace = parsed(row, "id")?;
                    keeping.own.extend(days.map(|days| (workspace, days)));
                }
            }
        }
        Ok(keepings)
    }

    /// The shortest time that any workspace asks for, in days.
    pub async fn shortest_own_retention(&self) -> Result<Option<u32>, StoreError> {
        const SHORTEST: &str = "
            SELECT MIN(retention_days) AS days
            FROM   workspaces
            WHERE  retention_days IS NOT NULL";
        const TEMPLATES: &str = r#"
            SELECT retention_days, template
            FROM   workspaces
            WHERE  template IS NOT NULL
            AND    template NOT LIKE '%"retention_days":null%'
            LIMIT  $1"#;

        let row = sqlx::query(SHORTEST)
            .fetch_one(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        let mut shortest = maybe_number(&row, "days")?;
        let rows = sqlx::query(TEMPLATES)
            .bind(FOUND_MAX)
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        for row in &rows {
            let days = own_days(row)?;
            shortest = [shortest, days].into_iter().flatten().min();
        }
        Ok(shortest)
    }

    /// Whose workspace this is, deleted or not.
    pub async fn tenant_of_workspace(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Option<TenantId>, StoreError> {
        const OF: &str = "
            SELECT tenant
            FROM   workspaces
            WHERE  id = $1";

        sqlx::query(OF)
            .bind(workspace.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| parsed(&row, "tenant"))
            .transpose()
    }
}

/// What a workspace asks for: the longer of what it says itself and what its template says, because neither may be broken.
fn own_days(row: &AnyRow) -> Result<Option<u32>, StoreError> {
    let own: Option<u32> = maybe_number(row, "retention_days")?;
    let template: Option<Template> = maybe_json(row, "template")?;
    Ok(own.max(template.and_then(|template| template.retention_days)))
}
