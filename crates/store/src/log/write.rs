//! What a commit may hold, part by part.
//!
//! Only the words; what is kept of them is each database's business.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    breaker::Breaker,
    event::Event,
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    merkle::TreeNode,
    position::Position,
    time::Timestamp,
};

use uuid::Uuid;

use super::{
    Attempt, Consumer, ConsumerName, Credentials, Exception, MessageMark, MessageOutcome,
    OutgoingMessage, Replay, WebhookNo,
};
use crate::StoreError;

/// Messages of a device that one [`Write::ForgetDevice`] deletes: a device may have millions, and everybody else waits for the
/// commit.
pub const FORGOTTEN_AT_ONCE: u32 = 1_000;

/// One part of a commit.
///
/// An append needs no fence, because it compares and swaps the log's head. Parts about deliveries and readers carry the fence
/// under which their writer holds the tenant; see [`WriteError::Fenced`]. A device's session lives wherever the device
/// connected, not where its tenant does: its parts have a fence of their own, see [`WriteError::DeviceFenced`].
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
        /// The fence under which the tenant is held.
        fence: Fence,
        /// All of it.
        replay: Replay,
    },
    /// Everything that is stored of a webhook's deliveries goes, because the webhook was deleted.
    ForgetWebhook {
        /// Whose it was.
        tenant: TenantId,
        /// The fence under which the tenant is held.
        fence: Fence,
        /// Its number.
        webhook: WebhookNo,
    },
    /// A device's session begins: from now on nothing is taken from an older one. The same fence again changes nothing.
    OpenDevice {
        /// Whose it is.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
        /// The new session's fence. The part fails with [`WriteError::DeviceFenced`] if a higher one was written before.
        fence: Fence,
    },
    /// What a device's connector keeps with the engine: replaces what it kept before.
    ///
    /// Fails with [`WriteError::DeviceFenced`] unless the fence is the highest that was written for the device: 0 only
    /// before its first session.
    Credentials {
        /// Whose it is.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
        /// All of it.
        credentials: Credentials,
    },
    /// A message is on its way out. One that is there already stays as it is.
    ///
    /// Fails with [`WriteError::DeviceFenced`] if a higher fence was written for the device: so that whoever has looked whether
    /// the device is there, after it had looked at the fence, writes nothing behind the back of somebody who deletes it.
    Outgoing {
        /// Whose device.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
        /// The device's fence when its sender began.
        fence: Fence,
        /// All of it.
        message: OutgoingMessage,
    },
    /// What became of a message on its way out. A message that is not there, or was sent before, is not changed.
    ///
    /// What a session says fails with [`WriteError::DeviceFenced`] if it has been replaced.
    Outcome {
        /// Whose device.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
        /// The session that says it; none if nobody but the engine does, because no session took the message.
        by: Option<Fence>,
        /// What we call the message.
        id: Uuid,
        /// What became of it.
        outcome: MessageOutcome,
        /// When.
        at: Timestamp,
    },
    /// Credentials of a device go, and [`FORGOTTEN_AT_ONCE`] of its messages, because it is deleted: to be written again until
    /// no message is left. Its fence stays: whoever wants late writes of its last session refused raises it before.
    ForgetDevice {
        /// Whose it was.
        tenant: TenantId,
        /// Which one.
        device: DeviceId,
    },
}

impl Write {
    /// Whose part it is.
    pub fn tenant(&self) -> TenantId {
        match self {
            Write::Append(append) => append.tenant,
            Write::Settle(settle) => settle.tenant,
            Write::Dispatch(dispatch) => dispatch.tenant,
            Write::Consume(consume) => consume.tenant,
            Write::Replay { tenant, .. }
            | Write::ForgetWebhook { tenant, .. }
            | Write::OpenDevice { tenant, .. }
            | Write::Credentials { tenant, .. }
            | Write::Outgoing { tenant, .. }
            | Write::Outcome { tenant, .. }
            | Write::ForgetDevice { tenant, .. } => *tenant,
        }
    }

    /// The fence under which its writer holds the tenant; an append has none, nor has a device's part.
    pub fn fence(&self) -> Option<Fence> {
        match self {
            Write::Append(_)
            | Write::OpenDevice { .. }
            | Write::Credentials { .. }
            | Write::Outgoing { .. }
            | Write::Outcome { .. }
            | Write::ForgetDevice { .. } => None,
            Write::Settle(settle) => Some(settle.fence),
            Write::Dispatch(dispatch) => Some(dispatch.fence),
            Write::Consume(consume) => Some(consume.fence),
            Write::Replay { fence, .. } | Write::ForgetWebhook { fence, .. } => Some(*fence),
        }
    }
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
    /// The sessions of devices that the events came through. The part fails with [`WriteError::DeviceFenced`] if one of
    /// them has been replaced.
    pub sessions: Vec<(DeviceId, Fence)>,
    /// What the events do to messages of devices, in the same transaction.
    pub messages: Vec<MessageMark>,
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
    /// Somebody else holds the tenant by now: a part with a higher fence was written before. Stop working for the tenant.
    #[error("the tenant is held under fence {held}: this writer has been replaced")]
    Fenced {
        /// The highest fence that was written.
        held: Fence,
    },
    /// A newer session of the device was written before: the one that this part came through has been replaced.
    #[error("device {device} is held under fence {held}: this session has been replaced")]
    DeviceFenced {
        /// Which one.
        device: DeviceId,
        /// The highest fence that was written for it; 0 if there was none.
        held: Fence,
    },
    /// The idempotency key has been answered already.
    #[error("the idempotency key has an answer already")]
    AnswerTaken,
    /// The part cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
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

/// Outcomes of one webhook's deliveries, written together.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Whose webhook.
    pub tenant: TenantId,
    /// The fence under which the tenant is held.
    pub fence: Fence,
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
    /// The fence under which the tenant is held.
    pub fence: Fence,
    /// Every event up to here has been matched against every webhook.
    pub position: Position,
    /// Webhooks that were given work since the last mark, with the position before their first event: from now on they have
    /// work. Never moves a cursor back.
    pub woken: Vec<(WebhookNo, Position)>,
    /// Webhooks whose work is all settled: from now on they have none.
    pub rested: Vec<WebhookNo>,
}

/// A consumer's new standing: replaces the old one as a whole.
#[derive(Clone, Debug)]
pub struct Consume {
    /// Whose consumer.
    pub tenant: TenantId,
    /// The fence under which the tenant is held.
    pub fence: Fence,
    /// Which one.
    pub name: ConsumerName,
    /// Its standing from now on.
    pub standing: Consumer,
}
