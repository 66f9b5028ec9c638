//! What a tenant's actor can be asked, and what it answers.
//!
//! Only the words: what is done with them is in the files beside this one.

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use domain::{
    device::{MessageKey, MessageStep},
    event::{Event, NewEvent},
    fence::Fence,
    ids::{DeviceId, EventId, WorkspaceId},
    position::Position,
    rate::Standing,
    template::Violation,
    webhook::Webhook,
};
use store::{
    StoreError,
    log::{Consumer, ConsumerName, IdempotentAnswer},
};

use crate::{feed::Feed, placement::NotHeld, registry::Reply};

/// Puts events at the end of the tenant's log. Answered when they are on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Ingest {
    /// In the order in which they will stand in the log.
    pub events: Vec<NewEvent>,
    /// What to keep for the request's idempotency key.
    pub idempotent: Option<IdempotentRequest>,
    /// The device's session that they came through.
    pub from: Option<FromDevice>,
    /// Where to answer.
    pub reply: Reply<Result<Ingested, IngestError>>,
}

/// The session of a device that events come through.
#[derive(Clone, Debug)]
pub struct FromDevice {
    /// Which device.
    pub device: DeviceId,
    /// The session's fence: the events are taken only if no newer session has written.
    pub fence: Fence,
    /// What each event does to a message, one for each event.
    pub steps: Vec<Option<(MessageKey, MessageStep)>>,
    /// Whether no plan keeps it out: what the engine itself says about the device, and the device's last will.
    pub is_beyond_plan: bool,
}

/// An ingest with an idempotency key.
pub struct IdempotentRequest {
    /// Over the API key's id and the `Idempotency-Key`.
    pub key_hash: [u8; 32],
    /// Over method, path and body.
    pub request_hash: [u8; 32],
    /// How long the answer is kept.
    pub keep_for: Duration,
    /// Renders the answer that is kept, in the same transaction as the events: status and body.
    pub render: RenderAnswer,
}

/// Renders the answer that is kept for an idempotency key: status and body.
pub type RenderAnswer = Box<dyn FnOnce(&[Item]) -> (u16, Bytes) + Send>;

/// What became of an ingest.
#[derive(Debug)]
pub enum Ingested {
    /// One item for each event, in order, and how the tenant stands with its plan.
    Items(Vec<Item>, Option<Standing>),
    /// The request was answered before; this is that answer.
    Replayed(IdempotentAnswer),
}

/// What became of one event.
#[derive(Clone, Debug)]
pub enum Item {
    /// It is in the log, on disk.
    Accepted(Arc<Event>),
    /// Its `dedup_id` is in the log already.
    Duplicate {
        /// The event that has it.
        existing: EventId,
    },
    /// The workspace's template does not allow it.
    Rejected(Vec<Violation>),
    /// The workspace does not exist (any more).
    NoWorkspace,
}

/// Why an ingest did nothing.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The tenant does not exist.
    #[error("the tenant does not exist")]
    NoTenant,
    /// The plan's events a minute are spent.
    #[error("the plan's events per minute are spent")]
    RateLimited {
        /// When to come back.
        retry_after: Duration,
        /// How the tenant stands.
        standing: Standing,
    },
    /// The batch is larger than what the plan allows in a whole minute.
    #[error("the batch has more events than the plan allows in a minute")]
    OverLimit {
        /// How the tenant stands.
        standing: Standing,
    },
    /// The same idempotency key is being worked on.
    #[error("a request with this idempotency key is in flight")]
    IdempotencyInFlight,
    /// The idempotency key was used for another request.
    #[error("this idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The device's session has been replaced by a newer one.
    #[error("the device's session has been replaced: fence {held} was written")]
    DeviceFenced {
        /// The highest fence that was written.
        held: Fence,
    },
    /// This node does not hold the tenant.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a tenant's state is not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// This node does not hold the tenant.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// A store did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LoadError {
    /// The same error for each of those who wait.
    pub(crate) fn again(&self) -> LoadError {
        match self {
            LoadError::NotHeld(why) => LoadError::NotHeld(why.clone()),
            LoadError::Store(error) => LoadError::Store(crate::region::again(error)),
        }
    }
}

impl From<LoadError> for IngestError {
    fn from(error: LoadError) -> IngestError {
        match error {
            LoadError::NotHeld(why) => IngestError::NotHeld(why),
            LoadError::Store(error) => IngestError::Store(error),
        }
    }
}

impl From<LoadError> for AckError {
    fn from(error: LoadError) -> AckError {
        match error {
            LoadError::NotHeld(why) => AckError::NotHeld(why),
            LoadError::Store(error) => AckError::Store(error),
        }
    }
}

/// Acknowledges, or rewinds, for one consumer. Answered with its new standing when that is on disk.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Acknowledge {
    /// Which consumer.
    pub name: ConsumerName,
    /// What.
    pub what: Acknowledgement,
    /// Where to answer.
    pub reply: Reply<Result<Consumer, AckError>>,
}

/// What a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// One event.
    One(Position),
    /// Everything up to here.
    UpTo(Position),
    /// Goes to this place, forward or back: the event after it comes next.
    Seek(Position),
}

/// Why an acknowledgement did nothing.
#[derive(Debug, thiserror::Error)]
pub enum AckError {
    /// The tenant does not exist.
    #[error("the tenant does not exist")]
    NoTenant,
    /// Too many events are acknowledged one by one beyond one that is not.
    #[error("{0} events are acknowledged beyond one that is not: acknowledge that one, or a range")]
    TooManyOpen(usize),
    /// The position is beyond the log's end.
    #[error("the log ends at {head}")]
    BeyondHead {
        /// Its last position.
        head: Position,
    },
    /// This node does not hold the tenant.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that the actor keeps in memory was changed in the control plane.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Changed {
    /// What.
    pub what: Change,
    /// Answered when the actor knows.
    pub reply: Reply<()>,
}

/// What was changed.
#[derive(Clone, Debug)]
pub enum Change {
    /// A webhook was made or changed: this is how it is now.
    Webhook(Arc<Webhook>),
    /// A webhook is no more.
    WebhookGone(crate::webhook_board::WebhookKey),
    /// A workspace, or its template.
    Workspace(WorkspaceId),
    /// The tenant itself: its plan.
    Tenant,
    /// A session of a device was opened under this fence, and all older ones are over.
    DeviceTaken(DeviceId, Fence),
}

/// Asks for the readers' side of the log.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// Where to answer; `None` if the tenant does not exist.
    pub reply: Reply<Result<Option<Arc<Feed>>, LoadError>>,
}

/// Takes nothing more, and goes when what is in flight has landed: the tenant is given to another node. Answered at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Depart {
    /// Where to answer.
    pub reply: Reply<()>,
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ingest({} events)", self.events.len())
    }
}
