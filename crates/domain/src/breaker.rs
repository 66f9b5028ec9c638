//! Decides whether a webhook's target may be called.
//!
//! Pure: no I/O, no clock, no actor. Time comes in as an argument. What suspends a webhook is decided here; that its
//! stored state says so is the webhook actor's work.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The circuit breaker of one webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", from = "Stored")]
pub enum Breaker {
    /// Deliveries flow.
    Closed {
        /// Consecutive failures up to now.
        failures: u32,
    },
    /// Nothing flows for a while; then one probe may go.
    Open {
        /// From this moment on a probe is admitted.
        until: Timestamp,
        /// How often it has opened since the last success, this time included.
        openings: u32,
    },
    /// One probe is on its way; its outcome decides.
    Probing {
        /// How often it has opened since the last success.
        openings: u32,
    },
    /// It opened too often: nothing flows until somebody resumes the webhook.
    Suspended,
}

/// The limits that a breaker works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many consecutive failures open it.
    pub failures_max: u32,
    /// How long it stays open before a probe may go.
    pub open_for: Duration,
    /// The opening with this number suspends the webhook.
    pub openings_max: u32,
}

/// Whether a delivery may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admit,
    /// It may, as the one probe. Its outcome must come back as [`Outcome::ProbeSucceeded`] or [`Outcome::ProbeFailed`],
    /// or the probe must be given back with [`Breaker::release_probe`].
    Probe,
    /// Not before this moment.
    RefuseUntil(Timestamp),
    /// Not while the probe is on its way.
    RefuseForProbe,
    /// Not until the webhook is resumed.
    RefuseSuspended,
}

/// How an attempt ended.
///
/// Probes are told apart from attempts that were sent before the breaker opened and end late: a straggler must not end a
/// probe, or a second one could go out beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An ordinary attempt was delivered.
    Succeeded,
    /// An ordinary attempt failed.
    Failed,
    /// The probe was delivered.
    ProbeSucceeded,
    /// The probe failed.
    ProbeFailed,
}

/// A change that others want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Deliveries stop for a while.
    Opened {
        /// Until then.
        until: Timestamp,
    },
    /// Deliveries stop until somebody resumes the webhook.
    Suspended,
    /// Deliveries flow again.
    Closed,
}

impl Breaker {
    /// A breaker that has seen nothing yet.
    pub const NEW: Breaker = Breaker::Closed { failures: 0 };

    /// Decides whether a delivery may go out, and turns into `Probing` if it is the probe.
    pub fn admit(&mut self, now: Timestamp) -> Admission {
        match *self {
            Breaker::Closed { .. } => Admission::Admit,
            Breaker::Open { until, .. } if now < until => Admission::RefuseUntil(until),
            Breaker::Open { openings, .. } => {
                *self = Breaker::Probing { openings };
                Admission::Probe
            }
            Breaker::Probing { .. } => Admission::RefuseForProbe,
            Breaker::Suspended => Admission::RefuseSuspended,
        }
    }

    /// Takes an attempt's outcome into account and says what changed by it.
    ///
    /// A straggler's success closes an open breaker, because it is newer evidence than what opened it; a straggler's
    /// failure says nothing new. While a probe is on its way only the probe counts. After suspension nothing counts.
    pub fn record(
        &mut self,
        outcome: Outcome,
        policy: &BreakerPolicy,
        now: Timestamp,
    ) -> Option<Change> {
        use Outcome::{Failed, ProbeFailed, ProbeSucceeded, Succeeded};
        match (*self, outcome) {
            (Breaker::Closed { .. }, Succeeded | ProbeSucceeded) => {
                *self = Breaker::NEW;
                None
            }
            (Breaker::Closed { failures }, Failed | ProbeFailed) => {
                let failures = failures.saturating_add(1);
                if failures < policy.failures_max {
                    *self = Breaker::Closed { failures };
                    return None;
                }
                Some(self.trip(1, policy, now))
            }
            (Breaker::Open { .. }, Succeeded | ProbeSucceeded)
            | (Breaker::Probing { .. }, ProbeSucceeded) => {
                *self = Breaker::NEW;
                Some(Change::Closed)
            }
            (Breaker::Probing { openings }, ProbeFailed) => {
                Some(self.trip(openings.saturating_add(1), policy, now))
            }
            (Breaker::Open { .. }, Failed | ProbeFailed)
            | (Breaker::Probing { .. }, Succeeded | Failed)
            | (Breaker::Suspended, Succeeded | Failed | ProbeSucceeded | ProbeFailed) => None,
        }
    }

    /// Closes it, as resuming a webhook does.
    pub fn reset(&mut self) {
        *self = Breaker::NEW;
    }

    /// Gives back a probe that was never sent, so that another one may go at once. Does nothing without a probe.
    pub fn release_probe(&mut self, now: Timestamp) {
        if let Breaker::Probing { openings } = *self {
            *self = Breaker::Open {
                until: now,
                openings,
            };
        }
    }

    /// Says whether deliveries are held back, for the webhook's shown state `open`.
    pub fn is_open(&self) -> bool {
        match self {
            Breaker::Open { .. } | Breaker::Probing { .. } => true,
            Breaker::Closed { .. } | Breaker::Suspended => false,
        }
    }

    fn trip(&mut self, openings: u32, policy: &BreakerPolicy, now: Timestamp) -> Change {
        if openings >= policy.openings_max {
            *self = Breaker::Suspended;
            return Change::Suspended;
        }
        let until = now.plus(policy.open_for);
        *self = Breaker::Open { until, openings };
        Change::Opened { until }
    }
}

impl Default for Breaker {
    fn default() -> Breaker {
        Breaker::NEW
    }
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            failures_max: 10,
            open_for: Duration::from_hours(1),
            openings_max: 3,
        }
    }
}

/// What a store holds. A probe that was on its way when its process ended has no outcome that will ever come back, so a
/// stored `probing` is read as open since long: the next delivery is the new probe.
#[derive(Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
enum Stored {
    Closed { failures: u32 },
    Open { until: Timestamp, openings: u32 },
    Probing { openings: u32 },
    Suspended {},
}

impl From<Stored> for Breaker {
    fn from(stored: Stored) -> Breaker {
        match stored {
            Stored::Closed { failures } => Breaker::Closed { failures },
            Stored::Open { until, openings } => Breaker::Open { until, openings },
            Stored::Probing { openings } => Breaker::Open {
                until: Timestamp::default(),
                openings,
            },
            Stored::Suspended {} => Breaker::Suspended,
        }
    }
}

#[cfg(test)]
mod tests;
