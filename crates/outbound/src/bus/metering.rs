//! The metrics of the bus.
//!
//! Looked up when they are first needed, so that the recorder may be installed after the bus was started.

use std::sync::OnceLock;

use bytes::Bytes;
use metrics::{Counter, Gauge};

use super::BusError;

/// See the module.
#[derive(Default)]
pub(super) struct Metering {
    handles: OnceLock<Handles>,
}

/// What was dropped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dropped {
    /// A message that waited to be published.
    Outgoing,
    /// A message that its reader did not take in time.
    Incoming,
    /// A message that was not understood, or of which pieces were missing.
    Unreadable,
}

struct Handles {
    connected: Gauge,
    requests: [Counter; OUTCOMES.len()],
    dropped: [Counter; 3],
}

/// The values of the label `outcome`; [`place`] knows the order.
const OUTCOMES: [&str; 9] = [
    "answered",
    "no_responder",
    "timed_out",
    "disconnected",
    "too_large",
    "busy",
    "refused",
    "answer_lost",
    "late",
];

impl Metering {
    /// Notes whether there is a connection.
    pub(super) fn connected(&self, is_connected: bool) {
        let value = if is_connected { 1.0 } else { 0.0 };
        self.handles().connected.set(value);
    }

    /// Counts a request by how it ended.
    pub(super) fn request(&self, outcome: &Result<Bytes, BusError>) {
        self.handles().requests[place(outcome)].increment(1);
    }

    /// Counts what was dropped.
    pub(super) fn dropped(&self, what: Dropped, number: u64) {
        if number > 0 {
            self.handles().dropped[what as usize].increment(number);
        }
    }

    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| Handles {
            connected: metrics::gauge!("bus_connected"),
            requests: OUTCOMES
                .map(|outcome| metrics::counter!("bus_requests_total", "outcome" => outcome)),
            dropped: ["outgoing", "incoming", "unreadable"]
                .map(|what| metrics::counter!("bus_dropped_total", "what" => what)),
        })
    }
}

fn place(outcome: &Result<Bytes, BusError>) -> usize {
    match outcome {
        Ok(_) => 0,
        Err(BusError::NoResponder) => 1,
        Err(BusError::TimedOut) => 2,
        Err(BusError::Disconnected) => 3,
        Err(BusError::TooLarge { .. } | BusError::Name(_)) => 4,
        Err(BusError::Busy) => 5,
        Err(
            BusError::Refused
            | BusError::Address(_)
            | BusError::Authorities { .. }
            | BusError::Tls(_),
        ) => 6,
        Err(BusError::AnswerLost) => 7,
        Err(BusError::Late) => 8,
    }
}
