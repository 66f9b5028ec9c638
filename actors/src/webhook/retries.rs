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
    ready::{Ready, Resting},
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
                    let due = now.plus(AGAIN_AFTER);
                    ready.schedule.add(Retry { due, ..retry });
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
            self.slots.take(retry.position, Errand::Retry(retry.due));
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
                None => self.drop_delivery(retry.position),
            }
        }
    }

    /// Gives a delivery up, and lets the next one with the same key go.
    pub(super) fn drop_delivery(&mut self, position: Position) {
        self.settlement.drop_delivery(position);
        if let Some(next) = self.lanes.forget(position) {
            self.pending.push_front(next);
        }
    }

    /// Puts back what may not be sent while the breaker is open. It is due when it was due: that is what the store says too.
    pub(super) fn put_back_due(&mut self) {
        while let Some(resting) = self.resting.pop_front() {
            self.release(resting.parcel);
        }
        for parcel in std::mem::take(&mut self.due) {
            let position = parcel.position();
            self.slots.give_back(position);
            if let Errand::Retry(due) = parcel.errand {
                self.schedule.add(Retry {
                    position,
                    tries: parcel.tries,
                    due,
                });
            }
        }
    }

    /// Keeps a delivery that never got as far as the receiver, with its slot, until it may be sent again. It is not settled:
    /// an engine that is killed meanwhile finds it where it found it before.
    pub(super) fn rest_until(&mut self, until: Timestamp, parcel: Parcel) {
        self.resting.push_back(Resting { until, parcel });
    }

    /// Lets go what has rested long enough. Remembers when the next one has.
    pub(super) fn release_rested(&mut self, now: Timestamp) {
        for resting in std::mem::take(&mut self.resting) {
            if resting.until <= now {
                self.release(resting.parcel);
            } else {
                self.wake_at(resting.until);
                self.resting.push_back(resting);
            }
        }
    }

    /// Sends a delivery back to where it came from, with a slot only if it has one there.
    fn release(&mut self, parcel: Parcel) {
        match parcel.errand {
            Errand::Live | Errand::Replay(_) => self.slots.give_back(parcel.position()),
            Errand::Retry(_) => {}
        }
        self.put_back(parcel);
    }
}

fn again(frame: &Arc<Frame>, retry: Retry) -> Parcel {
    Parcel {
        frame: Arc::clone(frame),
        tries: retry.tries,
        errand: Errand::Retry(retry.due),
    }
}
