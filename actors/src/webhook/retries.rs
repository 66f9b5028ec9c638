//! Deliveries whose time has come again: taken from the schedule, given a slot, and their events fetched.
//!
//! Whether they may go is decided when they are sent; what the breaker holds back then returns to the schedule.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{breaker::Breaker, event::Event, position::Position, time::Timestamp};
use store::StoreError;
use tracing::warn;

use super::{
    WebhookActor,
    parcel::{Errand, Parcel},
    ready::Ready,
    schedule::{KEPT_MAX, Retry},
};
use crate::feed::{Frame, Read};

/// Events that are fetched at once.
const FETCH_MAX: usize = 64;
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl WebhookActor {
    /// Takes what is due into slots, as far as there are free ones, and fetches its events.
    pub(super) fn fetch_due(&mut self, ctx: &mut Context<Self>) {
        let (now, tenant, is_draining) =
            (self.shared.clock.now(), self.key.tenant, self.is_draining);
        let Some(ready) = self.ready() else { return };
        if ready.schedule.is_empty() {
            return;
        }
        if ready.schedule.wants_more() {
            self.refill(ctx);
            return;
        }
        if is_draining || !ready.is_sending() || ready.is_fetching_due {
            return;
        }
        let missing = ready.take_due(now);
        if missing.is_empty() {
            return;
        }
        ready.is_fetching_due = true;
        let log = Arc::clone(&ready.log);
        let positions: Vec<Position> = missing.iter().map(|retry| retry.position).collect();
        let read = async move { log.read_many(tenant, &positions).await };
        ctx.spawn(read.into_actor(self).map(move |events, actor, ctx| {
            actor.due_fetched(missing, events, ctx);
        }));
    }

    fn due_fetched(
        &mut self,
        retries: Vec<Retry>,
        events: Result<Vec<Event>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        let (key, now) = (self.key, self.shared.clock.now());
        let Some(ready) = self.ready() else { return };
        ready.is_fetching_due = false;
        match events {
            Ok(events) => ready.take_in(retries, events),
            Err(error) => {
                warn!(webhook.id = %key, %error, "events to retry for {key} could not be read: {error}");
                for retry in retries {
                    ready.slots.give_back(retry.position);
                    ready.schedule.add(now.plus(AGAIN_AFTER), retry);
                }
            }
        }
        self.step(ctx);
    }

    /// Asks the store for those that did not fit into memory.
    fn refill(&mut self, ctx: &mut Context<Self>) {
        let key = self.key;
        let Some(ready) = self.ready() else { return };
        ready.schedule.asking();
        ready.is_fetching_due = true;
        let log = Arc::clone(&ready.log);
        let limit = u32::try_from(KEPT_MAX).expect("a thousand");
        let read = async move { log.retrying(key.tenant, key.no, limit).await };
        ctx.spawn(read.into_actor(self).map(move |answer, actor, ctx| {
            let Some(ready) = actor.ready() else { return };
            ready.is_fetching_due = false;
            match answer {
                Ok(retrying) => {
                    let attempts_max = ready.webhook.retry.attempts_max();
                    let slots = &ready.slots;
                    let is_elsewhere = |position| slots.is_taken(position);
                    ready
                        .schedule
                        .answered(&retrying, attempts_max, is_elsewhere);
                    actor.step(ctx);
                }
                Err(error) => {
                    warn!(webhook.id = %key, %error, "retries for {key} could not be read: {error}");
                    ctx.run_later(AGAIN_AFTER, |actor, ctx| {
                        if let Some(ready) = actor.ready() {
                            ready.schedule.not_answered();
                        }
                        actor.step(ctx);
                    });
                }
            }
        }));
    }
}

impl Ready {
    /// Gives slots to what is due. Answers those whose events are not in the ring.
    fn take_due(&mut self, now: Timestamp) -> Vec<Retry> {
        let limit = match self.breaker {
            Breaker::Closed { .. } => self.slots_free().min(FETCH_MAX),
            // One of them is the probe.
            Breaker::Open { until, .. } if until <= now && self.due.is_empty() => {
                self.slots_free().min(1)
            }
            Breaker::Open { .. } | Breaker::Probing { .. } | Breaker::Suspended => 0,
        };
        let mut missing = Vec::new();
        for retry in self.schedule.take_due(now, limit) {
            if self.slots.is_taken(retry.position) {
                // A replay is sending it: what comes of that decides.
                continue;
            }
            self.slots.take(retry.position, Errand::Retry);
            match self.feed.read(retry.position.prev(), 1) {
                Read::Frames(frames) if !frames.is_empty() => {
                    self.due.push_back(again(&frames[0], retry));
                }
                Read::Frames(_) | Read::Behind => missing.push(retry),
            }
        }
        missing
    }

    /// Takes in what was fetched. What is no longer kept cannot be delivered.
    fn take_in(&mut self, retries: Vec<Retry>, events: Vec<Event>) {
        let mut found: HashMap<Position, Event> = events
            .into_iter()
            .map(|event| (event.position, event))
            .collect();
        for retry in retries {
            match found.remove(&retry.position) {
                Some(event) => self.due.push_back(again(&self.feed.frame(event), retry)),
                None => self.settlement.drop_delivery(retry.position),
            }
        }
    }

    /// Puts back what may not be sent while the breaker is open.
    pub(super) fn put_back_due(&mut self, now: Timestamp) {
        for parcel in self.due.drain(..) {
            let position = parcel.position();
            let tries = parcel.tries;
            self.slots.give_back(position);
            self.schedule.add(now, Retry { position, tries });
        }
    }
}

fn again(frame: &Arc<Frame>, retry: Retry) -> Parcel {
    Parcel {
        frame: Arc::clone(frame),
        tries: retry.tries,
        errand: Errand::Retry,
    }
}
