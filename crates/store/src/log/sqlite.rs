//! A region's log in one SQLite file: one connection writes, a few others read beside it.
//!
//! WAL with `synchronous=FULL`: a commit that has answered is on the disk. Rows and statements are in the folder beside this
//! file; here is only who does what.

mod batch;
mod checkpointer;
mod delivery;
mod device;
mod event_row;
mod failure;
mod fold;
mod listing;
mod names;
mod open;
mod proof;
mod reader;
mod search;
mod statement;
mod trim;
mod upkeep;
mod writer;

use std::{fs::File, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    event::{Event, Hash},
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::{checkpointer::Checkpointer, open::Files, reader::Reader, writer::Writer};
use super::{
    Attempt, ChainEnd, Consumer, ConsumerName, Counts, Credentials, DeadLetterQuery, DedupEntry,
    Delivery, DeliveryQuery, DeliveryState, EventQuery, Exception, IdempotentAnswer, Message,
    MessagePage, MessageQuery, Page, RegionLog, Replay, WebhookNo, WebhookProgress, Write,
    WriteError, stored::position_of,
};
use crate::StoreError;

/// One region's log in one SQLite file.
pub struct SqliteLog {
    files: Arc<Files>,
    writer: Arc<Mutex<Writer>>,
    checkpointer: Checkpointer,
    reader: Reader,
    /// Keeps other processes out for as long as the log is open.
    lock: parking_lot::Mutex<Option<File>>,
}

/// Answers for a tenant that has never written here, or goes on with its number.
macro_rules! known {
    ($log:expr, $tenant:expr, else $nothing:expr) => {
        match $log.reader.tenant_no($tenant).await? {
            Some(no) => no,
            None => return Ok($nothing),
        }
    };
}

#[async_trait]
impl RegionLog for SqliteLog {
    async fn commit(&self, parts: &[Write]) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        let outcomes = self.writer.lock().await.commit(parts).await?;
        self.checkpointer.note();
        Ok(outcomes)
    }

    async fn head(&self, tenant: TenantId) -> Result<Position, StoreError> {
        let no = known!(self, tenant, else Position::ZERO);
        self.reader.head(no).await
    }

    async fn chain_end(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
    ) -> Result<Option<ChainEnd>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.chain_end(no, workspace).await
    }

    async fn recent_dedup_ids(
        &self,
        tenant: TenantId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<DedupEntry>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.recent_dedup_ids(no, since, limit).await
    }

    async fn find_dedup_ids(
        &self,
        tenant: TenantId,
        wanted: &[(WorkspaceId, Box<str>)],
        since: Timestamp,
    ) -> Result<Vec<DedupEntry>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.find_dedup_ids(no, wanted, since).await
    }

    async fn idempotent_answer(
        &self,
        tenant: TenantId,
        key_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<IdempotentAnswer>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.idempotent_answer(no, key_hash, now).await
    }

    async fn read_after(
        &self,
        tenant: TenantId,
        after: Position,
        limit: u32,
        bytes_max: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.read_after(no, after, limit, bytes_max).await
    }

    async fn read_at(
        &self,
        tenant: TenantId,
        position: Position,
    ) -> Result<Option<Event>, StoreError> {
        let events = self.read_many(tenant, &[position]).await?;
        Ok(events.into_iter().next())
    }

    async fn read_many(
        &self,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Vec<Event>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.read_many(no, positions).await
    }

    async fn search(&self, tenant: TenantId, query: &EventQuery) -> Result<Page, StoreError> {
        let no = known!(self, tenant, else Page::default());
        self.reader.search(no, query).await
    }

    async fn position_before(
        &self,
        tenant: TenantId,
        time: Timestamp,
    ) -> Result<Position, StoreError> {
        let no = known!(self, tenant, else Position::ZERO);
        match self.reader.extent(no).await? {
            Some(extent) => self.reader.position_before(extent, time).await,
            None => Ok(Position::ZERO),
        }
    }

    async fn oldest(&self, tenant: TenantId) -> Result<Option<Position>, StoreError> {
        let no = known!(self, tenant, else None);
        let extent = self.reader.extent(no).await?;
        Ok(extent.map(|extent| position_of(extent.oldest)))
    }

    async fn oldest_seq(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
    ) -> Result<Option<Seq>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.oldest_seq(no, workspace).await
    }

    async fn leaf_hashes(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        from: Seq,
        to: Seq,
    ) -> Result<Vec<Hash>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.leaf_hashes(no, workspace, from, to).await
    }

    async fn tree_nodes(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        level: u8,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader
            .tree_nodes(no, workspace, level, (from, to))
            .await
    }

    async fn dispatched(&self, tenant: TenantId) -> Result<Option<Position>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.dispatched(no).await
    }

    async fn tenants_with_work(&self) -> Result<Vec<TenantId>, StoreError> {
        self.reader.tenants_with_work().await
    }

    async fn webhook_progress(&self, tenant: TenantId) -> Result<Vec<WebhookProgress>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.webhook_progress(no).await
    }

    async fn webhook_progress_of(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
    ) -> Result<Option<WebhookProgress>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.webhook_progress_of(no, webhook).await
    }

    async fn settled_above(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        above: Position,
    ) -> Result<Vec<Position>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.settled_above(no, webhook, above).await
    }

    async fn retrying(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        limit: u32,
    ) -> Result<Vec<Exception>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.retrying(no, webhook, limit).await
    }

    async fn deliveries(
        &self,
        tenant: TenantId,
        query: &DeliveryQuery,
    ) -> Result<Vec<Delivery>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.deliveries(no, query).await
    }

    async fn delivery(
        &self,
        tenant: TenantId,
        webhook: WebhookNo,
        position: Position,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.delivery(no, webhook, position).await
    }

    async fn dead_letters(
        &self,
        tenant: TenantId,
        query: &DeadLetterQuery,
    ) -> Result<Vec<Exception>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.dead_letters(no, query).await
    }

    async fn standings(
        &self,
        tenant: TenantId,
        positions: &[Position],
    ) -> Result<Vec<(Position, DeliveryState)>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.standings(no, positions).await
    }

    async fn replays(
        &self,
        tenant: TenantId,
        unfinished_only: bool,
        limit: u32,
    ) -> Result<Vec<Replay>, StoreError> {
        let no = known!(self, tenant, else Vec::new());
        self.reader.replays(no, unfinished_only, limit).await
    }

    async fn consumer(
        &self,
        tenant: TenantId,
        name: &ConsumerName,
    ) -> Result<Option<Consumer>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.consumer(no, name).await
    }

    async fn device_fence(&self, tenant: TenantId, device: DeviceId) -> Result<Fence, StoreError> {
        let no = known!(self, tenant, else Fence::new(0));
        self.reader.device_fence(no, device).await
    }

    async fn credentials(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<Option<Credentials>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.credentials(no, device).await
    }

    async fn messages(
        &self,
        tenant: TenantId,
        query: &MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        let no = known!(self, tenant, else MessagePage::default());
        self.reader.messages(no, query).await
    }

    async fn message(
        &self,
        tenant: TenantId,
        device: DeviceId,
        id: Uuid,
    ) -> Result<Option<Message>, StoreError> {
        let no = known!(self, tenant, else None);
        self.reader.message(no, device, id).await
    }

    async fn sweep(&self, now: Timestamp, attempts_before: Timestamp) -> Result<u64, StoreError> {
        if self.writer.lock().await.is_resting() {
            return Ok(0);
        }
        self.sweep_rows(now, attempts_before).await
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        self.probe_disk().await
    }

    async fn counts(&self, events_since: Timestamp) -> Result<Counts, StoreError> {
        self.reader.counts(events_since).await
    }

    async fn close(&self) {
        self.checkpointer.stop();
        self.reader.pool.close().await;
        self.writer.lock().await.close().await;
        self.lock.lock().take();
    }
}

#[cfg(test)]
mod tests;
