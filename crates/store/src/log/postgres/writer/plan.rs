//! Decides, in memory, which parts of a commit are written, from what was read under the tenants' locks or is remembered.
//!
//! Pure: whatever it lets through can be written, so the commit needs neither savepoints nor second thoughts.

mod devices;

use std::collections::{HashMap, HashSet};

use domain::{
    event::Hash,
    fence::Fence,
    idempotency::ANSWERS_KEPT_FOR,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{POSITION_MAX, Position, Seq},
    time::Timestamp,
};

use super::super::{batch::Batch, event_row, folded, statement::Kind};
use crate::{
    StoreError,
    log::{Append, IdempotentAnswer, Write, WriteError, fold::Fold, stored::signed},
};

/// A place has room for so many tenants beside 40 bits of position.
const TENANT_NO_MAX: i64 = (1 << 23) - 1;

/// A tenant's row.
#[derive(Clone, Debug)]
pub(in super::super) struct Tenant {
    pub(in super::super) no: i64,
    /// The head before the commit.
    pub(in super::super) found: Position,
    pub(in super::super) head: Position,
    pub(in super::super) last_at: i64,
    pub(in super::super) dispatched: Option<Position>,
    pub(in super::super) fence: Fence,
    /// Whether the row has to be written.
    pub(in super::super) is_moved: bool,
}

/// The end of a workspace's chain.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Stream {
    pub(in super::super) no: i64,
    pub(in super::super) seq: Seq,
    /// The hash at the end, if the row has to be written.
    pub(in super::super) moved: Option<Hash>,
}

/// The key of an inner node: stream, level, index.
pub(super) type NodeKey = (i64, u8, u64);
/// The key of an answer: tenant, hash.
pub(super) type AnswerKey = (i64, [u8; 32]);

/// What was read or is remembered, and what the parts so far make of it.
#[derive(Default)]
pub(in super::super) struct State {
    pub(in super::super) tenants: HashMap<TenantId, Tenant>,
    pub(in super::super) streams: HashMap<(TenantId, WorkspaceId), Stream>,
    /// Nodes that are there.
    pub(super) nodes: HashSet<NodeKey>,
    /// When the answers that are there expire.
    pub(super) answers: HashMap<AnswerKey, i64>,
    /// The highest fences of devices; none is 0, and so are those that somebody else compares.
    pub(super) devices: HashMap<(TenantId, DeviceId), Fence>,
}

/// What a commit writes, and what becomes of each part.
pub(super) struct Plan<'a> {
    pub(super) batch: Batch<'a>,
    pub(super) outcomes: Vec<Result<(), WriteError>>,
    /// What the commit leaves behind if it goes through.
    pub(super) after: State,
}

impl Tenant {
    /// The row as the next commit finds it.
    pub(in super::super) fn settled(self) -> Tenant {
        Tenant {
            found: self.head,
            is_moved: false,
            ..self
        }
    }
}

impl Stream {
    /// The row as the next commit finds it.
    pub(in super::super) fn settled(self) -> Stream {
        Stream {
            moved: None,
            ..self
        }
    }
}

impl State {
    /// Goes through the parts in order.
    pub(super) fn plan<'a>(mut self, parts: &'a [Write]) -> Result<Plan<'a>, StoreError> {
        let mut batch = Batch::default();
        let mut fold = Fold::default();
        let mut answers = HashMap::new();
        let mut outcomes = Vec::with_capacity(parts.len());
        for part in parts {
            outcomes.push(match part {
                Write::Append(append) => {
                    let outcome = self.append(append, &mut batch, &mut answers);
                    if outcome.is_ok() {
                        self.mark_messages(append, &mut fold);
                    }
                    outcome
                }
                Write::Settle(_)
                | Write::Dispatch(_)
                | Write::Consume(_)
                | Write::Replay { .. }
                | Write::ForgetWebhook { .. } => self.fold(part, &mut fold),
                Write::OpenDevice { .. }
                | Write::Credentials { .. }
                | Write::Outgoing { .. }
                | Write::Outcome { .. }
                | Write::ForgetDevice { .. } => self.fold_device(part, &mut fold),
            });
        }
        for ((tenant_no, _), answer) in answers {
            write_answer(&mut batch, tenant_no, answer);
        }
        folded::write(fold, &mut batch)?;
        self.write(&mut batch);
        Ok(Plan {
            batch,
            outcomes,
            after: self,
        })
    }

    /// Adds an append's rows if it fits onto the end of the log.
    fn append<'a>(
        &mut self,
        append: &'a Append,
        batch: &mut Batch<'a>,
        answers: &mut HashMap<AnswerKey, &'a IdempotentAnswer>,
    ) -> Result<(), WriteError> {
        let tenant = self.tenant(append.tenant)?;
        let (tenant_no, head) = (tenant.no, tenant.head);
        if !is_next(append, head) {
            return Err(WriteError::HeadMoved { head });
        }
        self.find_replaced(append)?;
        let end = append.events.last().map_or(head, |event| event.position);
        if end > POSITION_MAX {
            let says = "the tenant's log has no positions left";
            return Err(StoreError::Unavailable(says.to_owned()).into());
        }
        let streams = self.streams_after(append)?;
        let nodes = self.nodes_of(append)?;
        self.find_taken_answers(append, tenant_no)?;

        for event in &append.events {
            let stream = &streams[&event.workspace];
            event_row::write(batch, event, tenant_no, stream.no);
        }
        for ((_, node), key) in append.nodes.iter().zip(nodes) {
            self.nodes.insert(key);
            batch
                .row(Kind::TreeNodes)
                .int(key.0)
                .int(node.level.into())
                .count(node.index)
                .bytes(&node.hash.0[..]);
        }
        for answer in &append.answers {
            let key = (tenant_no, answer.key_hash);
            self.answers.insert(key, answer.expires_at.micros());
            answers.insert(key, answer);
        }
        for (workspace, stream) in streams {
            self.streams.insert((append.tenant, workspace), stream);
        }
        if let (Some(last), Some(tenant)) =
            (append.events.last(), self.tenants.get_mut(&append.tenant))
        {
            tenant.head = end;
            tenant.last_at = last.received_at.micros();
            tenant.is_moved = true;
        }
        Ok(())
    }

    /// The ends of the workspaces' chains after the append.
    fn streams_after(&self, append: &Append) -> Result<HashMap<WorkspaceId, Stream>, WriteError> {
        let mut streams: HashMap<WorkspaceId, Stream> = HashMap::new();
        for event in &append.events {
            let known = match streams.get(&event.workspace) {
                Some(stream) => *stream,
                None => self.stream(append.tenant, event.workspace)?,
            };
            if event.seq <= known.seq {
                return Err(taken());
            }
            let moved = Stream {
                seq: event.seq,
                moved: Some(event.hash),
                ..known
            };
            streams.insert(event.workspace, moved);
        }
        Ok(streams)
    }

    fn nodes_of(&self, append: &Append) -> Result<Vec<NodeKey>, WriteError> {
        let mut keys = Vec::with_capacity(append.nodes.len());
        for (workspace, node) in &append.nodes {
            let key = (
                self.stream(append.tenant, *workspace)?.no,
                node.level,
                node.index,
            );
            if self.nodes.contains(&key) || keys.contains(&key) {
                return Err(taken());
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn find_taken_answers(&self, append: &Append, tenant_no: i64) -> Result<(), WriteError> {
        for (index, answer) in append.answers.iter().enumerate() {
            let is_repeated = append.answers[..index]
                .iter()
                .any(|earlier| earlier.key_hash == answer.key_hash);
            let expires_at = self.answers.get(&(tenant_no, answer.key_hash));
            let given_at = given_at(append, answer).micros();
            if is_repeated || expires_at.is_some_and(|expires_at| *expires_at > given_at) {
                return Err(WriteError::AnswerTaken);
            }
        }
        Ok(())
    }

    /// Takes a part about deliveries or readers, if its writer has not been replaced.
    fn fold<'a>(&mut self, part: &'a Write, fold: &mut Fold<'a>) -> Result<(), WriteError> {
        let tenant = self.tenant(part.tenant())?;
        let no = tenant.no;
        if let Some(fence) = part.fence() {
            if fence < tenant.fence {
                return Err(WriteError::Fenced { held: tenant.fence });
            }
            tenant.is_moved |= fence > tenant.fence;
            tenant.fence = fence;
        }
        match part {
            Write::Append(_)
            | Write::OpenDevice { .. }
            | Write::Credentials { .. }
            | Write::Outgoing { .. }
            | Write::Outcome { .. }
            | Write::ForgetDevice { .. } => {}
            Write::Settle(settle) => fold.settle(no, settle),
            Write::Dispatch(dispatch) => {
                let mark = tenant
                    .dispatched
                    .map_or(dispatch.position, |mark| mark.max(dispatch.position));
                tenant.is_moved |= tenant.dispatched != Some(mark);
                tenant.dispatched = Some(mark);
                fold.dispatch(no, dispatch);
            }
            Write::Consume(consume) => fold.consume(no, consume),
            Write::Replay { replay, .. } => fold.replay(no, replay),
            Write::ForgetWebhook { webhook, .. } => fold.forget(no, *webhook),
        }
        Ok(())
    }

    /// Adds the rows of tenants and streams that have moved.
    fn write(&self, batch: &mut Batch<'_>) {
        for tenant in self.tenants.values().filter(|tenant| tenant.is_moved) {
            batch
                .row(Kind::Tenants)
                .int(tenant.no)
                .count(tenant.head.get())
                .int(tenant.last_at)
                .maybe_int(tenant.dispatched.map(|mark| signed(mark.get())))
                .count(tenant.fence.get());
        }
        for stream in self.streams.values() {
            if let Some(hash) = stream.moved {
                batch
                    .row(Kind::Streams)
                    .int(stream.no)
                    .count(stream.seq.get())
                    .bytes(hash.0.to_vec());
            }
        }
    }

    fn tenant(&mut self, id: TenantId) -> Result<&mut Tenant, WriteError> {
        let Some(tenant) = self.tenants.get_mut(&id) else {
            return Err(StoreError::Corrupt("a tenant has lost its number".to_owned()).into());
        };
        if tenant.no > TENANT_NO_MAX {
            let says = "the region has no room for another tenant";
            return Err(StoreError::Unavailable(says.to_owned()).into());
        }
        Ok(tenant)
    }

    fn stream(&self, tenant: TenantId, workspace: WorkspaceId) -> Result<Stream, WriteError> {
        let found = self.streams.get(&(tenant, workspace)).copied();
        found
            .ok_or_else(|| StoreError::Corrupt("a workspace has lost its number".to_owned()).into())
    }
}

/// Whether the events are numbered on from the log's head without a hole.
fn is_next(append: &Append, head: Position) -> bool {
    let mut position = head;
    append.expected_head == head
        && append.events.iter().all(|event| {
            position = position.next();
            event.position == position
        })
}

/// When an answer was given: with its events, or as long ago as it will be kept.
fn given_at(append: &Append, answer: &IdempotentAnswer) -> Timestamp {
    append.events.last().map_or_else(
        || answer.expires_at.minus(ANSWERS_KEPT_FOR),
        |event| event.received_at,
    )
}

fn taken() -> WriteError {
    let says = "a seq or a tree node of the append is there already";
    StoreError::Conflict(says.to_owned()).into()
}

fn write_answer<'a>(batch: &mut Batch<'a>, tenant_no: i64, answer: &'a IdempotentAnswer) {
    batch
        .row(Kind::Answers)
        .int(tenant_no)
        .bytes(&answer.key_hash[..])
        .bytes(&answer.request_hash[..])
        .int(answer.status.into())
        .int(answer.expires_at.micros())
        .bytes(&answer.body[..]);
}
