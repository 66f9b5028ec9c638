//! Tenants: made with a workspace and a key, so that they can be used at once.

use domain::{
    ids::{TenantId, WorkspaceId},
    permission::Permissions,
    plan::{PlanName, Tier},
    region::Region,
};
use store::control::{NewTenant, NewWorkspace, Tenant, TenantChange};

use super::{Engine, EngineError, KeyInput, MadeKey};
use crate::tenant::Change;

/// What a tenant is made from.
#[derive(Clone, Debug)]
pub struct TenantInput {
    /// What people call it.
    pub name: String,
    /// Names it in keys and addresses, for ever: `[a-z0-9-]`, 1 to 40 bytes.
    pub slug: String,
    /// What it may use.
    pub plan: PlanName,
    /// Where its log lives, for ever.
    pub region: Region,
}

/// A new tenant, its workspace, and its first key.
#[derive(Debug)]
pub struct MadeTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its workspace `default`.
    pub workspace: WorkspaceId,
    /// A key that sees the whole tenant.
    pub key: MadeKey,
}

impl Engine {
    /// Makes a tenant with a workspace `default` and a key for all of it, in one transaction.
    pub async fn create_tenant(&self, input: TenantInput) -> Result<MadeTenant, EngineError> {
        if !self.inner.logs.regions().contains(&input.region) {
            return Err(EngineError::Invalid {
                pointer: "/region".into(),
                detail: format!("region {} is not served here", input.region),
            });
        }
        let id = TenantId::from_uuid(self.fresh_uuid());
        let now = self.inner.clock.now();
        let key = KeyInput {
            name: "first key".into(),
            workspace: None,
            permissions: Permissions::all(),
            tier: Tier::None,
            ip_allow: Vec::new(),
            expires_at: None,
        };
        let key = self.draft_key(id, &input.slug, key)?;
        let hash = self.inner.auth.hash(key.secret.reveal());
        let new = NewTenant {
            id,
            name: input.name,
            slug: input.slug,
            plan: input.plan,
            region: input.region,
            replicate_to: Vec::new(),
            wrapped_key: self.inner.secrets.make_tenant_key(id),
            created_at: now,
        };
        let workspace = NewWorkspace {
            id: WorkspaceId::from_uuid(self.fresh_uuid()),
            slug: "default".into(),
            name: "Default".into(),
            retention_days: None,
            created_at: now,
        };
        let workspace_id = workspace.id;
        let tenant = self
            .inner
            .control
            .create_tenant(new, workspace, Some((key.record.clone(), hash)))
            .await?;
        Ok(MadeTenant {
            tenant,
            workspace: workspace_id,
            key,
        })
    }

    /// One tenant.
    pub async fn tenant(&self, id: TenantId) -> Result<Tenant, EngineError> {
        let found = self.inner.control.tenant(id).await?;
        found.ok_or(EngineError::NotFound("tenant"))
    }

    /// Tenants in the order in which they were made.
    pub async fn tenants(
        &self,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<Tenant>, EngineError> {
        Ok(self.inner.control.tenants(after, limit).await?)
    }

    /// Changes name, plan, or whether the tenant is suspended.
    pub async fn update_tenant(
        &self,
        id: TenantId,
        change: TenantChange,
        if_version: Option<i64>,
    ) -> Result<Tenant, EngineError> {
        let tenant = self
            .inner
            .control
            .update_tenant(id, change, if_version)
            .await?;
        self.inner.auth.forget(id);
        self.tell_tenant(id, Change::Tenant).await;
        Ok(tenant)
    }
}
