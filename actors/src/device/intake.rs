//! Brings a device's events to the owner of its tenant's log, wherever that is.
//!
//! Decides nothing about the events: the tenant's actor and the store do. Tries a second time where somebody else has just
//! taken the tenant over; everything else is for the caller to repeat.

use std::time::Duration;

use domain::{
    device::DeviceEvent,
    event_id::position_in,
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::Position,
    template::Violation,
};
use outbound::bus::BusError;

use super::{
    DeviceKey,
    remote::{self, Answer, Ask, Failure},
    session::SessionError,
};
use crate::{
    engine::EngineError,
    placement::{NotHeld, Place, Placement},
    registry::{AskError, Registry},
    tenant::{Change, Changed, FromDevice, Ingest, IngestError, Ingested, Item, TenantActor},
};

/// How long another node may take to make events durable.
const REMOTE_WITHIN: Duration = Duration::from_secs(30);
/// When it is worth to try again where the plan has fewer events a minute than one batch holds.
const MINUTE: Duration = Duration::from_secs(60);
/// The code of events that the workspace's template does not allow.
const TEMPLATE_VIOLATION: &str = "template_violation";
/// The code of whatever else is wrong with an event.
const INVALID_FIELD: &str = "invalid_field";

/// Events of one device, in order, under one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) tenant: TenantId,
    pub(crate) device: DeviceId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) fence: Fence,
    pub(crate) events: Vec<DeviceEvent>,
    /// What keeps the plan from having a say, if anything does.
    pub(crate) word: Word,
}

/// Whose word a batch is, which decides whether the plan's limit holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The device's own events.
    Device,
    /// The device's last will: one event, which nobody is there any more to send again. Only as many come as sessions are opened.
    Will,
    /// What the engine itself says about the device, once under this `dedup_id`.
    Engine(Box<str>),
}

/// What became of one event of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceItem {
    /// It is in the log, on disk, at this position.
    Stored(Position),
    /// It is in the log already, at this position.
    Duplicate(Position),
    /// It cannot be put into the log.
    Refused {
        /// The code of the API.
        code: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

/// Why nothing that a session says was written.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// A newer session has written.
    Fenced { held: Fence },
    /// The tenant lives elsewhere, or nowhere.
    NotHere(NotHeld),
    /// The plan's events are spent.
    RateLimited { retry_after: Duration },
    /// The engine cannot do it now, or never.
    Engine(EngineError),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    tenants: Registry<TenantActor>,
    placement: Placement,
}

impl Intake {
    pub(crate) fn new(tenants: Registry<TenantActor>, placement: Placement) -> Intake {
        Intake { tenants, placement }
    }

    /// A newer session of a device exists: late writes of older ones are refused before they share an append with others. A
    /// tenant's actor that does not hear it finds out when the store refuses one.
    pub(crate) fn tell_taken(&self, key: DeviceKey, fence: Fence) {
        if self.tenants.is_running(&key.tenant) {
            let what = Change::DeviceTaken(key.device, fence);
            drop(
                self.tenants
                    .post(&key.tenant, |reply| Changed { what, reply }),
            );
        }
    }

    /// Puts events into the log, all or none. Answers when they are on disk: one item an event, in order.
    pub(crate) async fn put(&self, batch: Batch) -> Result<Vec<DeviceItem>, NotTaken> {
        match self.try_to_put(batch.clone()).await {
            Err(NotTaken::NotHere(_)) => {
                self.placement.forget(batch.tenant);
                self.try_to_put(batch).await
            }
            done => done,
        }
    }

    async fn try_to_put(&self, batch: Batch) -> Result<Vec<DeviceItem>, NotTaken> {
        match self.placement.locate(batch.tenant).await {
            Ok(Place::Here) => self.put_here(batch).await,
            Ok(Place::There { session, .. }) => {
                let ask = Ask::Ingest(batch);
                let asked = remote::ask(self.placement.peers(), session, &ask, REMOTE_WITHIN);
                told(asked.await)
            }
            Err(error) => Err(NotTaken::Engine(error.into())),
        }
    }

    /// The same on the node where the tenant lives.
    pub(crate) async fn put_here(&self, mut batch: Batch) -> Result<Vec<DeviceItem>, NotTaken> {
        let count = batch.events.len();
        let events = std::mem::take(&mut batch.events);
        match self.ask(&batch, events.clone()).await {
            Err(Asked::OverLimit) if count > 1 => {
                let mut items = Vec::with_capacity(count);
                for event in events {
                    items.extend(self.ask(&batch, vec![event]).await?);
                }
                Ok(items)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn ask(&self, batch: &Batch, events: Vec<DeviceEvent>) -> Result<Vec<DeviceItem>, Asked> {
        let (mut new, mut steps) = (Vec::with_capacity(events.len()), Vec::new());
        for event in events {
            let (mut event, step) = event.into_new_event(batch.device, batch.workspace);
            if let Word::Engine(name) = &batch.word {
                event.fields.dedup_id = Some(name.clone());
            }
            new.push(event);
            steps.push(step);
        }
        let from = FromDevice {
            device: batch.device,
            fence: batch.fence,
            steps,
            is_beyond_plan: match batch.word {
                Word::Device => false,
                Word::Will | Word::Engine(_) => true,
            },
        };
        let message = |reply| Ingest {
            events: new,
            idempotent: None,
            from: Some(from),
            reply,
        };
        match self.tenants.ask(&batch.tenant, message).await?? {
            Ingested::Items(items, _) => Ok(items.into_iter().map(shown).collect()),
            Ingested::Replayed(_) => {
                let unasked = "a device's ingest was answered from memory";
                Err(Asked::Not(NotTaken::Engine(EngineError::Internal(
                    unasked.into(),
                ))))
            }
        }
    }
}

/// Why the tenant's actor took nothing.
enum Asked {
    /// The batch is larger than what the plan allows in a minute.
    OverLimit,
    Not(NotTaken),
}

impl From<AskError> for Asked {
    fn from(error: AskError) -> Asked {
        Asked::Not(NotTaken::Engine(error.into()))
    }
}

impl From<IngestError> for Asked {
    fn from(error: IngestError) -> Asked {
        Asked::Not(match error {
            IngestError::OverLimit { .. } => return Asked::OverLimit,
            IngestError::DeviceFenced { held } => NotTaken::Fenced { held },
            IngestError::RateLimited { retry_after, .. } => NotTaken::RateLimited { retry_after },
            IngestError::NotHeld(why) => NotTaken::NotHere(why),
            IngestError::NoTenant
            | IngestError::IdempotencyInFlight
            | IngestError::IdempotencyMismatch
            | IngestError::Store(_) => NotTaken::Engine(error.into()),
        })
    }
}

impl From<Asked> for NotTaken {
    fn from(asked: Asked) -> NotTaken {
        match asked {
            Asked::OverLimit => NotTaken::RateLimited {
                retry_after: MINUTE,
            },
            Asked::Not(why) => why,
        }
    }
}

impl From<NotTaken> for SessionError {
    fn from(error: NotTaken) -> SessionError {
        match error {
            NotTaken::Fenced { .. } => SessionError::Replaced,
            NotTaken::RateLimited { retry_after } => SessionError::RateLimited { retry_after },
            NotTaken::NotHere(why) => SessionError::Engine(why.into()),
            NotTaken::Engine(error) => SessionError::Engine(error),
        }
    }
}

impl From<NotTaken> for Failure {
    fn from(error: NotTaken) -> Failure {
        match error {
            NotTaken::Fenced { held } => Failure::Fenced(held),
            NotTaken::NotHere(_) => Failure::NotHere,
            NotTaken::RateLimited { retry_after } => Failure::RateLimited(
                u64::try_from(retry_after.as_millis())
                    .unwrap_or(u64::MAX)
                    .max(1),
            ),
            NotTaken::Engine(EngineError::Overloaded(_)) => Failure::Overloaded,
            NotTaken::Engine(EngineError::StorageFull) => Failure::StorageFull,
            NotTaken::Engine(EngineError::NotFound(_)) => Failure::NoTenant,
            NotTaken::Engine(error) => Failure::Unavailable(error.to_string()),
        }
    }
}

impl From<Failure> for NotTaken {
    fn from(failure: Failure) -> NotTaken {
        match failure {
            Failure::Fenced(held) => NotTaken::Fenced { held },
            Failure::NotHere => NotTaken::NotHere(NotHeld::Leaving),
            Failure::RateLimited(millis) => NotTaken::RateLimited {
                retry_after: Duration::from_millis(millis),
            },
            Failure::Overloaded => NotTaken::Engine(EngineError::Overloaded(AskError::Full)),
            Failure::StorageFull => NotTaken::Engine(EngineError::StorageFull),
            Failure::NoTenant => NotTaken::Engine(EngineError::NotFound("tenant")),
            Failure::Unavailable(what) => NotTaken::Engine(EngineError::Unavailable(what)),
        }
    }
}

/// What another node says.
fn told(answer: Result<Answer, BusError>) -> Result<Vec<DeviceItem>, NotTaken> {
    match answer {
        Ok(Answer::Items(items)) => Ok(items),
        Ok(Answer::NotTaken(failure)) => Err(failure.into()),
        Ok(Answer::Ran(_) | Answer::Ended(_) | Answer::Pairing(_) | Answer::NotUnderstood) => {
            Err(unavailable("the tenant's owner speaks another version"))
        }
        // That node has gone: somebody else may have the tenant.
        Err(BusError::NoResponder) => Err(NotTaken::NotHere(NotHeld::Leaving)),
        Err(error) => Err(unavailable(&format!("the tenant's owner: {error}"))),
    }
}

fn unavailable(what: &str) -> NotTaken {
    NotTaken::Engine(EngineError::Unavailable(what.to_owned()))
}

fn shown(item: Item) -> DeviceItem {
    match item {
        Item::Accepted(event) => DeviceItem::Stored(event.position),
        Item::Duplicate { existing } => DeviceItem::Duplicate(position_in(existing)),
        Item::Rejected(violations) => DeviceItem::Refused {
            code: TEMPLATE_VIOLATION,
            message: said(&violations),
        },
        Item::NoWorkspace => DeviceItem::Refused {
            code: INVALID_FIELD,
            message: "the device's workspace does not exist any more".to_owned(),
        },
    }
}

fn said(violations: &[Violation]) -> String {
    let said = violations
        .iter()
        .map(|violation| format!("{}: {}", violation.pointer, violation.detail));
    said.collect::<Vec<_>>().join("; ")
}

impl DeviceItem {
    /// The code that another node's word for it stands for.
    pub(super) fn known_code(code: &str) -> &'static str {
        match code {
            TEMPLATE_VIOLATION => TEMPLATE_VIOLATION,
            _ => INVALID_FIELD,
        }
    }
}
