//! Workspaces and their templates.

use std::time::Duration;

use domain::{
    ids::{TenantId, WorkspaceId},
    template::Template,
};
use store::control::{NewWorkspace, Workspace};

use super::{Engine, EngineError};
use crate::{
    placement::changes::SharedChange,
    tenant::{Change, Changed},
};

const TELL_AGAIN_FIRST: Duration = Duration::from_millis(100);
const TELL_AGAIN_MAX: Duration = Duration::from_secs(5);

/// What a workspace is made from.
#[derive(Clone, Debug)]
pub struct WorkspaceInput {
    /// Names it within its tenant, for ever.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// How long its events are kept; the plan's time if `None`.
    pub retention_days: Option<u32>,
}

impl Engine {
    /// Makes a workspace.
    pub async fn create_workspace(
        &self,
        tenant: TenantId,
        input: WorkspaceInput,
    ) -> Result<Workspace, EngineError> {
        let new = NewWorkspace {
            id: WorkspaceId::from_uuid(self.fresh_uuid()),
            slug: input.slug,
            name: input.name,
            retention_days: input.retention_days,
            created_at: self.inner.clock.now(),
        };
        let id = new.id;
        let made = self.inner.control.create_workspace(tenant, new).await?;
        self.tell_tenant(tenant, Change::Workspace(id)).await;
        Ok(made)
    }

    /// One workspace.
    pub async fn workspace(
        &self,
        tenant: TenantId,
        id: WorkspaceId,
    ) -> Result<Workspace, EngineError> {
        let found = self.inner.control.workspace(tenant, id).await?;
        found.ok_or(EngineError::NotFound("workspace"))
    }

    /// One workspace, by the name that it has within its tenant.
    pub async fn workspace_by_slug(
        &self,
        tenant: TenantId,
        slug: &str,
    ) -> Result<Workspace, EngineError> {
        let found = self.inner.control.workspace_by_slug(tenant, slug).await?;
        found.ok_or(EngineError::NotFound("workspace"))
    }

    /// Workspaces in the order in which they were made.
    pub async fn workspaces(
        &self,
        tenant: TenantId,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<Workspace>, EngineError> {
        Ok(self.inner.control.workspaces(tenant, after, limit).await?)
    }

    /// Changes name and retention.
    pub async fn update_workspace(
        &self,
        tenant: TenantId,
        id: WorkspaceId,
        name: String,
        retention_days: Option<u32>,
        if_version: Option<i64>,
    ) -> Result<Workspace, EngineError> {
        let now = self.inner.clock.now();
        Ok(self
            .inner
            .control
            .update_workspace(tenant, id, &name, retention_days, now, if_version)
            .await?)
    }

    /// Takes a workspace out of use. Its events stay in the log.
    pub async fn delete_workspace(
        &self,
        tenant: TenantId,
        id: WorkspaceId,
        if_version: Option<i64>,
    ) -> Result<(), EngineError> {
        let now = self.inner.clock.now();
        self.inner
            .control
            .delete_workspace(tenant, id, now, if_version)
            .await?;
        self.tell_tenant(tenant, Change::Workspace(id)).await;
        Ok(())
    }

    /// Sets or removes what the workspace demands of its events.
    pub async fn set_template(
        &self,
        tenant: TenantId,
        id: WorkspaceId,
        template: Option<Template>,
        if_version: Option<i64>,
    ) -> Result<Workspace, EngineError> {
        let now = self.inner.clock.now();
        let workspace = self
            .inner
            .control
            .set_template(tenant, id, template.as_ref(), now, if_version)
            .await?;
        self.tell_tenant(tenant, Change::Workspace(id)).await;
        Ok(workspace)
    }

    /// Tells everybody who may remember it what was changed: the tenant's actor, wherever it runs, and other nodes.
    pub(crate) async fn tell_tenant(&self, tenant: TenantId, what: Change) {
        let webhook = |id, no| SharedChange::Webhook { tenant, id, no };
        let change = match &what {
            Change::Webhook(changed) => webhook(changed.id, changed.no),
            Change::WebhookGone(key) => webhook(key.id, key.no.0),
            Change::Workspace(id) => SharedChange::Workspace(tenant, *id),
            Change::Tenant => SharedChange::Tenant(tenant),
            Change::DeviceTaken(device, fence) => SharedChange::DeviceTaken {
                tenant,
                device: *device,
                fence: *fence,
            },
        };
        self.tell_tenant_here(tenant, what).await;
        self.inner.placement.tell_change(change);
    }

    /// Tells a tenant's actor that runs here what was changed; one that does not run reads it when it starts. If the actor has
    /// too much to do to listen, it is told again and again until it does.
    pub(super) async fn tell_tenant_here(&self, tenant: TenantId, what: Change) {
        if self.try_tell(tenant, what.clone()).await {
            return;
        }
        let engine = self.clone();
        self.inner.outside.spawn(async move {
            let mut pause = TELL_AGAIN_FIRST;
            loop {
                tokio::time::sleep(pause).await;
                if engine.try_tell(tenant, what.clone()).await {
                    return;
                }
                pause = (pause * 2).min(TELL_AGAIN_MAX);
            }
        });
    }

    async fn try_tell(&self, tenant: TenantId, what: Change) -> bool {
        if !self.inner.tenants.is_running(&tenant) {
            return true;
        }
        let told = self
            .inner
            .tenants
            .ask(&tenant, |reply| Changed { what, reply })
            .await;
        if let Err(error) = told {
            tracing::warn!(tenant.id = %tenant, %error, "{tenant} was not told of a change yet: {error}");
        }
        told.is_ok()
    }
}
