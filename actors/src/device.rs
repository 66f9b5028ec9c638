//! The actor of one device: its session, from the opening to the end, wherever the gateway happened to connect.
//!
//! The newest session wins: it raises the device's fence in the lease and in the region's store, and from then on nothing of
//! an older one is written. The actor holds the connection's link, the state that the gateway reports, and the commands that
//! wait for results; no event passes through it, and it remembers none.
//!
//! Jobs are done one after the other (see [`jobs`]), each as acts on the stores (see [`acts`]) that are repeated until they succeed or the
//! session turns out to be over. Messages that end something take effect on the connection at once.

mod acts;
pub(crate) mod board;
pub(crate) mod commands;
mod facts;
mod habits;
mod handlers;
pub(crate) mod intake;
mod jobs;
mod link;
pub(crate) mod messages;
mod opening;
pub mod remote;
mod session;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use actix::{SpawnHandle, prelude::*};
use domain::{
    clock::Clock,
    device::{ByeReason, EndReason, Standing},
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};
use store::control::Control;
use tracing::{debug, info};

use crate::{
    placement::Placement,
    region::{RegionActor, RegionLogs},
    registry::{InjectPanic, Keyed, Lifeline, Registry},
};
use acts::Act;
use board::{DeviceBoard, Owing, Place};
use commands::Commands;
use intake::Intake;
use jobs::Job;
use messages::Ending;

pub use intake::DeviceItem;
pub use link::{Link, LinkReceiver, ToDevice, link};
pub use remote::{Answering, Peers};
pub use session::{OpenError, OpenSession, Session, SessionError, Transport};

/// How long an actor stays that has nothing to do.
const PASSIVATE_AFTER: Duration = Duration::from_secs(10);

/// One device of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    /// Whose.
    pub tenant: TenantId,
    /// Which one.
    pub device: DeviceId,
}

/// What all devices' actors share.
pub(crate) struct DeviceContext {
    /// The one source of time.
    pub(crate) clock: Clock,
    /// The control plane.
    pub(crate) control: Control,
    /// What may be read.
    pub(crate) logs: RegionLogs,
    /// Who writes.
    pub(crate) regions: Registry<RegionActor>,
    /// Under which session this node works.
    pub(crate) placement: Placement,
    /// The way to the tenants' logs.
    pub(crate) intake: Intake,
    /// What is known without asking an actor.
    pub(crate) board: Arc<DeviceBoard>,
    /// Names this process among all that ever ran on these stores.
    pub(crate) boot: String,
    /// Set once: the node opens no further session.
    pub(crate) is_ending: AtomicBool,
}

/// One device's session.
pub struct DeviceActor {
    key: DeviceKey,
    shared: Arc<DeviceContext>,
    live: Option<Live>,
    /// The highest fence of which this actor knows that its session has ended.
    ended: Fence,
    /// The highest fence of which this actor knows that a newer one was given out.
    replaced: Fence,
    commands: Commands,
    jobs: VecDeque<Job>,
    /// What is left of the job at hand.
    acts: VecDeque<Act>,
    /// Whether an act is under way, or waits to be tried again.
    is_busy: bool,
    /// There while anything is to be written.
    owing: Option<Owing>,
    /// How often the act at hand has failed.
    failures: u32,
    last_used_at: Timestamp,
    is_rest_planned: bool,
    /// Dropped last: its death notice tells the registry.
    lifeline: Lifeline<DeviceActor>,
}

/// A session whose end has not been written yet.
struct Live {
    session: Session,
    standing: Standing,
    /// What the gateway said with its last report.
    reason: Option<String>,
    /// How often it was connected to the device's network.
    times: u32,
    gateway: Option<String>,
    /// What somebody has to see who pairs the device.
    pairing: Option<Box<str>>,
    connection: Connection,
    _place: Place,
}

/// What there is of a session's connection.
enum Connection {
    /// It is there.
    Up {
        link: Link,
        /// Waits for its end.
        watch: SpawnHandle,
    },
    /// It is not there any more, or was told to go; a job to write that down is in the queue.
    Down,
}

impl DeviceActor {
    /// An actor without a session.
    pub(crate) fn new(
        key: DeviceKey,
        shared: Arc<DeviceContext>,
        lifeline: Lifeline<DeviceActor>,
    ) -> DeviceActor {
        let last_used_at = shared.clock.now();
        DeviceActor {
            key,
            shared,
            live: None,
            ended: Fence::new(0),
            replaced: Fence::new(0),
            commands: Commands::default(),
            jobs: VecDeque::new(),
            acts: VecDeque::new(),
            is_busy: false,
            owing: None,
            failures: 0,
            last_used_at,
            is_rest_planned: false,
            lifeline,
        }
    }

    /// The session with this fence, if it is the one that there is.
    fn live(&mut self, fence: Fence) -> Option<&mut Live> {
        self.live
            .as_mut()
            .filter(|live| live.session.fence == fence)
    }

    fn link(&self) -> Option<&Link> {
        match &self.live.as_ref()?.connection {
            Connection::Up { link, .. } => Some(link),
            Connection::Down => None,
        }
    }

    /// The connection is gone.
    fn link_gone(&mut self, fence: Fence, ctx: &mut Context<Self>) {
        if let Some(live) = self.live(fence)
            && matches!(live.connection, Connection::Up { .. })
        {
            live.connection = Connection::Down;
            self.close(fence, EndReason::ConnectionLost, None, ctx);
        }
    }

    /// Everything up to `held` is over, because newer sessions were opened. The gateway stays down; commands go where the newer
    /// session is.
    fn replaced_by(&mut self, held: Fence, ctx: &mut Context<Self>) {
        self.replaced = self.replaced.max(held);
        if let Some(live) = self.live.take_if(|live| live.session.fence < held) {
            info!(device.id = %self.key, fence = held.get(), "the session of {} was replaced on another node", self.key);
            self.ended = self.ended.max(live.session.fence);
            live.replace(ctx);
            self.commands.move_on(ctx);
        }
        self.drop_acts(held);
        self.go_on(ctx);
    }

    /// The control plane does not know this session: it was restored from an older copy, or the device is no more. What the
    /// region takes under its fence is still written.
    fn unknown(&mut self, fence: Fence, why: Ending, ctx: &mut Context<Self>) {
        for act in std::mem::take(&mut self.acts) {
            match act {
                Act::Row(row) if row.fence == fence => {}
                Act::Told(told, reply) if told == fence => {
                    reply.send(Err(handlers::has_ended()));
                }
                act @ (Act::Append(_)
                | Act::Row(_)
                | Act::Opened(..)
                | Act::Told(..)
                | Act::Ended(_)) => self.acts.push_back(act),
            }
        }
        if let Some(live) = self.live(fence) {
            live.bye(why.bye(), ctx);
            self.commands.end(why, ctx);
            // One whose connection has ended meanwhile has left word of that, and maybe a will.
            let (why, will) = self.take_close(fence).unwrap_or((why.reason(), None));
            self.jobs.push_front(Job::Close { fence, why, will });
        }
        self.go_on(ctx);
    }

    /// Goes when there was nothing to do for a while.
    fn rest_later(&mut self, ctx: &mut Context<Self>) {
        if self.is_rest_planned || !self.is_idle() {
            return;
        }
        self.is_rest_planned = true;
        ctx.run_later(PASSIVATE_AFTER, |actor, ctx| {
            actor.is_rest_planned = false;
            let idle_for = actor.shared.clock.now().since(actor.last_used_at);
            if actor.is_idle() && idle_for >= PASSIVATE_AFTER && actor.lifeline.try_retire() {
                debug!(device.id = %actor.key, "device {} went to rest", actor.key);
                ctx.stop();
            } else {
                actor.rest_later(ctx);
            }
        });
    }

    fn is_idle(&self) -> bool {
        self.live.is_none()
            && self.commands.is_empty()
            && self.jobs.is_empty()
            && self.acts.is_empty()
            && !self.is_busy
    }
}

impl Live {
    /// Whether its events go to this workspace.
    fn is_in(&self, workspace: Option<WorkspaceId>) -> bool {
        workspace == Some(self.session.workspace)
    }

    /// Tells the connection that a newer session has taken its place.
    fn replace(mut self, ctx: &mut Context<DeviceActor>) {
        self.session.end();
        if self.bye(ByeReason::Replaced, ctx) {
            metrics::counter!("device_sessions_replaced_total").increment(1);
        }
    }

    /// Tells the connection that it is over, if it is there.
    fn bye(&mut self, reason: ByeReason, ctx: &mut Context<DeviceActor>) -> bool {
        match std::mem::replace(&mut self.connection, Connection::Down) {
            Connection::Up { link, watch } => {
                ctx.cancel_future(watch);
                link.bye(reason);
                true
            }
            Connection::Down => false,
        }
    }
}

impl Keyed for DeviceActor {
    type Key = DeviceKey;
    const KIND: &'static str = "device";
    /// The connection's end starts it again, and tells it what to write down.
    const RUNS_UNASKED: bool = false;
}

impl Actor for DeviceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.rest_later(ctx);
    }
}

impl Handler<InjectPanic> for DeviceActor {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {
        panic!("a panic was asked for");
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.device, f)
    }
}
