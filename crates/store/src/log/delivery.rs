//! Deliveries as a log keeps and lists them: attempts, exceptions, replays.
//!
//! Decides nothing about when something is tried again.

use std::time::Duration;

use bytes::Bytes;
use domain::{ids::ReplayId, position::Position, time::Timestamp};

/// A webhook's number: dense, given by the control plane, never used again. Fits 34 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookNo(pub u64);

/// One attempt of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which event.
    pub position: Position,
    /// 1, 2, 3 …
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// HTTP status, if an answer came.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<Box<str>>,
    /// The first KiB of the answer's body.
    pub response: Bytes,
    /// Where this attempt left the delivery.
    pub state: DeliveryState,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryState {
    /// Not settled, nothing tried or more tries to come without a failure so far.
    Pending,
    /// Failed, and will be tried again.
    Retrying,
    /// Answered 2xx.
    Delivered,
    /// Will not be tried again by itself.
    Dead,
}

/// A delivery that did not go through at the first attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Of which webhook.
    pub webhook: WebhookNo,
    /// Which event.
    pub position: Position,
    /// `Retrying` or `Dead`.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is due again (`Retrying`), or when it died.
    pub at: Timestamp,
    /// HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// What went wrong last, in words.
    pub last_error: Option<Box<str>>,
}

/// A delivery as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Of which webhook.
    pub webhook: WebhookNo,
    /// Which event.
    pub position: Position,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last.
    pub last_at: Timestamp,
    /// HTTP status of the last attempt.
    pub last_status: Option<u16>,
    /// When it is due again.
    pub next_at: Option<Timestamp>,
}

/// Which deliveries to list.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    /// Of which webhook.
    pub webhook: WebhookNo,
    /// Only positions below this one.
    pub before: Option<Position>,
    /// Only these.
    pub state: Option<DeliveryState>,
    /// At most.
    pub limit: u32,
}

/// Which dead letters to list.
#[derive(Clone, Debug)]
pub struct DeadLetterQuery {
    /// Of one webhook, or of all.
    pub webhook: Option<WebhookNo>,
    /// Only what comes after this one in the list (older, in order of position then webhook).
    pub after: Option<(Position, WebhookNo)>,
    /// Only positions from …
    pub from: Option<Position>,
    /// … to.
    pub to: Option<Position>,
    /// At most.
    pub limit: u32,
}

/// A replay of past events to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// To which webhook.
    pub webhook: WebhookNo,
    /// First position.
    pub from: Position,
    /// Last position.
    pub to: Position,
    /// Only these types (the API's patterns); empty for all that the webhook takes.
    pub types: Vec<String>,
    /// Only deliveries that are dead.
    pub only_failed: bool,
    /// Everything up to here has been sent again.
    pub cursor: Position,
    /// How many deliveries it has to make; known when it begins.
    pub total: u64,
    /// How many it has made.
    pub done: u64,
    /// How many of these failed.
    pub failed: u64,
    /// Where it stands.
    pub state: ReplayState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
}

/// Where a replay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayState {
    /// On its way.
    Running,
    /// All sent.
    Completed,
    /// Ended before its end, because its webhook went away.
    Cancelled,
}
