//! What the webhook's owner sees of it: its state in the control plane, and that nothing is left to do.
//!
//! The actor suspends and disables; only its owner makes it active again.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use domain::webhook::{Webhook, WebhookState};
use store::{
    StoreError,
    control::{AuditEntry, Control},
};
use tracing::{info, warn};

use super::{Stage, WebhookActor};

const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(30);

impl WebhookActor {
    /// Notes that nothing is left to do. Answers false if there is: something was matched at this very moment.
    pub(super) fn rest(&mut self, ctx: &mut Context<Self>) -> bool {
        let now = self.shared.clock.now();
        let Stage::Ready(ready) = &mut self.stage else {
            return true;
        };
        if self.is_draining || ready.is_stale {
            // They have slots, and they will not be sent.
            ready.put_back_due();
        }
        if self.is_draining && ready.is_quiet() {
            self.drained.drain(..).for_each(|reply| reply.send(()));
        }
        if ready.is_stale && ready.is_quiet() && !ready.is_fetching() {
            self.load(ctx);
            return true;
        }
        if !ready.is_at_rest() {
            ready.idle_since = None;
            return true;
        }
        if !self.shared.board.done(&self.key, ready.slots.cursor()) {
            ready.idle_since = None;
            // It is read when it may be sent, and not before.
            return self.is_draining || !ready.is_sending();
        }
        // The tenant may now write that the webhook has no work.
        ready.is_marked = false;
        if ready.idle_since.is_none() {
            ready.idle_since = Some(now);
        }
        self.rest_later(self.shared.tuning.passivate_after, ctx);
        true
    }

    /// Takes a webhook out of action, here at once and in the control plane as soon as it answers.
    pub(super) fn set_state(
        &mut self,
        state: WebhookState,
        action: &'static str,
        ctx: &mut Context<Self>,
    ) {
        let key = self.key;
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        if ready.webhook.state == state {
            return;
        }
        info!(webhook.id = %key, %state, "webhook {key} is {state} from now on");
        let webhook = Webhook {
            state,
            ..(*ready.webhook).clone()
        };
        ready.webhook = Arc::new(webhook);
        let at = self.shared.clock.now();
        let entry = AuditEntry {
            tenant: key.tenant,
            at,
            actor: "engine".to_owned(),
            action: action.to_owned(),
            resource_type: "webhook".to_owned(),
            resource_id: key.id.to_string(),
            meta: serde_json::json!({ "state": state.name() }),
            ip: None,
            user_agent: None,
        };
        let control = self.shared.control.clone();
        let stating = async move {
            let mut pause = AGAIN_FIRST;
            while let Err(error) = put_state(&control, &entry, key.id, state).await {
                warn!(webhook.id = %key, %error, "the state of {key} was not written: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(AGAIN_MAX);
            }
        };
        let stating = ctx.spawn(stating.into_actor(self).map(|(), actor, _| {
            if let Some(ready) = actor.ready() {
                ready.stating = None;
            }
        }));
        if let Some(previous) = self.ready().and_then(|r| r.stating.replace(stating)) {
            ctx.cancel_future(previous);
        }
    }
}

async fn put_state(
    control: &Control,
    entry: &AuditEntry,
    id: domain::ids::WebhookId,
    state: WebhookState,
) -> Result<(), StoreError> {
    match control
        .set_webhook_state(entry.tenant, id, state, entry.at)
        .await
    {
        Ok(_) => control.append_audit(entry).await.map(|_| ()),
        // It was deleted meanwhile: nothing is left to be said.
        Err(StoreError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
