//! A webhook: one subscription of one URL, as its owner configured it.
//!
//! Holds no progress and no breaker: where a webhook stands in the log belongs to its deliveries. Whether an address may
//! be reached is decided by whoever dials it.

mod delivery_id;
mod input;
mod rules;

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    delivery_id::{NUMBER_MAX, delivery_id, delivery_place},
    input::WebhookInput,
};
use crate::{
    breaker::Breaker,
    filter::TypeFilter,
    ids::{TenantId, WebhookId, WorkspaceId},
    position::Position,
    retry::RetrySchedule,
    signature::WebhookSecret,
    time::Timestamp,
};

/// The longest URL, in bytes.
pub const URL_LENGTH_MAX: usize = 2_048;
/// The longest description, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 500;
/// The most headers of one's own.
pub const HEADERS_MAX: usize = 20;
/// The longest value of a header, in bytes.
pub const HEADER_VALUE_LENGTH_MAX: usize = 1_024;
/// How long a receiver may take, if nothing else is said.
pub const TIMEOUT_MS_DEFAULT: u32 = 15_000;
/// How many deliveries may be on their way at once, if nothing else is said.
pub const IN_FLIGHT_DEFAULT: u32 = 64;
/// How long the old secret signs too after a rotation.
pub const ROTATION_OVERLAP: Duration = Duration::from_hours(24);

/// One subscription of one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Public id.
    pub id: WebhookId,
    /// Dense number within the whole installation, never used again; 0 until the store has given one.
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
    /// Headers of the owner's own; names in lower case.
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
    /// What deliveries are signed with.
    pub secret: WebhookSecret,
    /// What deliveries are signed with too, until a moment, after a rotation.
    pub previous_secret: Option<(WebhookSecret, Timestamp)>,
    /// Grows with every change; kept by the store.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The head of the log when it was made: older events are not for it.
    pub starts_after: Position,
}

/// What a new webhook gets besides its owner's wishes.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Public id.
    pub id: WebhookId,
    /// Whose webhook it is.
    pub tenant: TenantId,
    /// The workspace that its owner named, resolved.
    pub workspace: Option<WorkspaceId>,
    /// The secret to use if its owner gave none.
    pub secret: WebhookSecret,
    /// The present head of the tenant's log.
    pub starts_after: Position,
    /// The present moment.
    pub now: Timestamp,
}

/// Whether a webhook's deliveries are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookState {
    /// They are.
    Active,
    /// Not until its owner resumes it; they wait.
    Paused,
    /// Not until its owner resumes it: the breaker opened too often.
    Suspended,
    /// Its receiver answered 410: gone for good, unless its owner enables it again.
    Disabled,
}

/// The state as the API shows it: the owner's, or what the breaker makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShownState {
    /// Deliveries flow.
    Active,
    /// Paused by its owner.
    Paused,
    /// The breaker is open.
    Open,
    /// The breaker opened too often.
    Suspended,
    /// The receiver is gone.
    Disabled,
}

/// A text that is no state of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook state: expected active, paused, suspended or disabled")]
pub struct WebhookStateError;

impl Webhook {
    /// Makes a webhook as its owner wishes.
    pub fn create(input: WebhookInput, birth: Birth) -> Webhook {
        let mut webhook = Webhook {
            id: birth.id,
            no: 0,
            tenant: birth.tenant,
            url: String::new(),
            events: TypeFilter::default(),
            workspace: None,
            description: String::new(),
            state: WebhookState::Active,
            headers: BTreeMap::new(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            retry: RetrySchedule::default(),
            max_in_flight: IN_FLIGHT_DEFAULT,
            rate_per_second: None,
            ordered: false,
            secret: input.secret.clone().unwrap_or(birth.secret),
            previous_secret: None,
            version: 1,
            created_at: birth.now,
            updated_at: birth.now,
            starts_after: birth.starts_after,
        };
        webhook.change(input, birth.workspace, birth.now);
        webhook
    }

    /// Changes a webhook as its owner wishes. `workspace` is what the input names, resolved.
    ///
    /// Enabling one that is paused, suspended or disabled makes it active; the caller resets the breaker then. A new
    /// secret replaces the old one as a rotation does.
    pub fn change(&mut self, input: WebhookInput, workspace: Option<WorkspaceId>, now: Timestamp) {
        self.url = input.url;
        self.events = input.events;
        self.workspace = workspace;
        self.description = input.description;
        self.headers = input.headers;
        self.timeout_ms = input.timeout_ms;
        self.retry = input.retry;
        self.max_in_flight = input.max_in_flight;
        self.rate_per_second = input.rate_per_second;
        self.ordered = input.ordered;
        self.state = match input.enabled {
            Some(true) => WebhookState::Active,
            Some(false) => WebhookState::Paused,
            None => self.state,
        };
        if let Some(secret) = input.secret {
            self.rotate_secret(secret, now);
        }
        self.updated_at = now;
    }

    /// Puts a new secret in place; the old one signs too for 24 h. The same secret again changes nothing.
    pub fn rotate_secret(&mut self, secret: WebhookSecret, now: Timestamp) {
        if secret != self.secret {
            let previous = std::mem::replace(&mut self.secret, secret);
            self.previous_secret = Some((previous, now.plus(ROTATION_OVERLAP)));
            self.updated_at = now;
        }
    }

    /// The secrets that sign a delivery now, the newest first.
    pub fn secrets(&self, now: Timestamp) -> impl Iterator<Item = &WebhookSecret> {
        let previous = self
            .previous_secret
            .as_ref()
            .filter(|(_, until)| now < *until);
        std::iter::once(&self.secret).chain(previous.map(|(secret, _)| secret))
    }

    /// How long a receiver may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    /// The state as the API shows it.
    pub fn shown_state(&self, breaker: &Breaker) -> ShownState {
        match (self.state, breaker) {
            (WebhookState::Disabled, _) => ShownState::Disabled,
            (WebhookState::Suspended, _) | (WebhookState::Active, Breaker::Suspended) => {
                ShownState::Suspended
            }
            (WebhookState::Paused, _) => ShownState::Paused,
            (WebhookState::Active, breaker) if breaker.is_open() => ShownState::Open,
            (WebhookState::Active, _) => ShownState::Active,
        }
    }
}

impl WebhookState {
    /// Every state.
    pub const ALL: [WebhookState; 4] = [
        WebhookState::Active,
        WebhookState::Paused,
        WebhookState::Suspended,
        WebhookState::Disabled,
    ];

    /// The name that the store keeps.
    pub const fn name(self) -> &'static str {
        match self {
            WebhookState::Active => "active",
            WebhookState::Paused => "paused",
            WebhookState::Suspended => "suspended",
            WebhookState::Disabled => "disabled",
        }
    }
}

impl ShownState {
    /// The name that the API shows.
    pub const fn name(self) -> &'static str {
        match self {
            ShownState::Active => "active",
            ShownState::Paused => "paused",
            ShownState::Open => "open",
            ShownState::Suspended => "suspended",
            ShownState::Disabled => "disabled",
        }
    }
}

impl FromStr for WebhookState {
    type Err = WebhookStateError;

    fn from_str(text: &str) -> Result<WebhookState, WebhookStateError> {
        WebhookState::ALL
            .into_iter()
            .find(|state| state.name() == text)
            .ok_or(WebhookStateError)
    }
}

impl fmt::Display for WebhookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ShownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
