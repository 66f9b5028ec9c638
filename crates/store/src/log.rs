//! The log of one region: what may be written, what can be read, and on which terms.
//!
//! Everything that changes a region goes through [`RegionLog::commit`], one transaction for many tenants' writes, and is
//! durable when it answers. Nothing here decides which event gets which position: that is the tenant's actor.

#[cfg(test)]
pub mod conformance;
pub mod sqlite;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    breaker::Breaker,
    event::{Event, Hash},
    filter::EventFilter,
    ids::{ReplayId, TenantId, WorkspaceId},
    merkle::TreeNode,
    position::{Position, Seq},
    time::Timestamp,
};

use crate::StoreError;

/// One region's log on one database.
#[async_trait]
pub trait RegionLog: Send + Sync + 'static {
    /// Writes all parts in one transaction and answers when they are on disk: one outcome a part, in order.
    ///
    /// A part that fails takes nothing of another tenant's with it. `Err` means that nothing at all was written.
    async fn commit(&self, parts: &[Write]) -> Result<Vec<Result<(), WriteError>>, StoreError>;

    // What a tenant's actor needs at its start.

    /// The last position of the tenant's log; `Position::ZERO` for a tenant that has none.
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
    /// The oldest position that is still kept; `None` for an empty log.
    async fn oldest(&self, tenant: TenantId) -> Result<Option<Position>, StoreError>;

    // Proofs.

    /// Hashes of the leaves with `from <= seq <= to` (at most 256 of them), in order.
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

/// A webhook's number: dense, given by the control plane, never used again. Fits 34 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookNo(pub u64);

/// One part of a commit.
#[derive(Clone, Debug)]
pub enum Write {
    /// Events at the end of a tenant's log.
    Append(Append),
    /// Outcomes of one webhook's deliveries.
    Settle(Settle),
    /// How far a tenant's webhooks have been matched, and which of them have work.
    Dispatch(Dispatch),
    /// A consumer's acknowledgements.
    Consume(Consume),
    /// A replay's beginning or progress: inserted or replaced as a whole.
    Replay {
        /// Whose it is.
        tenant: TenantId,
        /// All of it.
        replay: Replay,
    },
    /// Everything that is stored of a webhook's deliveries goes, because the webhook was deleted.
    ForgetWebhook {
        /// Whose it was.
        tenant: TenantId,
        /// Its number.
        webhook: WebhookNo,
    },
}

/// Events at the end of a tenant's log: compare-and-swap on its head.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose log.
    pub tenant: TenantId,
    /// The head that the first event follows. The part fails with [`WriteError::HeadMoved`] if the log ends elsewhere.
    pub expected_head: Position,
    /// In order of position, `expected_head + 1` first.
    pub events: Vec<Arc<Event>>,
    /// Inner Merkle nodes that these events completed (see [`domain::merkle`]).
    pub nodes: Vec<(WorkspaceId, TreeNode)>,
    /// Answers to keep for idempotency keys, in the same transaction.
    pub answers: Vec<IdempotentAnswer>,
}

/// Why one part was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The log ends elsewhere: another writer was here, or an earlier part failed. Reload the head.
    #[error("the log ends at {head}, not where the append expected")]
    HeadMoved {
        /// Where it does end.
        head: Position,
    },
    /// The idempotency key has been answered already.
    #[error("the idempotency key has an answer already")]
    AnswerTaken,
    /// The part cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The end of a workspace's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    /// Seq of the last event = number of leaves.
    pub seq: Seq,
    /// Hash of the last event.
    pub hash: Hash,
}

/// A `dedup_id` that the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupEntry {
    /// Where it is unique.
    pub workspace: WorkspaceId,
    /// What the sender called it.
    pub dedup_id: Box<str>,
    /// The event that has it.
    pub event: domain::ids::EventId,
    /// Since when the 24 h run.
    pub received_at: Timestamp,
}

/// The answer that was given to a request with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentAnswer {
    /// Over the API key's id and the `Idempotency-Key`.
    pub key_hash: [u8; 32],
    /// Over method, path and body: another request with the same key differs here.
    pub request_hash: [u8; 32],
    /// HTTP status.
    pub status: u16,
    /// The answer's body, sealed by the caller if it holds a secret.
    pub body: Bytes,
    /// When the key is free again.
    pub expires_at: Timestamp,
}

/// What to search.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Which events.
    pub filter: EventFilter,
    /// Only positions after this one (ascending) …
    pub after: Option<Position>,
    /// … and before this one.
    pub before: Option<Position>,
    /// Newest first?
    pub order: Order,
    /// Matches a page.
    pub limit: u32,
    /// Events looked at for a page.
    pub scan_max: u32,
    /// About how many bytes of payload a page may hold.
    pub bytes_max: usize,
}

/// In which direction a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// One page of a search.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The matches.
    pub events: Vec<Event>,
    /// The last position that was looked at, if there may be more: go on after it (before it, if descending).
    pub next: Option<Position>,
}

/// Outcomes of one webhook's deliveries, written together.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Whose webhook.
    pub tenant: TenantId,
    /// Which one, and where it stands now. Its cursor never moves back; `has_work` is not written.
    pub progress: WebhookProgress,
    /// Attempts to log.
    pub attempts: Vec<Attempt>,
    /// Deliveries that wait for another attempt or are dead: inserted or replaced.
    pub exceptions: Vec<Exception>,
    /// Exceptions that are none any more (delivered at last, or deleted).
    pub cleared: Vec<Position>,
}

/// Where a webhook stands in its tenant's log.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookProgress {
    /// Its number.
    pub webhook: WebhookNo,
    /// Everything up to here is settled.
    pub cursor: Position,
    /// Whether it had work at the last dispatch mark. A webhook without work stands where its tenant's dispatch stands.
    /// Only [`Dispatch`] writes it; [`Settle`] leaves it as it is (a row that did not exist begins with `true`).
    pub has_work: bool,
    /// Its circuit breaker.
    pub breaker: Breaker,
}

/// How far a tenant's webhooks have been matched.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Whose webhooks.
    pub tenant: TenantId,
    /// Every event up to here has been matched against every webhook.
    pub position: Position,
    /// Webhooks that were given work since the last mark, with the position before their first event: from now on they have
    /// work. Never moves a cursor back.
    pub woken: Vec<(WebhookNo, Position)>,
    /// Webhooks whose work is all settled: from now on they have none.
    pub rested: Vec<WebhookNo>,
}

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

/// A pull reader's name, within a tenant or (for workspace keys) within a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerName {
    /// The workspace that it is confined to.
    pub workspace: Option<WorkspaceId>,
    /// What its reader calls it.
    pub name: Box<str>,
}

/// Where a pull reader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Everything up to here is acknowledged.
    pub cursor: Position,
    /// What is acknowledged above it, ascending; bounded by the caller.
    pub acked: Vec<Position>,
}

/// A consumer's new standing: replaces the old one as a whole.
#[derive(Clone, Debug)]
pub struct Consume {
    /// Whose consumer.
    pub tenant: TenantId,
    /// Which one.
    pub name: ConsumerName,
    /// Its standing from now on.
    pub standing: Consumer,
}

/// Counts for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that wait for another attempt.
    pub retrying: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events received since the time asked for.
    pub events: u64,
}
