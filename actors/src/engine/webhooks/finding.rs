//! Finds the webhook or the workspace that a caller names, if the caller may see it.
//!
//! Changes nothing.

use domain::{
    ids::{TenantId, WebhookId, WorkspaceId},
    new_event::WorkspaceRef,
    signature::WebhookSecret,
    webhook::Webhook,
};
use rand::RngExt as _;
use store::{control::SealedWebhook, log::WebhookNo};

use super::{Engine, EngineError, invalid};

impl Engine {
    /// The webhook, if the caller may see it.
    pub(super) async fn open_webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<Webhook, EngineError> {
        let found = self.inner.control.webhook(tenant, id).await?;
        self.seen_by(found, confined_to).await
    }

    /// The webhook with a number, if the caller may see it.
    pub(super) async fn webhook_by_no(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        no: WebhookNo,
    ) -> Result<Webhook, EngineError> {
        let found = self.inner.control.webhook_by_no(tenant, no.0).await?;
        self.seen_by(found, confined_to).await
    }

    async fn seen_by(
        &self,
        found: Option<SealedWebhook>,
        confined_to: Option<WorkspaceId>,
    ) -> Result<Webhook, EngineError> {
        let sealed = found
            .filter(|webhook| is_seen(webhook, confined_to))
            .ok_or(EngineError::NotFound("webhook"))?;
        self.inner.secrets.open_webhook(sealed).await
    }

    /// Refuses a URL that would never be reached.
    pub(super) fn check_url(&self, url: &str) -> Result<(), EngineError> {
        match self.inner.client.guard().check_url(url) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(invalid("/url", refusal.to_string())),
        }
    }

    /// Finds the workspace that a caller named. The one that the webhook has may stay even if it is out of use.
    pub(in crate::engine) async fn resolve_workspace(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        named: Option<&WorkspaceRef>,
        present: Option<WorkspaceId>,
    ) -> Result<Option<WorkspaceId>, EngineError> {
        let found = match named {
            None => return Ok(confined_to),
            Some(WorkspaceRef::Id(id)) if present == Some(*id) => Ok(*id),
            Some(WorkspaceRef::Id(id)) => self.workspace(tenant, *id).await.map(|found| found.id),
            Some(WorkspaceRef::Slug(slug)) => self
                .workspace_by_slug(tenant, slug)
                .await
                .map(|found| found.id),
        };
        match found {
            Ok(id) if confined_to.is_none_or(|only| only == id) => Ok(Some(id)),
            Ok(_) | Err(EngineError::NotFound(_)) => Err(invalid(
                "/workspace",
                "there is no such workspace".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    pub(super) fn fresh_secret(&self) -> WebhookSecret {
        let mut random = [0_u8; 32];
        (self.inner.random)().fill(&mut random);
        WebhookSecret::from_random(&random)
    }
}

/// Whether a key that is confined to a workspace sees the webhook.
pub(super) fn is_seen(webhook: &SealedWebhook, confined_to: Option<WorkspaceId>) -> bool {
    confined_to.is_none() || webhook.workspace == confined_to
}
