//! A webhook as the API shows it.

use std::collections::BTreeMap;

use actors::engine::WebhookView;
use domain::{
    filter::TypeFilter,
    ids::{WebhookId, WorkspaceId},
    retry::RetrySchedule,
    signature::WebhookSecret,
    time::Timestamp,
    webhook::{ShownState, WebhookState},
};
use serde::{Serialize, Serializer};

/// Whether a secret is shown: only when it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// It was made just now.
    Shown,
    /// It was shown before.
    Hidden,
}

/// Everything but the secrets, unless one is new.
#[derive(Serialize)]
pub(super) struct ShownWebhook<'a> {
    id: WebhookId,
    url: &'a str,
    events: &'a TypeFilter,
    workspace: Option<WorkspaceId>,
    description: &'a str,
    enabled: bool,
    state: ShownState,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Revealed<'a>>,
    previous_secret_until: Option<Timestamp>,
    headers: &'a BTreeMap<String, String>,
    timeout_ms: u32,
    retry: &'a RetrySchedule,
    max_in_flight: u32,
    rate_per_second: Option<u32>,
    ordered: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

/// A secret that its owner is to see.
struct Revealed<'a>(&'a WebhookSecret);

impl Serialize for Revealed<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0.reveal())
    }
}

impl ShownWebhook<'_> {
    /// A webhook as it stands.
    pub(super) fn new(view: &WebhookView, secrecy: Secrecy) -> ShownWebhook<'_> {
        let webhook = &view.webhook;
        let secret = match secrecy {
            Secrecy::Shown => Some(Revealed(&webhook.secret)),
            Secrecy::Hidden => None,
        };
        ShownWebhook {
            id: webhook.id,
            url: &webhook.url,
            events: &webhook.events,
            workspace: webhook.workspace,
            description: &webhook.description,
            enabled: webhook.state == WebhookState::Active,
            state: view.shown_state(),
            secret,
            previous_secret_until: webhook.previous_secret.as_ref().map(|(_, until)| *until),
            headers: &webhook.headers,
            timeout_ms: webhook.timeout_ms,
            retry: &webhook.retry,
            max_in_flight: webhook.max_in_flight,
            rate_per_second: webhook.rate_per_second,
            ordered: webhook.ordered,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            version: webhook.version,
        }
    }
}
