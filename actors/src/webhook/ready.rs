//! The state of a webhook's actor at work.
//!
//! Holds it and answers questions about it; what happens when is in the files beside this one.

use std::{collections::VecDeque, sync::Arc};

use actix::SpawnHandle;
use domain::{
    breaker::{Admission, Breaker},
    event::Event,
    filter::EventFilter,
    position::Position,
    rate::{Bucket, Limit, Refused},
    region::Region,
    time::Timestamp,
    webhook::{Webhook, WebhookState},
};
use metrics::{Counter, Histogram};
use store::log::RegionLog;

use super::{
    ordering::Lanes,
    parcel::{Errand, Parcel},
    replay::Replays,
    request::Recipe,
    schedule::Schedule,
    settlement::Settlement,
    slots::Slots,
};
use crate::{
    feed::{
        Feed, Frame,
        pages::{FramePage, Pages},
    },
    placement::Hold,
};

/// See the module.
pub(super) struct Ready {
    pub(super) webhook: Arc<Webhook>,
    pub(super) recipe: Arc<Recipe>,
    pub(super) filter: EventFilter,
    pub(super) region: Region,
    pub(super) log: Arc<dyn RegionLog>,
    pub(super) feed: Arc<Feed>,
    /// Where pages come from that the ring no longer holds, and the one that events are taken from now.
    pub(super) pages: Option<Arc<Pages>>,
    pub(super) page: Option<Arc<FramePage>>,
    pub(super) breaker: Breaker,
    pub(super) bucket: Bucket,
    pub(super) slots: Slots,
    /// New events that may go when a slot is free.
    pub(super) pending: VecDeque<Parcel>,
    /// Deliveries whose time has come again. They have their slots already.
    pub(super) due: VecDeque<Parcel>,
    /// Deliveries that never got as far as the receiver. They keep their slots.
    pub(super) resting: VecDeque<Resting>,
    /// What waits behind an event with the same ordering key.
    pub(super) lanes: Lanes<Parcel>,
    pub(super) schedule: Schedule,
    pub(super) replays: Replays,
    pub(super) settlement: Settlement,
    /// The write that is on its way.
    pub(super) writing: Option<SpawnHandle>,
    /// The change of the webhook's state that is on its way to the control plane.
    pub(super) stating: Option<SpawnHandle>,
    pub(super) is_reading: bool,
    pub(super) is_fetching_due: bool,
    /// Whether the store says that the webhook has work, so that a restarted engine looks after it.
    pub(super) is_marked: bool,
    /// Set when a change of the webhook makes what was read useless: everything is loaded anew once nothing is on its way.
    pub(super) is_stale: bool,
    pub(super) wake: Wake,
    pub(super) idle_since: Option<Timestamp>,
    /// Whether the last delivery that was sent was a replayed one.
    pub(super) was_replayed: bool,
    pub(super) meters: Meters,
    /// The right to do all this. Dropped last: then the feed's readers are on their own.
    pub(super) hold: Hold,
}

/// A delivery that is sent again in a moment, as if it had not been sent.
pub(super) struct Resting {
    pub(super) until: Timestamp,
    pub(super) parcel: Parcel,
}

/// The one timer for whatever waits for its time.
#[derive(Debug, Default)]
pub(super) struct Wake {
    /// When something can go on that cannot now.
    pub(super) wanted: Option<Timestamp>,
    pub(super) armed: Option<(Timestamp, SpawnHandle)>,
}

/// Counters that are looked up once.
pub(super) struct Meters {
    pub(super) delivered: Counter,
    pub(super) retrying: Counter,
    pub(super) dead: Counter,
    pub(super) attempts: Counter,
    pub(super) seconds: Histogram,
}

/// Whether a delivery may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// It may.
    Go {
        /// Its outcome decides over the breaker.
        is_probe: bool,
    },
    /// The rate is used up until then.
    RateUntil(Timestamp),
    /// The breaker holds everything back; until then, if a time can be said.
    Held(Option<Timestamp>),
}

impl Ready {
    /// Whether deliveries are to be made at all, and by this node.
    pub(super) fn is_sending(&self) -> bool {
        self.hold.is_valid()
            && self.webhook.state == WebhookState::Active
            && self.breaker != Breaker::Suspended
            && !self.is_stale
    }

    /// How many slots there are.
    pub(super) fn slots_max(&self) -> usize {
        self.webhook.max_in_flight.max(1) as usize
    }

    /// How many slots are free.
    pub(super) fn slots_free(&self) -> usize {
        self.slots_max().saturating_sub(self.slots.taken())
    }

    /// Asks the breaker and the rate.
    pub(super) fn permit(&mut self, now: Timestamp) -> Permit {
        let is_probe = match self.breaker.admit(now) {
            Admission::Admit => false,
            Admission::Probe => true,
            Admission::RefuseUntil(until) => return Permit::Held(Some(until)),
            Admission::RefuseForProbe | Admission::RefuseSuspended => return Permit::Held(None),
        };
        let Some(rate) = self.webhook.rate_per_second else {
            return Permit::Go { is_probe };
        };
        let Err(refused) = self.bucket.take(1, now, Limit::per_second(rate)) else {
            return Permit::Go { is_probe };
        };
        self.breaker.release_probe(now);
        match refused {
            Refused::ForNow { retry_after, .. } => Permit::RateUntil(now.plus(retry_after)),
            Refused::Ever { .. } => Permit::Held(None),
        }
    }

    /// Takes in an event that has just been read: it goes to those that may be sent, or behind another one, if it is for the
    /// webhook.
    pub(super) fn look_at(&mut self, frame: &Arc<Frame>) {
        let event = &*frame.event;
        let position = event.position;
        if self.is_for_it(event) && self.slots.open(position) {
            let parcel = Parcel::live(Arc::clone(frame));
            if let Some(parcel) = self.in_order(parcel) {
                self.pending.push_back(parcel);
            }
        }
        self.slots.move_to(position);
    }

    fn is_for_it(&self, event: &Event) -> bool {
        event.position > self.webhook.starts_after && self.filter.matches(event)
    }

    /// Lets a parcel pass, or keeps it behind another one with the same key.
    pub(super) fn in_order(&mut self, parcel: Parcel) -> Option<Parcel> {
        if !self.webhook.ordered {
            return Some(parcel);
        }
        let frame = Arc::clone(&parcel.frame);
        match frame.event.fields.ordering_key.as_deref() {
            Some(key) => self.lanes.enter(key, parcel.position(), parcel),
            None => Some(parcel),
        }
    }

    /// Notes that a delivery is settled, and lets the next one with the same key go.
    pub(super) fn leave_lane(&mut self, parcel: &Parcel) {
        if let Some(key) = parcel.ordering_key()
            && let Some(next) = self.lanes.leave(key, parcel.position())
        {
            self.pending.push_front(next);
        }
    }

    /// Whether a delivery of the event is on its way, or will be by itself, so that a replay need not send it.
    pub(super) fn is_coming(&self, position: Position, upto: Option<(Position, Position)>) -> bool {
        let is_ahead = |(from, upto): (Position, Position)| {
            position > from.max(self.slots.read_to()) && position <= upto
        };
        self.slots.is_taken(position) || self.slots.is_open(position) || upto.is_some_and(is_ahead)
    }

    /// Whether nothing is on its way, to the receiver or to the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.slots.taken() == 0 && self.settlement.is_empty() && self.writing.is_none()
    }

    /// Whether a read from the store is on its way.
    pub(super) fn is_fetching(&self) -> bool {
        self.is_reading || self.is_fetching_due || self.replays.is_fetching()
    }

    /// Whether everything that was read is settled, on disk, and nothing waits.
    pub(super) fn is_at_rest(&self) -> bool {
        self.slots.is_at_rest()
            && self.is_quiet()
            && !self.is_fetching()
            && self.schedule.is_empty()
            && self.replays.is_empty()
    }

    /// Remembers that something can go on at `at`.
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake.wanted = Some(self.wake.wanted.map_or(at, |wanted| wanted.min(at)));
    }

    /// How the counters are to be moved by a parcel's errand: a replay's deliveries are deliveries like others.
    pub(super) fn lag(&self, parcel: &Parcel, now: Timestamp) {
        if parcel.errand == Errand::Live {
            let since = now.since(parcel.event().received_at);
            self.meters.seconds.record(since.as_secs_f64());
        }
    }
}

impl Meters {
    pub(super) fn new() -> Meters {
        let count = |result| metrics::counter!("deliveries_total", "result" => result);
        Meters {
            delivered: count("delivered"),
            retrying: count("retrying"),
            dead: count("dead"),
            attempts: metrics::counter!("delivery_attempts_total"),
            seconds: metrics::histogram!("delivery_seconds"),
        }
    }
}

/// Which events a webhook wants.
pub(crate) fn filter_of(webhook: &Webhook) -> EventFilter {
    EventFilter {
        workspace: webhook.workspace,
        kinds: (!webhook.events.is_all()).then(|| webhook.events.clone()),
        ..EventFilter::default()
    }
}
