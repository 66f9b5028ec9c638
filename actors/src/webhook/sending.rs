//! Sends what may go now, and waits for the time of what may not.
//!
//! Retries go before new events, and these before replays, of which one always has a slot. Requests are made and signed
//! outside of the actor; every one of them reports back, even if it panics.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{breaker::Breaker, time::Timestamp};
use outbound::{Outcome, PostError};

use super::{
    Stage, WebhookActor, WebhookContext,
    outcomes::Finished,
    parcel::{Errand, Parcel},
    ready::{Permit, Ready},
    reports::Reports,
    request::{Letter, Recipe},
};

/// An attempt that owes the actor a report.
struct Owed {
    parcel: Option<Parcel>,
    is_probe: bool,
    at: Timestamp,
    reports: Reports<Finished>,
}

impl WebhookActor {
    /// Sends as much as may go now.
    pub(super) fn send(&mut self, ctx: &mut Context<Self>) {
        if self.is_draining {
            return;
        }
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        ready.wake.wanted = None;
        if !ready.is_sending() {
            return;
        }
        let now = self.shared.clock.now();
        ready.release_rested(now);
        let mut going = Vec::new();
        while let Some(parcel) = ready.choose() {
            let is_probe = match ready.permit(now) {
                Permit::Go { is_probe } => is_probe,
                Permit::RateUntil(until) => {
                    ready.wake_at(until);
                    ready.put_back(parcel);
                    break;
                }
                Permit::Held(until) => {
                    if let Some(until) = until {
                        ready.wake_at(until);
                    }
                    ready.put_back(parcel);
                    ready.put_back_due();
                    break;
                }
            };
            ready.claim(&parcel);
            going.push(Owed {
                parcel: Some(parcel),
                is_probe,
                at: now,
                reports: self.reports.clone(),
            });
        }
        if !going.is_empty() {
            let (recipe, shared) = (Arc::clone(&ready.recipe), Arc::clone(&self.shared));
            self.reports.begin(going.len());
            let gather_for = self.shared.tuning.gather_for;
            // What goes one after the other shall not wait, nor what goes alone.
            let is_batch = going.len() > 1 && !ready.webhook.ordered && !gather_for.is_zero();
            let gathers = is_batch && self.reports.gather(ready.slots_max() / 2);
            let reports = gathers.then(|| self.reports.clone());
            // Spread from there, so that the other runtime is woken once. Not waited for: each of them reports.
            drop(self.shared.outside.spawn(async move {
                for owed in going {
                    let (recipe, shared) = (Arc::clone(&recipe), Arc::clone(&shared));
                    drop(tokio::spawn(post(owed, recipe, shared)));
                }
                if let Some(reports) = reports {
                    tokio::time::sleep(gather_for).await;
                    reports.hurry();
                }
            }));
        }
        self.wake_later(now, ctx);
    }

    /// Arms the one timer for what can go on later.
    fn wake_later(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        if let Some(due) = ready.next_due(now) {
            ready.wake_at(due);
        }
        let Some(wanted) = ready.wake.wanted else {
            return;
        };
        if let Some((armed, handle)) = ready.wake.armed {
            if armed <= wanted {
                return;
            }
            ctx.cancel_future(handle);
        }
        // A timer is never early, but it may be late by the time that it is coarse.
        let pause = wanted.since(now).max(Duration::from_millis(1));
        let handle = ctx.run_later(pause, |actor, ctx| {
            if let Some(ready) = actor.ready() {
                ready.wake.armed = None;
            }
            actor.step(ctx);
        });
        ready.wake.armed = Some((wanted, handle));
    }
}

/// Makes one attempt, outside of the actor.
async fn post(mut owed: Owed, recipe: Arc<Recipe>, shared: Arc<WebhookContext>) {
    owed.at = shared.clock.now();
    let Some(parcel) = &owed.parcel else { return };
    let letter = Letter {
        event: parcel.event(),
        body: parcel.frame.webhook_body().clone(),
        attempt: parcel.tries.next(),
        at: owed.at,
    };
    let outcome = recipe.send(&shared.client, letter).await;
    owed.report(outcome);
}

impl Ready {
    /// The delivery that goes next, if a slot is free for it.
    fn choose(&mut self) -> Option<Parcel> {
        if let Some(parcel) = self.due.pop_front() {
            return Some(parcel);
        }
        if self.slots_free() == 0 {
            return None;
        }
        if self.is_turn_of_replay()
            && let Some(parcel) = self.next_of_replay()
        {
            return Some(parcel);
        }
        while let Some(parcel) = self.pending.pop_front() {
            if !self.slots.is_taken(parcel.position()) {
                return Some(parcel);
            }
            // A replayed one whose lane was left by a retry of the same event: it goes when that is on disk.
            self.replays.put_back(parcel);
        }
        self.next_of_replay()
    }

    /// Notes that a delivery is on its way.
    fn claim(&mut self, parcel: &Parcel) {
        let position = parcel.position();
        match parcel.errand {
            // It has had its slot since it was fetched.
            Errand::Retry(_) => {}
            Errand::Live => self.slots.take(position, parcel.errand),
            Errand::Replay(_) => {
                self.slots.take(position, parcel.errand);
                // Should it have waited for another attempt: this is it.
                self.schedule.remove(position);
            }
        }
        self.was_replayed = matches!(parcel.errand, Errand::Replay(_));
    }

    /// A replay has one slot at least; if there is but one, they take turns.
    fn is_turn_of_replay(&self) -> bool {
        self.replays.has_ready()
            && self.slots.taken_by_replays() == 0
            && (self.slots_max() > 1 || !self.was_replayed)
            && self.slots_free() == 1
    }

    fn next_of_replay(&mut self) -> Option<Parcel> {
        while let Some(parcel) = self.replays.next() {
            if self.slots.is_taken(parcel.position()) {
                // A retry of it is on its way: this one comes after it.
                self.replays.put_back(parcel);
                return None;
            }
            if let Some(parcel) = self.in_order(parcel) {
                return Some(parcel);
            }
        }
        None
    }

    /// Puts a parcel back to where it came from.
    pub(super) fn put_back(&mut self, parcel: Parcel) {
        match parcel.errand {
            Errand::Live => self.pending.push_front(parcel),
            Errand::Retry(_) => self.due.push_front(parcel),
            Errand::Replay(_) => self.replays.put_back(parcel),
        }
    }

    /// When the next retry can be sent, if a timer is needed for that: what is due already waits for a slot.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.schedule.next_due()?;
        match self.breaker {
            Breaker::Closed { .. } => (due > now).then_some(due),
            Breaker::Open { until, .. } => {
                let at = due.max(until);
                (at > now).then_some(at)
            }
            Breaker::Probing { .. } | Breaker::Suspended => None,
        }
    }
}

impl Owed {
    fn report(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some(parcel) = self.parcel.take() {
            let finished = Finished {
                parcel,
                is_probe: self.is_probe,
                at: self.at,
                outcome,
            };
            // If the actor has died nobody takes it: its successor sends again.
            self.reports.push(finished);
        }
    }
}

/// The attempt was broken off: it panicked, or its runtime is shutting down.
impl Drop for Owed {
    fn drop(&mut self) {
        let error = if std::thread::panicking() {
            PostError::Fault
        } else {
            PostError::BrokenOff
        };
        self.send(Outcome {
            duration: Duration::ZERO,
            result: Err(error),
        });
    }
}
