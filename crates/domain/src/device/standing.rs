//! The states of a device's session, and which facts their changes put into the log.
//!
//! Pure: who opens sessions, and whether one still may write, is decided elsewhere.

use bytes::Bytes;
use serde_json::json;

use super::{DeviceState, EndReason};
use crate::{event::EventType, fence::Fence};

/// The reason with which a gateway says that its network gave the session to somebody else.
const REPLACED: &str = "replaced";

/// Where a device stands, and whether a gateway holds its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No gateway holds a session.
    Closed {
        /// What was last known: `connected` if the session before ended without a trace.
        last: DeviceState,
    },
    /// A gateway holds the session.
    Open {
        /// What it said last; `connecting` until it has said something.
        state: DeviceState,
    },
}

/// What a state frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Somebody has to pair the device.
    Pairing {
        /// What to show as a QR code, or to type in.
        qr: Option<String>,
        /// More about it.
        reason: Option<String>,
    },
    /// Messages flow.
    Connected {
        /// More about it.
        reason: Option<String>,
    },
    /// The gateway has no connection to the device's network.
    Offline {
        /// Why; `replaced` if the network gave the session to somebody else.
        reason: Option<String>,
    },
}

/// What became of a standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The standing now.
    pub standing: Standing,
    /// What the engine appends to the log about it.
    pub fact: Option<Fact>,
}

/// What the engine itself says about a device in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `device.connected`.
    Connected {
        /// What the gateway said about it.
        reason: Option<String>,
    },
    /// `device.disconnected`.
    Disconnected {
        /// Why.
        reason: String,
        /// The state after it.
        state: DeviceState,
    },
}

/// A report without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has no open session")]
pub struct NoSession;

impl Standing {
    /// The standing that a stored state describes, before a session is opened.
    pub const fn stored(last: DeviceState) -> Standing {
        Standing::Closed { last }
    }

    /// The state to show.
    pub const fn state(self) -> DeviceState {
        match self {
            Standing::Closed { last } => last,
            Standing::Open { state } => state,
        }
    }

    /// Whether a gateway holds the session.
    pub const fn is_open(self) -> bool {
        match self {
            Standing::Closed { .. } => false,
            Standing::Open { .. } => true,
        }
    }

    /// A session is opened; one that ended without a trace is said to be lost.
    #[must_use]
    pub fn open(self) -> Changed {
        self.open_after(EndReason::Lost)
    }

    /// A session is opened in the place of one that ended for this reason.
    #[must_use]
    pub fn open_after(self, why: EndReason) -> Changed {
        let ended = self.end(why);
        Changed {
            standing: Standing::Open {
                state: DeviceState::Connecting,
            },
            fact: ended.fact,
        }
    }

    /// The gateway says where it stands.
    pub fn report(self, report: &Report) -> Result<Changed, NoSession> {
        let Standing::Open { state: before } = self else {
            return Err(NoSession);
        };
        let state = report.state();
        let fact = if before == DeviceState::Connected && state != DeviceState::Connected {
            Some(Fact::Disconnected {
                reason: report.reason().unwrap_or(state.as_str()).to_owned(),
                state,
            })
        } else if before != DeviceState::Connected && state == DeviceState::Connected {
            Some(Fact::Connected {
                reason: report.reason().map(str::to_owned),
            })
        } else {
            None
        };
        Ok(Changed {
            standing: Standing::Open { state },
            fact,
        })
    }

    /// The session ends. Ending it twice changes nothing.
    #[must_use]
    pub fn end(self, why: EndReason) -> Changed {
        let before = self.state();
        let is_taken = self.is_open() && why == EndReason::Replaced;
        let last = if is_taken || before == DeviceState::Replaced {
            DeviceState::Replaced
        } else {
            DeviceState::Offline
        };
        let fact = (before == DeviceState::Connected).then(|| Fact::Disconnected {
            reason: why.as_str().to_owned(),
            state: last,
        });
        Changed {
            standing: Standing::Closed { last },
            fact,
        }
    }
}

impl Report {
    /// The state that it means.
    pub fn state(&self) -> DeviceState {
        match self {
            Report::Pairing { .. } => DeviceState::Pairing,
            Report::Connected { .. } => DeviceState::Connected,
            Report::Offline {
                reason: Some(reason),
            } if reason == REPLACED => DeviceState::Replaced,
            Report::Offline { .. } => DeviceState::Offline,
        }
    }

    /// What is said about it.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Report::Pairing { reason, .. }
            | Report::Connected { reason }
            | Report::Offline { reason } => reason.as_deref(),
        }
    }
}

impl Fact {
    /// The type of its event.
    pub fn kind(&self) -> EventType {
        let name = match self {
            Fact::Connected { .. } => "device.connected",
            Fact::Disconnected { .. } => "device.disconnected",
        };
        EventType::new(name).expect("a valid type")
    }

    /// The payload of its event.
    pub fn data(&self, gateway: Option<&str>, fence: Fence) -> Bytes {
        let (state, reason) = match self {
            Fact::Connected { reason } => (DeviceState::Connected, reason.as_deref()),
            Fact::Disconnected { reason, state } => (*state, Some(reason.as_str())),
        };
        let mut data = json!({ "state": state, "fence": fence });
        if let Some(reason) = reason {
            data["reason"] = reason.into();
        }
        if let Some(gateway) = gateway {
            data["gateway"] = gateway.into();
        }
        Bytes::from(data.to_string())
    }
}
