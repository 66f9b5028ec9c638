//! For how long tenants' events are to be kept: what their plans are called, and what their workspaces ask for.
//!
//! Deleted workspaces count: their events stay until they have outlived their time. What a plan allows is not known here.

use std::collections::HashMap;

use domain::{
    ids::{TenantId, WorkspaceId},
    plan::PlanName,
    template::Template,
};

use sqlx::{AssertSqlSafe, any::AnyRow};

use super::{
    Control,
    columns::{maybe_json, maybe_number, parsed},
    failure::Outcome as _,
};
use crate::StoreError;

/// Rows that one question may find. A row that were left out would only have its events kept for longer.
const FOUND_MAX: i64 = 1_000_000;

/// Tenants that are looked up by one question.
const LOOKED_UP_AT_ONCE: usize = 250;

/// Workspaces that ask for a time of their own. Most templates ask for none, and need not be read.
const OWN: &str = r#"
    SELECT tenant, id, retention_days, template
    FROM   workspaces
    WHERE  (retention_days IS NOT NULL OR template NOT LIKE '%"retention_days":null%')
    AND    tenant"#;

/// What decides for how long a tenant's events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// What the tenant has paid for.
    pub plan: PlanName,
    /// Workspaces that ask for a time of their own, with the days.
    pub own: Vec<(WorkspaceId, u32)>,
}

impl Control {
    /// What decides about these tenants, as far as they are known.
    pub async fn keepings(
        &self,
        tenants: &[TenantId],
    ) -> Result<HashMap<TenantId, Keeping>, StoreError> {
        let mut keepings = HashMap::with_capacity(tenants.len());
        for some in tenants.chunks(LOOKED_UP_AT_ONCE) {
            for row in &self
                .rows_of(some, "SELECT id, plan FROM tenants WHERE id")
                .await?
            {
                let keeping = Keeping {
                    plan: parsed(row, "plan")?,
                    own: Vec::new(),
                };
                keepings.insert(parsed(row, "id")?, keeping);
            }
            for row in &self.rows_of(some, OWN).await? {
                let tenant: TenantId = parsed(row, "tenant")?;
                if let (Some(keeping), Some(days)) = (keepings.get_mut(&tenant), own_days(row)?) {
                    keeping.own.push((parsed(row, "id")?, days));
                }
            }
        }
        Ok(keepings)
    }

    /// What a statement finds that ends with the name of a column of tenants' ids.
    async fn rows_of(&self, tenants: &[TenantId], sql: &str) -> Result<Vec<AnyRow>, StoreError> {
        let places: Vec<String> = (2..tenants.len() + 2)
            .map(|place| format!("${place}"))
            .collect();
        let sql = format!("{sql} IN ({}) LIMIT $1", places.join(", "));
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(FOUND_MAX);
        for tenant in tenants {
            query = query.bind(tenant.to_string());
        }
        // Kept by no connection: there would be as many statements as there are numbers of tenants.
        query
            .persistent(false)
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()
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
