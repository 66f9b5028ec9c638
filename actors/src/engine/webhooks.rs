//! Webhooks as their owners handle them: made, changed, paused, resumed, tried out.
//!
//! A key that is confined to a workspace sees that workspace's webhooks only. What a webhook delivers is its actor's work;
//! here it is told of changes. Audit entries are the caller's.

mod dead_letters;
mod deliveries;
mod finding;
mod ping;
mod replays;

use std::sync::Arc;

use actix::{Handler, Message};
use domain::{
    breaker::Breaker,
    ids::{TenantId, WebhookId, WorkspaceId},
    webhook::{Birth, ShownState, Webhook, WebhookInput, WebhookState},
};
use store::{
    control::Tenant,
    log::{WebhookNo, Write},
};

use super::{Engine, EngineError};
use crate::{
    region,
    registry::Reply,
    tenant::Change,
    webhook::{Describe, Reconfigure, Resume, WebhookActor, WebhookStatus},
    webhook_board::WebhookKey,
};

use finding::is_seen;

pub use dead_letters::{DeadLetter, DeadLetterFilter};
pub use deliveries::DeliveryView;
pub use ping::PingOutcome;
pub use replays::{Moment, ReplayInput, ReplayStart};

/// How often a change is tried when somebody else changes the webhook at the same time.
const CHANGES_MAX: u32 = 5;
/// Webhooks that are read at once when many have to be passed over.
const PAGE: u32 = 500;

/// A webhook and how it stands.
#[derive(Clone, Debug)]
pub struct WebhookView {
    /// As its owner configured it. Its secrets are shown only when they are new.
    pub webhook: Webhook,
    /// Its breaker.
    pub breaker: Breaker,
    /// What its actor knows, if it runs.
    pub status: Option<WebhookStatus>,
}

impl WebhookView {
    /// The state as it is shown.
    pub fn shown_state(&self) -> ShownState {
        self.webhook.shown_state(&self.breaker)
    }
}

impl Engine {
    /// Makes a webhook. It gets what is ingested from now on.
    pub async fn create_webhook(
        &self,
        tenant: &Tenant,
        confined_to: Option<WorkspaceId>,
        input: WebhookInput,
    ) -> Result<WebhookView, EngineError> {
        self.check_url(&input.url)?;
        let workspace = self
            .resolve_workspace(tenant.id, confined_to, input.workspace.as_ref(), None)
            .await?;
        let birth = Birth {
            id: WebhookId::from_uuid(self.fresh_uuid()),
            tenant: tenant.id,
            workspace,
            secret: self.fresh_secret(),
            starts_after: self.feed(tenant.id).await?.head(),
            now: self.inner.clock.now(),
        };
        let mut webhook = Webhook::create(input, birth);
        let sealed = self.inner.secrets.seal_webhook(&webhook).await?;
        let max = self.inner.plans.get(tenant.plan).webhooks;
        let stored = self
            .inner
            .control
            .create_webhook(tenant.id, sealed, max)
            .await?;
        webhook.no = stored.no;
        webhook.version = stored.version;
        self.tell_tenant(tenant.id, Change::Webhook(Arc::new(webhook.clone())))
            .await;
        Ok(WebhookView {
            webhook,
            breaker: Breaker::NEW,
            status: None,
        })
    }

    /// One webhook.
    pub async fn webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let webhook = self.open_webhook(tenant, confined_to, id).await?;
        self.view(webhook).await
    }

    /// Webhooks in the order in which they were made.
    pub async fn webhooks(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        after: Option<WebhookId>,
        limit: u32,
    ) -> Result<Vec<WebhookView>, EngineError> {
        let (mut views, mut after) = (Vec::new(), after);
        let region = self.region_of(tenant).await?;
        let progress = self.inner.logs.get(region).webhook_progress(tenant).await?;
        let breaker_of = |no| {
            let found = progress.iter().find(|progress| progress.webhook == no);
            found.map_or(Breaker::NEW, |progress| progress.breaker)
        };
        loop {
            let page_size = if confined_to.is_some() { PAGE } else { limit };
            let page = self
                .inner
                .control
                .webhooks(tenant, after, page_size)
                .await?;
            let is_last = page.len() < page_size as usize;
            after = page.last().map(|webhook| webhook.id);
            for sealed in page {
                if !is_seen(&sealed, confined_to) {
                    continue;
                }
                if views.len() == limit as usize {
                    return Ok(views);
                }
                let breaker = breaker_of(WebhookNo(sealed.no));
                views.push(WebhookView {
                    webhook: self.inner.secrets.open_webhook(sealed).await?,
                    breaker,
                    status: None,
                });
            }
            if is_last || views.len() == limit as usize {
                return Ok(views);
            }
        }
    }

    /// Whether the tenant has a webhook at all.
    pub async fn has_webhooks(&self, tenant: TenantId) -> Result<bool, EngineError> {
        Ok(!self
            .inner
            .control
            .webhooks(tenant, None, 1)
            .await?
            .is_empty())
    }

    /// Changes a webhook to what `change` makes of it. With `if_version`, only if that is its present version; else
    /// `change` is asked again if somebody else was faster.
    pub async fn update_webhook<E: From<EngineError>>(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
        if_version: Option<i64>,
        change: impl Fn(&Webhook) -> Result<WebhookInput, E>,
    ) -> Result<WebhookView, E> {
        for _ in 1..CHANGES_MAX {
            let webhook = self.open_webhook(tenant, confined_to, id).await?;
            let input = change(&webhook)?;
            let version = if_version.unwrap_or(webhook.version);
            match self.replace(webhook, confined_to, input, version).await {
                Err(EngineError::VersionMismatch) if if_version.is_none() => {}
                outcome => return Ok(outcome?),
            }
        }
        Err(EngineError::VersionMismatch.into())
    }

    async fn replace(
        &self,
        mut webhook: Webhook,
        confined_to: Option<WorkspaceId>,
        input: WebhookInput,
        version: i64,
    ) -> Result<WebhookView, EngineError> {
        self.check_url(&input.url)?;
        let (tenant, present) = (webhook.tenant, webhook.workspace);
        let workspace = self
            .resolve_workspace(tenant, confined_to, input.workspace.as_ref(), present)
            .await?;
        let is_enabled = input.enabled == Some(true);
        webhook.change(input, workspace, self.inner.clock.now());
        self.store(&mut webhook, version).await?;
        self.announce(&webhook).await?;
        if is_enabled {
            self.reset_breaker(&webhook).await?;
        }
        self.view(webhook).await
    }

    /// Deletes a webhook and all that is kept of its deliveries.
    pub async fn delete_webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
        if_version: Option<i64>,
    ) -> Result<(), EngineError> {
        let key = WebhookKey::of(&self.open_webhook(tenant, confined_to, id).await?);
        let region = self.region_of(tenant).await?;
        let hold = self.inner.placement.hold(tenant).await?;
        self.inner
            .control
            .delete_webhook(tenant, id, if_version)
            .await?;
        self.tell_tenant(tenant, Change::WebhookGone(key)).await;
        self.tell_webhook(&key, None).await?;
        // After its last outcome, or that would stay behind.
        let forget = Write::ForgetWebhook {
            tenant,
            fence: hold.fence(),
            webhook: key.no,
        };
        Ok(region::write(&self.inner.regions, region, forget).await?)
    }

    /// Stops deliveries; what is for the webhook waits.
    pub async fn pause_webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let webhook = self
            .put_state(tenant, confined_to, id, WebhookState::Paused)
            .await?;
        self.view(webhook).await
    }

    /// Lets deliveries go on, from whatever state, with a closed breaker.
    pub async fn resume_webhook(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let webhook = self
            .put_state(tenant, confined_to, id, WebhookState::Active)
            .await?;
        self.reset_breaker(&webhook).await?;
        self.view(webhook).await
    }

    /// Gives a webhook a new secret. The old one signs too for a day.
    pub async fn rotate_webhook_secret(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
    ) -> Result<WebhookView, EngineError> {
        let mut webhook = self.open_webhook(tenant, confined_to, id).await?;
        webhook.rotate_secret(self.fresh_secret(), self.inner.clock.now());
        let version = webhook.version;
        self.store(&mut webhook, version).await?;
        self.announce(&webhook).await?;
        self.view(webhook).await
    }

    async fn put_state(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: WebhookId,
        state: WebhookState,
    ) -> Result<Webhook, EngineError> {
        let mut webhook = self.open_webhook(tenant, confined_to, id).await?;
        let now = self.inner.clock.now();
        webhook.version = self
            .inner
            .control
            .set_webhook_state(tenant, id, state, now)
            .await?;
        webhook.state = state;
        webhook.updated_at = now;
        self.announce(&webhook).await?;
        Ok(webhook)
    }

    async fn store(&self, webhook: &mut Webhook, version: i64) -> Result<(), EngineError> {
        let sealed = self.inner.secrets.seal_webhook(webhook).await?;
        webhook.version = self
            .inner
            .control
            .update_webhook(webhook.tenant, webhook.id, &sealed, Some(version))
            .await?;
        Ok(())
    }

    /// Tells both actors that know the webhook how it is now.
    async fn announce(&self, webhook: &Webhook) -> Result<(), EngineError> {
        let webhook = Arc::new(webhook.clone());
        let key = WebhookKey::of(&webhook);
        self.tell_tenant(webhook.tenant, Change::Webhook(Arc::clone(&webhook)))
            .await;
        self.tell_webhook(&key, Some(webhook)).await
    }

    /// Tells a running webhook's actor. One that does not run reads it when it starts.
    pub(super) async fn tell_webhook(
        &self,
        key: &WebhookKey,
        webhook: Option<Arc<Webhook>>,
    ) -> Result<(), EngineError> {
        if self.inner.webhooks.is_running(key) {
            let message = |reply| Reconfigure { webhook, reply };
            self.inner.webhooks.ask(key, message).await?;
        }
        Ok(())
    }

    /// Closes the breaker, also on disk.
    async fn reset_breaker(&self, webhook: &Webhook) -> Result<(), EngineError> {
        let key = WebhookKey::of(webhook);
        self.ask_webhook(&key, |reply| Resume { reply }).await
    }

    /// Asks a webhook's actor, which only the node has that holds the tenant.
    async fn ask_webhook<M, R>(
        &self,
        key: &WebhookKey,
        message: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, EngineError>
    where
        WebhookActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let _hold = self.inner.placement.hold(key.tenant).await?;
        Ok(self.inner.webhooks.ask(key, message).await?)
    }

    async fn view(&self, webhook: Webhook) -> Result<WebhookView, EngineError> {
        let key = WebhookKey::of(&webhook);
        let mut status = None;
        if self.inner.webhooks.is_running(&key) {
            let asked = self.inner.webhooks.ask(&key, |reply| Describe { reply });
            // An actor that is busy or has just gone is no reason not to show the webhook.
            status = asked.await.ok().flatten();
        }
        let breaker = match status {
            Some(status) => status.breaker,
            None => self.stored_breaker(&key).await?,
        };
        Ok(WebhookView {
            webhook,
            breaker,
            status,
        })
    }

    async fn stored_breaker(&self, key: &WebhookKey) -> Result<Breaker, EngineError> {
        let region = self.region_of(key.tenant).await?;
        let log = self.inner.logs.get(region);
        let found = log.webhook_progress_of(key.tenant, key.no).await?;
        Ok(found.map_or(Breaker::NEW, |progress| progress.breaker))
    }
}

fn invalid(pointer: &str, detail: String) -> EngineError {
    EngineError::Invalid {
        pointer: pointer.to_owned(),
        detail,
    }
}
