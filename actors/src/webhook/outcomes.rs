//! Takes in what attempts came to: for the delivery, for the breaker, and for the webhook.
//!
//! What is decided here counts when it is on disk; see `writing`.

use actix::prelude::*;
use domain::{
    breaker::{Change, Outcome as Heard},
    time::Timestamp,
    webhook::WebhookState,
};
use outbound::Outcome;
use rand::RngExt as _;
use store::log::Attempt;
use tracing::{info, warn};

use super::{
    Stage, WebhookActor,
    outcome::{self, Fate, Health},
    parcel::Parcel,
    ready::Ready,
    request::trace_id,
};
use crate::webhook_board::WebhookKey;

/// An attempt has come to its end.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) parcel: Parcel,
    pub(super) is_probe: bool,
    pub(super) at: Timestamp,
    pub(super) outcome: Outcome,
}

/// No jitter: the middle of what there could be.
const MIDDLE: u64 = 1 << 63;

impl WebhookActor {
    /// Takes in outcomes.
    pub(super) fn finish(&mut self, finished: Vec<Finished>, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let mut is_gone = false;
        for one in finished {
            let health = outcome::health(&one.outcome);
            if let Some(change) = self.hear(health, one.is_probe, now) {
                self.tell(change, ctx);
            }
            if outcome::counts_for_nothing(&one.outcome) {
                self.rest_parcel(one, now);
            } else {
                is_gone |= self.settle(one, now);
            }
        }
        if is_gone {
            self.set_state(WebhookState::Disabled, "webhook.disabled", ctx);
        }
    }

    /// Tells the breaker how the receiver is.
    fn hear(&mut self, health: Health, is_probe: bool, now: Timestamp) -> Option<Change> {
        let Stage::Ready(ready) = &mut self.stage else {
            return None;
        };
        let heard = match (health, is_probe) {
            (Health::Good, false) => Heard::Succeeded,
            (Health::Bad, false) => Heard::Failed,
            (Health::Good, true) => Heard::ProbeSucceeded,
            (Health::Bad, true) => Heard::ProbeFailed,
            (Health::Unknown, false) => return None,
            (Health::Unknown, true) => {
                ready.breaker.release_probe(now);
                return None;
            }
        };
        ready
            .breaker
            .record(heard, &self.shared.tuning.breaker, now)
    }

    fn tell(&mut self, change: Change, ctx: &mut Context<Self>) {
        let key = self.key;
        match change {
            Change::Opened { until } => {
                metrics::counter!("webhook_breaker_opened_total").increment(1);
                info!(webhook.id = %key, %until, "webhook {key} keeps failing: nothing is sent to it until {until}");
            }
            Change::Closed => info!(webhook.id = %key, "webhook {key} works again"),
            Change::Suspended => {
                warn!(webhook.id = %key, "webhook {key} keeps failing: it is suspended");
                self.set_state(WebhookState::Suspended, "webhook.suspended", ctx);
            }
        }
    }

    /// Keeps a delivery that our own limits held up, or our own end broke off. No attempt is counted: an event that could not
    /// be sent must not become a dead letter for that. One that was broken off may arrive twice, as after a crash.
    fn rest_parcel(&mut self, finished: Finished, now: Timestamp) {
        let random = self.draw();
        let key = self.key;
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        let pause = outcome::rest(random);
        if let Err(error) = &finished.outcome.result {
            let event_id = finished.parcel.event().id;
            warn!(webhook.id = %key, event.id = %event_id, %error, "{event_id} was not sent to {key} and is sent in {pause:?}: {error}");
        }
        ready.rest_until(now.plus(pause), finished.parcel);
    }

    /// What spreads the next pause.
    fn draw(&mut self) -> u64 {
        if self.shared.tuning.jitter {
            self.random.random()
        } else {
            MIDDLE
        }
    }

    /// Puts an outcome among those that are to be written. Answers whether the receiver is gone for good.
    fn settle(&mut self, finished: Finished, now: Timestamp) -> bool {
        let random = self.draw();
        let key = self.key;
        let Stage::Ready(ready) = &mut self.stage else {
            return false;
        };
        let Finished {
            parcel,
            at,
            outcome,
            ..
        } = finished;
        let fate = outcome::decide(&parcel, &outcome, &ready.webhook.retry, now, random);
        let attempt = outcome::attempt(&parcel, outcome, at, fate);
        tell(key, ready, &parcel, &attempt, fate);
        ready.meters.attempts.increment(1);
        match fate {
            Fate::Delivered => {
                ready.meters.delivered.increment(1);
                ready.lag(&parcel, now);
                ready.leave_lane(&parcel);
            }
            Fate::Dead => {
                ready.meters.dead.increment(1);
                ready.leave_lane(&parcel);
            }
            Fate::Again(..) | Fate::Gone(..) => ready.meters.retrying.increment(1),
        }
        ready.slots.settling(parcel.position());
        ready.settlement.add(key.no, &parcel, attempt, fate);
        matches!(fate, Fate::Gone(..))
    }
}

/// Tells of an attempt: a line of the log for one that failed, and a span for every one where a collector wants them.
fn tell(key: WebhookKey, ready: &Ready, parcel: &Parcel, attempt: &Attempt, fate: Fate) {
    let duration_ms = attempt.duration.as_secs_f64() * 1_000.0;
    let event = parcel.event();
    macro_rules! tell {
        ($level:ident) => {
            tracing::$level!(
                target: "trunkline::delivery",
                attempt = attempt.attempt,
                status = attempt.status,
                webhook.id = %key,
                event.id = %event.id,
                duration_ms,
                trace_id = trace_id(event),
                otel.name = "deliver",
                otel.span_id = format!("{:016x}", ready.recipe.span_id(event, attempt.attempt)),
                otel.sampled = true,
                "an attempt ended: {}",
                fate.name()
            )
        };
    }
    match fate {
        Fate::Delivered => tell!(debug),
        Fate::Dead | Fate::Again(..) | Fate::Gone(..) => tell!(warn),
    }
}
