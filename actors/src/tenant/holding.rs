//! What a tenant's actor does because other nodes may hold its tenant: it leaves when it must, tells what it appends, and
//! looks whether somebody else appended.
//!
//! Decides nothing about who holds what: that is [`crate::placement`]. On a node that is alone none of this happens.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{event::Event, fence::Fence, position::Position};
use tracing::{info, warn};

use super::{Depart, Stage, TenantActor};
use crate::{placement::NotHeld, registry::Evict};

/// How often an actor that is to leave looks whether all that is in flight has landed.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl TenantActor {
    /// Why nothing is taken now; `None` if the tenant may be worked for.
    pub(super) fn refusal(&self) -> Option<NotHeld> {
        match &self.stage {
            Stage::Ready(ready) if !ready.hold.is_valid() => Some(ready.hold.refusal()),
            Stage::Ready(_) | Stage::Loading | Stage::Gone => {
                self.is_departing.then_some(NotHeld::Leaving)
            }
        }
    }

    /// Tells other nodes what was appended.
    pub(super) fn tell_others(&self, events: &[Arc<Event>]) {
        self.shared.placement.tell_log(self.tenant, events);
    }

    /// A store has refused a write of ours because somebody else holds the tenant: this actor is stopped with all others
    /// that work for it.
    pub(super) fn fenced(&mut self, held: Fence) {
        if let Some(ready) = self.ready() {
            ready.hold.is_fenced(held);
        }
    }

    /// Leaves as soon as what is in flight has landed.
    fn depart_when_quiet(&mut self, ctx: &mut Context<Self>) {
        let is_quiet = match &self.stage {
            Stage::Loading => self.waiting.is_empty(),
            Stage::Gone => true,
            Stage::Ready(ready) => ready.pending.is_empty() && ready.flying.is_empty(),
        };
        if is_quiet && self.lifeline.try_retire() {
            ctx.stop();
        }
    }

    /// Looks whether the log has grown without this actor: whoever held the tenant before may have had an append on its way
    /// that landed after this actor read the head.
    pub(super) fn look_at_head(&mut self, ctx: &mut Context<Self>) {
        let Some(ready) = self.ready().filter(|ready| ready.is_idle()) else {
            return;
        };
        if !ready.hold.is_leased() {
            return;
        }
        let (log, tenant) = (self.shared.logs.get(ready.region), self.tenant);
        let read = async move { log.head(tenant).await };
        ctx.spawn(read.into_actor(self).map(|head, actor, ctx| {
            let Stage::Ready(ready) = &actor.stage else {
                return;
            };
            match head {
                Ok(head) if ready.is_idle() && ready.is_behind(head) => {
                    info!(tenant.id = %actor.tenant, %head, "the log of {} has grown without its owner: loading it anew", actor.tenant);
                    actor.stage = Stage::Loading;
                    actor.load(ctx);
                }
                Ok(_) => {}
                Err(error) => {
                    warn!(tenant.id = %actor.tenant, %error, "the head of {} was not looked at: {error}", actor.tenant);
                }
            }
        }));
    }
}

impl super::Ready {
    /// Whether the log goes on after what was shown and matched here. The feed alone does not say: a follower that has not
    /// ended yet may have shown what another node wrote, and then nobody has matched it.
    pub(super) fn is_behind(&self, head: Position) -> bool {
        head > self.feed.head() || head > self.dispatcher.dispatched()
    }

    /// Whether nothing is numbered that is not on disk.
    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.flying.is_empty() && self.failing.is_none()
    }
}

impl Handler<Evict> for TenantActor {
    type Result = ();

    fn handle(&mut self, _: Evict, ctx: &mut Context<Self>) {
        info!(tenant.id = %self.tenant, "tenant {} is not held here any more", self.tenant);
        self.lifeline.retire();
        ctx.stop();
    }
}

impl Handler<Depart> for TenantActor {
    type Result = ();

    fn handle(&mut self, Depart { reply }: Depart, ctx: &mut Context<Self>) {
        self.is_departing = true;
        reply.send(());
        ctx.run_interval(LOOK_EVERY, Self::depart_when_quiet);
    }
}
