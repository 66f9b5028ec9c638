//! The actor of one webhook: reads its tenant's log at its own speed and delivers what is for it.
//!
//! This file wires. Which event may go now, what an outcome means and where the cursor stands is decided by the pure parts
//! in `webhook/`. An outcome counts when it is on disk: until then its slot is taken, so that a process that is killed
//! repeats fewer deliveries than there are slots. It knows no HTTP and no SQL, and waits for nothing inside `handle`.

mod commands;
mod load;
mod ordering;
mod outcome;
mod outcomes;
mod parcel;
mod reading;
mod ready;
pub(crate) mod replay;
mod reports;
pub(crate) mod request;
mod retries;
mod schedule;
mod sending;
mod settlement;
mod slots;
mod standing;
mod writing;

#[cfg(test)]
pub(crate) mod tests;

use std::{fmt, sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{
    breaker::{Breaker, BreakerPolicy},
    clock::Clock,
    position::Position,
    webhook::Webhook,
};
use outbound::WebhookClient;
use rand::rngs::StdRng;
use store::{
    control::Control,
    log::{Exception, Replay},
};
use tracing::debug;

use crate::{
    engine::secrets::Secrets,
    feed::{Feeds, RingLimits},
    placement::Placement,
    region::{RegionActor, RegionLogs},
    registry::{Evict, InjectPanic, Keyed, Lifeline, Poke, Registry, Reply},
    webhook_board::{WebhookBoard, WebhookKey},
};
use outcomes::Finished;
use ready::Ready;
pub(crate) use ready::filter_of;
use reports::Reports;

/// What all webhooks' actors share.
pub struct WebhookContext {
    /// The one source of time.
    pub clock: Clock,
    /// Makes each actor's own generator.
    pub random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    /// The control plane.
    pub control: Control,
    /// What may be read.
    pub logs: RegionLogs,
    /// Who writes.
    pub regions: Registry<RegionActor>,
    /// The readers' side of the logs.
    pub feeds: Arc<Feeds>,
    /// Which webhooks have work.
    pub board: Arc<WebhookBoard>,
    /// Who holds what.
    pub placement: Placement,
    /// Who sends.
    pub client: WebhookClient,
    /// Where sending runs: no actor lives there.
    pub outside: tokio::runtime::Handle,
    /// Opens the webhooks' secrets.
    pub secrets: Arc<Secrets>,
    /// What the ring may hold.
    pub ring: RingLimits,
    /// Sizes and pauses.
    pub tuning: WebhookTuning,
}

/// Sizes and pauses of webhooks' actors.
#[derive(Clone, Copy, Debug)]
pub struct WebhookTuning {
    /// When deliveries stop because the receiver fails.
    pub breaker: BreakerPolicy,
    /// An actor without work for this long goes.
    pub passivate_after: Duration,
    /// How long outcomes of deliveries that went out together wait for each other, so that they are written together. Zero
    /// writes each as it comes.
    pub gather_for: Duration,
    /// Whether retries are spread. Only tests want them on the dot.
    pub jitter: bool,
}

/// The sender of one webhook.
pub struct WebhookActor {
    key: WebhookKey,
    shared: Arc<WebhookContext>,
    stage: Stage,
    /// Messages that came before the state was there.
    waiting: Vec<Held>,
    random: StdRng,
    /// Where attempts report.
    reports: Reports<Finished>,
    is_draining: bool,
    drained: Vec<Reply<()>>,
    /// Loads that failed, one after the other.
    load_failures: u32,
    is_rest_armed: bool,
    /// Dropped last: its death notice tells the registry.
    lifeline: Lifeline<WebhookActor>,
}

/// Where the actor stands between its start and its work.
enum Stage {
    /// State is on its way from the stores.
    Loading,
    /// At work.
    Ready(Box<Ready>),
    /// The webhook does not exist (any more).
    Gone,
}

enum Held {
    Reconfigure(Reconfigure),
    Resume(Resume),
    Redeliver(Redeliver),
    Discard(Discard),
    StartReplay(StartReplay),
    Describe(Describe),
}

/// Tells the actor how the webhook is now. Answered when the actor acts on it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reconfigure {
    /// `None` if it was deleted.
    pub webhook: Option<Arc<Webhook>>,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Closes the breaker. Answered when that is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Resume {
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Tries dead letters again, now and with a fresh schedule. Answered when that is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Redeliver {
    /// As the store has them.
    pub letters: Vec<Exception>,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Deletes dead letters. Answered when that is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Discard {
    /// Which ones.
    pub positions: Vec<Position>,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Begins a replay. Answered when it is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StartReplay {
    /// As it is to be stored.
    pub replay: Replay,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Asks how the webhook stands.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Describe {
    /// Where to answer; `None` if there is no such webhook.
    pub reply: Reply<Option<WebhookStatus>>,
}

/// Stops sending. Answered when nothing is on its way any more and every outcome is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Where to answer.
    pub reply: Reply<()>,
}

/// How a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookStatus {
    /// Its breaker.
    pub breaker: Breaker,
    /// Deliveries on their way, or with an outcome that is not on disk.
    pub in_flight: usize,
    /// Deliveries that wait for another attempt, as far as they are in memory.
    pub retrying: usize,
    /// Everything up to here is settled.
    pub cursor: Position,
}

impl WebhookActor {
    /// An actor that loads its state when it starts.
    pub fn new(
        key: WebhookKey,
        shared: Arc<WebhookContext>,
        lifeline: Lifeline<WebhookActor>,
    ) -> WebhookActor {
        let random = (shared.random)();
        WebhookActor {
            key,
            shared,
            stage: Stage::Loading,
            waiting: Vec::new(),
            random,
            reports: Reports::new(),
            is_draining: false,
            drained: Vec::new(),
            load_failures: 0,
            is_rest_armed: false,
            lifeline,
        }
    }

    /// Does whatever can be done now. Called whenever something has changed.
    fn step(&mut self, ctx: &mut Context<Self>) {
        loop {
            self.read(ctx);
            self.fetch_due(ctx);
            self.read_replay(ctx);
            self.send(ctx);
            self.write(ctx);
            // Done, unless something was matched at this very moment.
            if self.rest(ctx) {
                return;
            }
        }
    }

    fn ready(&mut self) -> Option<&mut Ready> {
        match &mut self.stage {
            Stage::Ready(ready) => Some(ready),
            Stage::Loading | Stage::Gone => None,
        }
    }

    /// Goes, if it has had nothing to do for a while.
    fn retire_if_idle(&mut self, ctx: &mut Context<Self>) {
        self.is_rest_armed = false;
        let now = self.shared.clock.now();
        let passivate_after = self.shared.tuning.passivate_after;
        let idle_for = match &self.stage {
            Stage::Loading => return,
            Stage::Ready(ready) => match ready.idle_since {
                Some(since) => now.since(since),
                None => return,
            },
            Stage::Gone => passivate_after,
        };
        let is_quiet = self.waiting.is_empty() && idle_for >= passivate_after;
        if is_quiet && self.lifeline.try_retire() {
            debug!(webhook.id = %self.key, "webhook {} went to rest", self.key);
            ctx.stop();
            return;
        }
        self.rest_later(passivate_after.saturating_sub(idle_for), ctx);
    }

    fn rest_later(&mut self, after: Duration, ctx: &mut Context<Self>) {
        if !self.is_rest_armed {
            self.is_rest_armed = true;
            ctx.run_later(after.max(Duration::from_millis(10)), Self::retire_if_idle);
        }
    }
}

impl Keyed for WebhookActor {
    type Key = WebhookKey;
    const KIND: &'static str = "webhook";
    const RUNS_UNASKED: bool = true;
}

impl Actor for WebhookActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(self.reports.clone());
        self.load(ctx);
    }
}

impl Handler<Poke> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Poke, ctx: &mut Context<Self>) {
        self.lifeline.take_poke();
        self.step(ctx);
    }
}

/// Many outcomes cost one wake-up.
impl StreamHandler<Vec<Finished>> for WebhookActor {
    fn handle(&mut self, finished: Vec<Finished>, ctx: &mut Context<Self>) {
        self.finish(finished, ctx);
        self.step(ctx);
    }
}

impl Handler<Evict> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: Evict, ctx: &mut Context<Self>) {
        self.not_held(ctx);
    }
}

impl Handler<InjectPanic> for WebhookActor {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {
        panic!("a panic was asked for");
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Loading => "Loading",
            Stage::Ready(_) => "Ready",
            Stage::Gone => "Gone",
        })
    }
}
