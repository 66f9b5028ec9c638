//! The log of one region: what may be written, what can be read, and on which terms.
//!
//! Everything that changes a region goes through [`RegionLog::commit`], one transaction for many tenants' writes, and is
//! durable when it answers; only retention ([`Trim`]) goes another way. Nothing here decides which event gets which position:
//! that is the tenant's actor.

#[cfg(test)]
pub mod conformance;
mod delivery;
mod device;
mod fold;
pub mod postgres;
mod read;
pub mod sqlite;
mod stored;
mod trim;
mod window;
mod write;

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    event::{Event, Hash},
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use uuid::Uuid;

pub use self::{
    delivery::{
        Attempt, DeadLetterQuery, Delivery, DeliveryQuery, DeliveryState, Exception, Replay,
        ReplayState, WebhookNo,
    },
    device::{
        Credentials, Direction, Message, MessageError, MessageMark, MessageOutcome, MessagePage,
        MessageQuery, OutgoingMessage,
    },
    read::{ChainEnd, Consumer, ConsumerName, Counts, DedupEntry, EventQuery, Order, Page},
    trim::{Cut, DropOutcome, InMonth, MonthPage, MonthSum, Oldest, OldestPage, PastMonth, Trim},
    write::{
        Append, Consume, Dispatch, FORGOTTEN_AT_ONCE, IdempotentAnswer, Settle, WebhookProgress,
        Write, WriteError,
    },
};
use crate::StoreError;

/// One region's log on one database.
#[async_trait]
pub trait RegionLog: Trim + Send + Sync + 'static {
    /// Writes all parts in one transaction and answers when they are on disk: one outcome a part, in order.
    ///
    /// A part that fails takes nothing of another tenant's with it. `Err` means that nothing at all was written.
    async fn commit(&self, parts: &[Write]) -> Result<Vec<Result<(), WriteError>>, StoreError>;

    /// How many commits it pays to have under way at the same time. No two of them may hold parts of the same tenant.
    fn commits_at_once(&self) -> usize {
        1
    }

    // What a tenant's actor needs at its start.

    /// The last position of the tenant's log, whether its event is kept or not; `Position::ZERO` for a tenant that has none.
    async fn head(&self, tenant: TenantId) -> Result<Position, StoreError>;
    /// The end of a workspace's chain: last seq, last hash, and the peaks of its Merkle tree. `None` while it is empty.
    async fn chain_end(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
    ) -> Result<Option<ChainEnd>, StoreError>;
    /// The newest events with a `dedup_id` that were received at or after `since`, newest first, at most `limit`.
    async fn recent_dedup_ids(
        &self,
        tenant: TenantId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<DedupEntry>, StoreError>;
    /// Which of these dedup ids stand in the log, received at or after `since`. The newest wins.
    async fn find_dedup_ids(
        &self,
        tenant: TenantId,
        wanted: &[(WorkspaceId, Box<str>)],
        since: Timestamp,
    ) -> Result<Vec<DedupEntry>, StoreError>;
    /// What was kept for an idempotency key, if it has not expired.
    async fn idempotent_answer(
        &self,
        tenant: TenantId,
        key_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<IdempotentAnswer>, StoreError>;

    // Reading events.

    /// Events after `after`, in order of position, at most `limit` of them and about `bytes_max` bytes of payload (at
    /// least one event if there is one).
    async fn read_after(
        &self,
        tenant: TenantId,
        after: Position,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<Event>, StoreError>;
    /// The event at a position.
    async fn read_at(
        &self,
        tenant: TenantId,
        position: Position,
    ) -> Result<Option<Event>, StoreError>;
    /// Events at the given positions, in order; positions that hold none are left out.
    async fn read_many(
        &self,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Vec<Event>, StoreError>;
    /// One page of a search. Looks at no more than `query.scan_max` events, so a page may be short, even empty, while
    /// `Page::next` still says where to go on.
    async fn search(&self, tenant: TenantId, query: &EventQuery) -> Result<Page, StoreError>;
    /// The highest position whose event was received before `time`; `Position::ZERO` if there is none.
    async fn position_before(
        &self,
        tenant: TenantId,
        time: Timestamp,
    ) -> Result<Position, StoreError>;
    /// The oldest position that is still kept; `None` if nothing is. A log whose events are all gone still has a head.
    async fn oldest(&self, tenant: TenantId) -> Result<Option<Position>, StoreError>;

    // Proofs.

    /// The oldest seq of a workspace that is still kept; `None` if nothing of it is.
    async fn oldest_seq(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
    ) -> Result<Option<Seq>, StoreError>;
    /// Hashes of the leaves with `from <= seq <= to` (at most 256 of them), in order. Of events that are gone, those that
    /// [`domain::merkle::first_leaf_needed`] names are kept.
    async fn leaf_hashes(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<Hash>, StoreError>;
    /// Stored inner nodes of one level with `from <= index <= to` (at most 256 of them), in order.
    async fn tree_nodes(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        level: u8,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError>;

    // Delivery.

    /// How far the tenant's webhooks have been matched against the log; `None` before the first mark.
    async fn dispatched(&self, tenant: TenantId) -> Result<Option<Position>, StoreError>;
    /// Tenants that may have deliveries to make: a webhook with work, or a log beyond what was matched. For the engine's
    /// start-up.
    async fn tenants_with_work(&self) -> Result<Vec<TenantId>, StoreError>;
    /// Where every webhook of the tenant stands that has ever had work.
    async fn webhook_progress(&self, tenant: TenantId) -> Result<Vec<WebhookProgress>, StoreError>;
    /// Where one webhook of the tenant stands; `None` if it has never had work.
    async fn webhook_progress_of(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
    ) -> Result<Option<WebhookProgress>, StoreError>;
    /// Positions above `above` that have been settled for the webhook (delivered or dead), ascending.
    async fn settled_above(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        above: Position,
    ) -> Result<Vec<Position>, StoreError>;
    /// Deliveries of the webhook that wait for another attempt, soonest first, at most `limit`.
    async fn retrying(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        limit: u32,
    ) -> Result<Vec<Exception>, StoreError>;
    /// One page of the webhook's deliveries, newest position first, those below `before` only.
    async fn deliveries(
        &self,
        tenant: TenantId,
        query: &DeliveryQuery,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// One delivery with all its attempts.
    async fn delivery(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        position: Position,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError>;
    /// One page of dead letters, newest first: of one webhook, or of all webhooks of the tenant.
    async fn dead_letters(
        &self,
        tenant: TenantId,
        query: &DeadLetterQuery,
    ) -> Result<Vec<Exception>, StoreError>;
    /// The delivery standing of these positions over all webhooks of the tenant (for `GET /v1/inbox?status=`), ascending:
    /// dead if it is dead for any, else retrying if any retries, else delivered. Positions of which nothing is recorded are
    /// left out.
    async fn standings(
        &self,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Vec<(Position, DeliveryState)>, StoreError>;
    /// Replays that have not ended, or all of them, newest first, at most `limit`.
    async fn replays(
        &self,
        tenant: TenantId,
        unfinished_only: bool,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError>;

    // Consumers.

    /// Where a consumer stands; `None` if it has never acknowledged.
    async fn consumer(
        &self,
        tenant: TenantId,
        name: &ConsumerName,
    ) -> Result<Option<Consumer>, StoreError>;

    // Devices.

    /// The highest fence that was written for a device; 0 if it never had a session.
    async fn device_fence(&self, tenant: TenantId, device: DeviceId) -> Result<Fence, StoreError>;
    /// What a device's connector keeps with the engine.
    async fn credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<Option<Credentials>, StoreError>;
    /// One page of a device's messages, newest first. Looks at no more than `query.scan_max` of them, so a page may be
    /// short, even empty, while `MessagePage::next` still says where to go on.
    async fn messages(
        &self,
        tenant: TenantId,
        query: &MessageQuery,
    ) -> Result<MessagePage, StoreError>;
    /// One message of a device.
    async fn message(
        &self,
        tenant: TenantId,
        device: DeviceId,
        id: Uuid,
    ) -> Result<Option<Message>, StoreError>;

    // Operating.

    /// Deletes idempotent answers that expired before `now` and attempts older than `attempts_before`; answers how many
    /// rows went. Bounded work a call.
    async fn sweep(&self, now: Timestamp, attempts_before: Timestamp) -> Result<u64, StoreError>;
    /// Writes and reads a row, and says how long that took.
    async fn probe(&self) -> Result<Duration, StoreError>;
    /// Counts for operators.
    async fn counts(&self, events_since: Timestamp) -> Result<Counts, StoreError>;
    /// Flushes and closes. Later calls fail with [`StoreError::Unavailable`].
    async fn close(&self);
}
