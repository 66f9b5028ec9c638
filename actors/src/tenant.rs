//! The actor of one tenant: the one writer of its log.
//!
//! Numbers and chains events, passes them to the region's writer, and when they are on disk tells readers and clients. It
//! waits for nothing inside `handle`. It knows no HTTP and no SQL; what a webhook does with an event is not its business,
//! only which webhooks an event is for.

mod answers;
mod appends;
mod batches;
mod chains;
mod consumers;
mod devices;
mod dispatch;
mod holding;
mod ingest;
pub(crate) mod load;
mod messages;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{
    clock::Clock, dedup::DedupWindow, ids::TenantId, plan::Plans, position::Position, rate::Bucket,
    region::Region, time::Timestamp,
};
use rand::rngs::StdRng;
use store::{StoreError, control::Control};
use tracing::{debug, info};

use crate::{
    feed::{Feed, Feeds, RingLimits},
    placement::{Hold, Placement},
    region::{RegionActor, RegionLogs},
    registry::{InjectPanic, Keyed, Lifeline, Poke, Registry},
    webhook::WebhookActor,
    webhook_board::WebhookBoard,
};
use batches::{Flying, Pending};
use chains::Chains;
use dispatch::Dispatcher;
pub use messages::{
    AckError, Acknowledge, Acknowledgement, Change, Changed, Depart, FromDevice, IdempotentRequest,
    Ingest, IngestError, Ingested, Item, LoadError, RenderAnswer, Subscribe,
};

/// What all tenants' actors share.
pub struct TenantContext {
    /// The one source of time.
    pub clock: Clock,
    /// Makes each actor's own generator.
    pub random: Box<dyn Fn() -> StdRng + Send + Sync>,
    /// The control plane.
    pub control: Control,
    /// What may be read.
    pub logs: RegionLogs,
    /// Who writes.
    pub regions: Registry<RegionActor>,
    /// Who holds what.
    pub placement: Placement,
    /// Who delivers.
    pub webhooks: Registry<WebhookActor>,
    /// Which webhooks have work.
    pub board: Arc<WebhookBoard>,
    /// The readers' side.
    pub feeds: Arc<Feeds>,
    /// What plans allow.
    pub plans: Plans,
    /// Sizes and pauses.
    pub tuning: TenantTuning,
}

/// Sizes and pauses of tenants' actors.
#[derive(Clone, Copy, Debug)]
pub struct TenantTuning {
    /// An actor without messages for this long goes.
    pub passivate_after: Duration,
    /// What the ring may hold.
    pub ring: RingLimits,
    /// How many dedup ids are kept in memory.
    pub dedup_capacity: usize,
    /// How soon the dispatch mark follows the head.
    pub mark_every: Duration,
}

/// One tenant's writer.
pub struct TenantActor {
    tenant: TenantId,
    shared: Arc<TenantContext>,
    stage: Stage,
    /// Messages that came before the state was there.
    waiting: VecDeque<Held>,
    random: StdRng,
    /// Moves when chains or templates are forgotten, so that a fetch from before does not count after.
    epoch: u64,
    last_used_at: Timestamp,
    /// Set when the tenant is given to another node.
    is_departing: bool,
    /// Dropped last: its death notice tells the registry.
    lifeline: Lifeline<TenantActor>,
}

/// Where the actor stands between its start and its work.
enum Stage {
    /// State is on its way from the store.
    Loading,
    /// At work.
    Ready(Box<Ready>),
    /// The tenant does not exist (any more).
    Gone,
}

/// The state of an actor at work.
struct Ready {
    region: Region,
    feed: Arc<Feed>,
    events_per_minute: Option<u32>,
    bucket: Bucket,
    /// The last position given out; the feed's head follows when it is on disk.
    numbered: Position,
    received_last: Timestamp,
    chains: Chains,
    dedup: DedupWindow,
    answers_in_flight: std::collections::HashSet<[u8; 32]>,
    pending: Pending,
    flying: VecDeque<Flying>,
    /// How many appends were ever sent.
    flights: u64,
    dispatcher: Dispatcher,
    consumers: consumers::Consumers,
    /// What is known of devices' sessions that have been replaced.
    replaced: devices::Replaced,
    /// Why an append failed: nothing is numbered until all that flies has landed, what followed it has failed for the same
    /// reason, and the head is read anew.
    failing: Option<StoreError>,
    /// The right to do all this. Dropped last: then the feed's readers are on their own.
    hold: Hold,
}

enum Held {
    Ingest(Ingest),
    Acknowledge(Acknowledge),
    Changed(Changed),
    Subscribe(Subscribe),
}

impl TenantActor {
    /// An actor that loads its state when it starts.
    pub fn new(
        tenant: TenantId,
        shared: Arc<TenantContext>,
        lifeline: Lifeline<TenantActor>,
    ) -> TenantActor {
        let random = (shared.random)();
        let last_used_at = shared.clock.now();
        TenantActor {
            tenant,
            shared,
            stage: Stage::Loading,
            waiting: VecDeque::new(),
            random,
            epoch: 0,
            last_used_at,
            is_departing: false,
            lifeline,
        }
    }

    /// Handles what came before the state was there.
    fn release(&mut self, ctx: &mut Context<Self>) {
        for held in std::mem::take(&mut self.waiting) {
            match held {
                Held::Ingest(message) => self.ingest(message, ctx),
                Held::Acknowledge(message) => self.acknowledge(message, ctx),
                Held::Changed(message) => self.changed(message, ctx),
                Held::Subscribe(message) => self.subscribe(message),
            }
        }
    }

    /// Answers everything that waits with `error`, and goes: the next message starts a new actor.
    fn give_up(&mut self, error: &LoadError, ctx: &mut Context<Self>) {
        for held in std::mem::take(&mut self.waiting) {
            match held {
                Held::Ingest(message) => {
                    message.reply.send(Err(error.again().into()));
                }
                Held::Acknowledge(message) => {
                    message.reply.send(Err(error.again().into()));
                }
                Held::Changed(message) => message.reply.send(()),
                Held::Subscribe(message) => message.reply.send(Err(error.again())),
            }
        }
        // Not a death: the store's failure is not the actor's.
        if self.lifeline.try_retire() {
            ctx.stop();
        } else {
            ctx.run_later(load::AGAIN_AFTER, Self::load);
        }
    }

    fn passivate_if_idle(&mut self, ctx: &mut Context<Self>) {
        let idle_for = self.shared.clock.now().since(self.last_used_at);
        let is_quiet = match &mut self.stage {
            Stage::Loading => false,
            Stage::Gone => true,
            Stage::Ready(ready) => {
                ready.pending.is_empty()
                    && ready.flying.is_empty()
                    && ready.dispatcher.is_at_rest(&self.shared.board)
            }
        };
        if !is_quiet {
            self.mark_later(ctx);
            return;
        }
        if idle_for < self.shared.tuning.passivate_after || !self.waiting.is_empty() {
            return;
        }
        if self.lifeline.try_retire() {
            debug!(tenant.id = %self.tenant, "tenant {} went to rest", self.tenant);
            ctx.stop();
        }
    }

    fn changed(&mut self, Changed { what, reply }: Changed, ctx: &mut Context<Self>) {
        match (&mut self.stage, what) {
            (Stage::Loading, what) => {
                self.waiting
                    .push_back(Held::Changed(Changed { what, reply }));
                return;
            }
            (Stage::Gone, Change::DeviceTaken(..)) => {}
            (Stage::Ready(ready), Change::DeviceTaken(device, fence)) => {
                ready.replaced.raise(device, fence);
            }
            (Stage::Gone, _) | (Stage::Ready(_), Change::Tenant) => {
                info!(tenant.id = %self.tenant, "tenant {} changed: loading it anew", self.tenant);
                self.reload_tenant(ctx);
            }
            (Stage::Ready(ready), Change::Workspace(workspace)) => {
                ready.chains.forget_template(workspace);
                self.epoch += 1;
            }
            (Stage::Ready(ready), Change::Webhook(webhook)) => {
                ready.dispatcher.set_webhook(&webhook);
            }
            (Stage::Ready(ready), Change::WebhookGone(key)) => {
                ready.dispatcher.remove_webhook(&key);
                self.shared.board.remove(&key);
            }
        }
        reply.send(());
    }

    fn subscribe(&mut self, message: Subscribe) {
        match &self.stage {
            Stage::Loading => self.waiting.push_back(Held::Subscribe(message)),
            Stage::Ready(ready) => message.reply.send(Ok(Some(Arc::clone(&ready.feed)))),
            Stage::Gone => message.reply.send(Ok(None)),
        }
    }
}

impl Keyed for TenantActor {
    type Key = TenantId;
    const KIND: &'static str = "tenant";
    const RUNS_UNASKED: bool = true;
}

impl Actor for TenantActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let check_every = self
            .shared
            .tuning
            .passivate_after
            .max(Duration::from_millis(500))
            / 2;
        ctx.run_interval(check_every, Self::passivate_if_idle);
        self.load(ctx);
    }
}

impl Handler<Ingest> for TenantActor {
    type Result = ();

    fn handle(&mut self, message: Ingest, ctx: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        self.ingest(message, ctx);
    }
}

impl Handler<Acknowledge> for TenantActor {
    type Result = ();

    fn handle(&mut self, message: Acknowledge, ctx: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        self.acknowledge(message, ctx);
    }
}

impl Handler<Changed> for TenantActor {
    type Result = ();

    fn handle(&mut self, message: Changed, ctx: &mut Context<Self>) {
        self.changed(message, ctx);
    }
}

impl Handler<Subscribe> for TenantActor {
    type Result = ();

    fn handle(&mut self, message: Subscribe, _: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        self.subscribe(message);
    }
}

/// A poke starts the actor, which looks for work when it starts. One that runs looks whether it is the only one that writes.
impl Handler<Poke> for TenantActor {
    type Result = ();

    fn handle(&mut self, _: Poke, ctx: &mut Context<Self>) {
        self.lifeline.take_poke();
        self.look_at_head(ctx);
    }
}

impl Handler<InjectPanic> for TenantActor {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {
        panic!("a panic was asked for");
    }
}
