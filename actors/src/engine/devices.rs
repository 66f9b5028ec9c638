//! Devices: their sessions as connections handle them.
//!
//! A session lives on the node that its connection reached; the events that come through it go to the tenant's owner,
//! wherever that is. What owners and operators do with devices is in the files beside this one.

mod answering;
mod commands;
mod disconnecting;
mod ending;
mod kept;
mod leaving;
mod owned;

use std::sync::{Arc, atomic::AtomicBool};
use std::time::Duration;

use actix::{Handler, Message};
use domain::{
    device::{CommandResult, DeviceEvent, EndReason, Report},
    fence::Fence,
    ids::{DeviceId, TenantId},
};
use tokio::sync::oneshot;
use tracing::warn;

use super::{Actors, Engine, EngineError, EngineOptions};
use crate::{
    device::{
        DeviceActor, DeviceContext, DeviceItem, DeviceKey, OpenError, OpenSession, Session,
        SessionError,
        board::DeviceBoard,
        intake::{Batch, Intake, NotTaken, Word},
        messages::{Close, Open, Resolve, Taken, Tell},
    },
    placement::Placement,
    registry::{AskError, Registry, RegistryOptions, Reply},
};

pub use commands::{CommandError, SentMessage, UnsentMessage};
pub(super) use ending::{note_seen, until_ended};
pub use kept::{CredentialsError, DeviceMessage, DeviceMessages, Habit, Keeper, KeptCredentials};
pub(super) use leaving::forget_leaving;
pub use owned::DeviceUpdate;

/// Messages in flight to one device's actor: the commands that wait for results, and some room.
const IN_FLIGHT_MAX: usize = 1_024;

/// What the engine has of devices.
pub(crate) struct Devices {
    pub(crate) actors: Registry<DeviceActor>,
    pub(crate) board: Arc<DeviceBoard>,
    pub(crate) context: Arc<DeviceContext>,
}

impl Devices {
    pub(super) fn new(
        options: &EngineOptions,
        actors: &Actors,
        placement: &Placement,
        boot: &str,
    ) -> Devices {
        let board = Arc::new(DeviceBoard::default());
        let context = Arc::new(DeviceContext {
            clock: options.clock.clone(),
            control: options.control.clone(),
            logs: options.logs.clone(),
            regions: actors.regions.clone(),
            placement: placement.clone(),
            intake: Intake::new(actors.tenants.clone(), placement.clone()),
            board: Arc::clone(&board),
            boot: boot.to_owned(),
            is_ending: AtomicBool::new(false),
        });
        let bounds = RegistryOptions {
            in_flight_max: IN_FLIGHT_MAX,
            ..options.tenant_registry
        };
        let (arbiters, runtime) = (options.arbiters.clone(), options.outside.clone());
        let shared = Arc::clone(&context);
        let actors = Registry::new(arbiters, runtime, bounds, move |key, lifeline| {
            DeviceActor::new(key, Arc::clone(&shared), lifeline)
        });
        Devices {
            actors,
            board,
            context,
        }
    }
}

impl Engine {
    /// Opens a session of a device; whoever has one loses it. Commands that still wait come through the link at once. Whoever's
    /// link is gone before its turn gets none, so that a connection that is gone is best told of by dropping this.
    pub async fn open_session(&self, open: OpenSession) -> Result<Session, OpenError> {
        let OpenSession {
            tenant,
            device,
            gateway,
            transport,
            link,
        } = open;
        let key = DeviceKey { tenant, device };
        let message = |reply| Open {
            gateway,
            transport,
            link,
            reply,
        };
        let asked = self.inner.devices.actors.ask(&key, message).await;
        asked.map_err(EngineError::from)?
    }

    /// Whether one more session of the device would be admitted now, as far as this node knows; if not, when. Counts nothing.
    pub fn session_admitted(&self, tenant: TenantId, device: DeviceId) -> Result<(), Duration> {
        let key = DeviceKey { tenant, device };
        let now = self.inner.clock.now();
        let admitted = self.inner.devices.board.would_admit(&key, now);
        admitted.map_err(|refused| refused.0)
    }

    /// Takes over what the gateway says about where it stands. Answers when what follows from it is in the log.
    pub async fn report(&self, session: &Session, report: Report) -> Result<(), SessionError> {
        let fence = session.fence;
        let message = |reply| Tell {
            fence,
            report,
            reply,
        };
        self.ask_session(session, message).await
    }

    /// Puts events of a device into the log, all or none. Answers when they are on disk: one item an event, in order.
    pub async fn ingest_from_device(
        &self,
        session: &Session,
        events: Vec<DeviceEvent>,
    ) -> Result<Vec<DeviceItem>, SessionError> {
        if session.is_over() {
            return Err(SessionError::Replaced);
        }
        let batch = Batch {
            tenant: session.tenant,
            device: session.device,
            workspace: session.workspace,
            fence: session.fence,
            events,
            word: Word::Device,
        };
        match self.inner.devices.context.intake.put(batch).await {
            Ok(items) => {
                count(&items);
                Ok(items)
            }
            Err(NotTaken::Fenced { held }) => {
                session.end();
                self.device_taken(session.key(), held);
                Err(SessionError::Replaced)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the result of a command. One that nobody waits for any more is taken too.
    pub async fn command_result(
        &self,
        session: &Session,
        result: CommandResult,
    ) -> Result<(), SessionError> {
        let fence = session.fence;
        let message = |reply| Resolve {
            fence,
            result,
            reply,
        };
        self.ask_session(session, message).await
    }

    /// Something came from the device. Costs nothing.
    pub fn seen(&self, session: &Session) {
        session.known.seen(self.inner.clock.now());
    }

    /// The connection has ended. `will` is what the device wanted to be said in this case. Waits for nothing; of one that was
    /// ended before nothing more is said.
    pub fn close_session(&self, session: Session, why: EndReason, will: Option<DeviceEvent>) {
        let fence = session.fence;
        let message = |reply| Close {
            fence,
            why,
            will,
            reply,
        };
        let key = session.key();
        // Nobody uses it any more.
        drop(session);
        if let Err(error) = self.inner.devices.actors.post(&key, message) {
            // The actor finds out that the connection is gone; whoever opens the next session, that it was lost.
            warn!(device.id = %key, %error, "the end of a session of {key} was not told: {error}");
        }
    }

    /// There is a newer session of the device: what is older than `fence` is over.
    pub(super) fn device_taken(&self, key: DeviceKey, fence: Fence) {
        let devices = &self.inner.devices;
        devices.context.intake.tell_taken(key, fence);
        if devices.actors.is_running(&key) {
            // An actor that does not hear it finds out when its next write is refused.
            drop(devices.actors.post(&key, |reply| Taken { fence, reply }));
        }
    }

    async fn ask_session<M>(
        &self,
        session: &Session,
        message: impl FnOnce(Reply<Result<(), SessionError>>) -> M,
    ) -> Result<(), SessionError>
    where
        DeviceActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        if session.is_over() {
            return Err(SessionError::Replaced);
        }
        let asked = self.inner.devices.actors.ask(&session.key(), message).await;
        asked.map_err(EngineError::from)?
    }

    /// Puts a message into the mailbox of a device's actor that runs. `None` if none does.
    fn post_to_device<M, R>(
        &self,
        key: &DeviceKey,
        message: impl FnOnce(Reply<R>) -> M,
    ) -> Option<Result<oneshot::Receiver<R>, AskError>>
    where
        DeviceActor: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let actors = &self.inner.devices.actors;
        actors.is_running(key).then(|| actors.post(key, message))
    }
}

fn count(items: &[DeviceItem]) {
    for item in items {
        let outcome = match item {
            DeviceItem::Stored(_) => "stored",
            DeviceItem::Duplicate(_) => "duplicate",
            DeviceItem::Refused { .. } => "refused",
        };
        metrics::counter!("device_events_total", "outcome" => outcome).increment(1);
    }
}
