//! A webhook as it lies in the store: everything in the clear but its secrets.
//!
//! Holds sealed texts and cannot open them; whoever has the tenant's key can.

use std::collections::BTreeMap;

use domain::{
    filter::TypeFilter,
    ids::{TenantId, WebhookId, WorkspaceId},
    position::Position,
    retry::RetrySchedule,
    signature::WebhookSecret,
    time::Timestamp,
    webhook::{Webhook, WebhookState},
};

/// A webhook whose secrets are sealed; see [`Webhook`] for what its fields mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedWebhook {
    /// Public id.
    pub id: WebhookId,
    /// Dense number within the whole installation, never used again. Given by the store.
    pub no: u64,
    /// Whose webhook it is.
    pub tenant: TenantId,
    /// Where deliveries go.
    pub url: String,
    /// Which types it wants.
    pub events: TypeFilter,
    /// The only workspace that it wants.
    pub workspace: Option<WorkspaceId>,
    /// What its owner says about it.
    pub description: String,
    /// Whether deliveries are made.
    pub state: WebhookState,
    /// Headers of the owner's own.
    pub headers: BTreeMap<String, String>,
    /// How long a receiver may take.
    pub timeout_ms: u32,
    /// When to try again.
    pub retry: RetrySchedule,
    /// How many deliveries may be on their way at once.
    pub max_in_flight: u32,
    /// How many deliveries a second may be started.
    pub rate_per_second: Option<u32>,
    /// Whether events with the same ordering key are delivered one after the other.
    pub ordered: bool,
    /// What deliveries are signed with, sealed.
    pub secret: String,
    /// What deliveries are signed with too, until a moment; sealed.
    pub previous_secret: Option<(String, Timestamp)>,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// The head of the log when it was made.
    pub starts_after: Position,
}

impl SealedWebhook {
    /// A webhook with its secrets replaced by sealed ones.
    pub fn seal(
        webhook: &Webhook,
        secret: String,
        previous_secret: Option<(String, Timestamp)>,
    ) -> SealedWebhook {
        let webhook = webhook.clone();
        SealedWebhook {
            id: webhook.id,
            no: webhook.no,
            tenant: webhook.tenant,
            url: webhook.url,
            events: webhook.events,
            workspace: webhook.workspace,
            description: webhook.description,
            state: webhook.state,
            headers: webhook.headers,
            timeout_ms: webhook.timeout_ms,
            retry: webhook.retry,
            max_in_flight: webhook.max_in_flight,
            rate_per_second: webhook.rate_per_second,
            ordered: webhook.ordered,
            secret,
            previous_secret,
            version: webhook.version,
            created_at: webhook.created_at,
            updated_at: webhook.updated_at,
            starts_after: webhook.starts_after,
        }
    }

    /// The webhook, with the secrets that were sealed.
    pub fn open(
        self,
        secret: WebhookSecret,
        previous_secret: Option<(WebhookSecret, Timestamp)>,
    ) -> Webhook {
        Webhook {
            id: self.id,
            no: self.no,
            tenant: self.tenant,
            url: self.url,
            events: self.events,
            workspace: self.workspace,
            description: self.description,
            state: self.state,
            headers: self.headers,
            timeout_ms: self.timeout_ms,
            retry: self.retry,
            max_in_flight: self.max_in_flight,
            rate_per_second: self.rate_per_second,
            ordered: self.ordered,
            secret,
            previous_secret,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            starts_after: self.starts_after,
        }
    }
}
