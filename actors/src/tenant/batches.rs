//! What is numbered and not yet on disk: batches of events with those who wait for them, and the appends that they go as.
//!
//! Decides what goes together. Sends nothing and answers nobody: that is `appends`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use domain::{
    device::{MessageKey, MessageStep},
    event::Event,
    fence::Fence,
    ids::{DeviceId, EventId, WorkspaceId},
    merkle::TreeNode,
    rate::Standing,
};
use store::log::{Append, IdempotentAnswer};

use super::{IngestError, Ingested, Item, devices::Spoken, ingest::DedupKey};
use crate::{
    region::{GrowingAppend, WriteOutcome},
    registry::Reply,
};

/// Events in one append, about.
const APPEND_EVENTS_MAX: usize = 2_048;
/// Bytes of payload in one append, about.
const APPEND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One client's request, whose answer waits for the disk.
pub(super) struct Request {
    pub(super) items: Vec<Item>,
    pub(super) standing: Option<Standing>,
    /// Of its idempotency key.
    pub(super) key: Option<[u8; 32]>,
    /// The device's session that it came through.
    pub(super) session: Option<(DeviceId, Fence)>,
    pub(super) reply: Reply<Result<Ingested, IngestError>>,
}

/// What is numbered and not yet passed on. A request's events never straddle two appends.
#[derive(Default)]
pub(super) struct Pending {
    batches: VecDeque<Batch>,
}

/// What goes, or has gone, as one append.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Arc<Event>>,
    bytes: usize,
    nodes: Vec<(WorkspaceId, TreeNode)>,
    answers: Vec<IdempotentAnswer>,
    pub(super) requests: Vec<Request>,
    pub(super) dedup: HashMap<DedupKey, EventId>,
    pub(super) devices: Spoken,
}

/// An append on its way.
pub(super) struct Flying {
    /// Tells it from the others.
    pub(super) no: u64,
    pub(super) batch: Batch,
    pub(super) append: Arc<GrowingAppend>,
    /// Set when it has landed, and waits for those before it.
    pub(super) outcome: Option<WriteOutcome>,
}

impl Flying {
    pub(super) fn find_dedup(&self, key: &DedupKey) -> Option<EventId> {
        self.batch.dedup.get(key).copied()
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.iter().all(Batch::is_empty)
    }

    pub(super) fn find_dedup(&self, key: &DedupKey) -> Option<EventId> {
        self.batches
            .iter()
            .find_map(|batch| batch.dedup.get(key).copied())
    }

    /// Begins a request: a full batch takes no further one.
    pub(super) fn begin(&mut self) {
        if !self.batches.back().is_some_and(Batch::has_room) {
            self.batches.push_back(Batch::default());
        }
    }

    fn last(&mut self) -> &mut Batch {
        self.batches.back_mut().expect("a request has begun")
    }

    pub(super) fn add_event(&mut self, event: Arc<Event>, nodes: Vec<TreeNode>) {
        let batch = self.last();
        batch.bytes += event.payload.len() + 512;
        if let Some(dedup_id) = &event.fields.dedup_id {
            batch
                .dedup
                .insert((event.workspace, dedup_id.clone()), event.id);
        }
        batch
            .nodes
            .extend(nodes.into_iter().map(|node| (event.workspace, node)));
        batch.events.push(event);
    }

    /// Says what the event that was added last comes from, and what it does.
    pub(super) fn add_origin(
        &mut self,
        event: &Event,
        session: Option<(DeviceId, Fence)>,
        step: Option<(MessageKey, MessageStep)>,
    ) {
        let devices = &mut self.last().devices;
        devices.sessions.extend(session);
        devices.add(event, step);
    }

    pub(super) fn add_answer(&mut self, answer: IdempotentAnswer) {
        self.last().answers.push(answer);
    }

    /// Ends a request: its events were added before.
    pub(super) fn end(&mut self, request: Request) {
        self.last().requests.push(request);
    }

    pub(super) fn pop(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// Puts the first batch back: there is no room for it yet.
    pub(super) fn unpop(&mut self, batch: Batch) {
        self.batches.push_front(batch);
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.events.len() < APPEND_EVENTS_MAX && self.bytes < APPEND_BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.requests.is_empty()
    }

    /// Whether there is nothing to write.
    pub(super) fn is_talk_only(&self) -> bool {
        self.events.is_empty() && self.answers.is_empty()
    }

    /// Moves what is written, and not needed any more when it is on disk, into the append.
    pub(super) fn pour(&mut self, append: &mut Append) {
        append.events.extend_from_slice(&self.events);
        append.nodes.append(&mut self.nodes);
        append.answers.append(&mut self.answers);
        append.messages.append(&mut self.devices.messages);
    }

    /// Takes in a batch that goes as the same append.
    fn join(&mut self, mut other: Batch) {
        self.events.append(&mut other.events);
        self.bytes += other.bytes;
        self.requests.append(&mut other.requests);
        self.dedup.extend(other.dedup);
        self.devices.sessions.extend(other.devices.sessions);
    }
}

impl Flying {
    /// Takes in a batch if the append still waits for its turn and has room, or if the batch holds nothing to write: then its
    /// clients are answered when those are whose events are on their way. Gives back what it could not take.
    pub(super) fn try_join(&mut self, mut batch: Batch) -> Option<Batch> {
        let joins = if batch.is_talk_only() {
            true
        } else {
            let sessions = &self.batch.devices.sessions;
            self.batch.has_room()
                && self.append.grow(|append| {
                    let fresh = batch.devices.sessions.difference(sessions);
                    append.sessions.extend(fresh);
                    batch.pour(append);
                })
        };
        if !joins {
            return Some(batch);
        }
        self.batch.join(batch);
        None
    }
}
