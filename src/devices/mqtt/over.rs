//! How a device's connection ends: what the engine hears, and what the device hears.

use std::fmt;

use domain::device::{ByeReason, EndReason};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

use super::ending::Ending;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The device left as it should.
    Goodbye,
    /// The device is gone, or left with its will.
    Lost(String),
    /// The device did what it may not do.
    Ended(Ending),
    /// The device said nothing for too long.
    Silent,
    /// A newer session has the device.
    Replaced,
    /// The key is revoked, the device deleted, or an operator ended the session.
    Revoked,
    /// The node ends.
    Shutdown,
    /// What held the session here has broken: the device opens another one.
    Broken,
}

impl Over {
    /// What follows from the engine's goodbye.
    pub(super) fn of(reason: ByeReason) -> Over {
        match reason {
            ByeReason::Replaced => Over::Replaced,
            ByeReason::Shutdown => Over::Shutdown,
            ByeReason::Revoked => Over::Revoked,
            ByeReason::Idle => Over::Silent,
        }
    }

    /// Whether what the device has said until now is still taken.
    pub(super) fn settles(&self) -> bool {
        match self {
            Over::Goodbye | Over::Lost(_) | Over::Ended(_) | Over::Silent => true,
            Over::Replaced | Over::Revoked | Over::Shutdown | Over::Broken => false,
        }
    }

    /// What the session's end is called, and whether the device's will is published.
    pub(super) fn reason(&self, has_will: bool) -> (EndReason, bool) {
        match self {
            Over::Goodbye => (EndReason::Closed, false),
            Over::Lost(_) | Over::Ended(_) | Over::Silent if has_will => (EndReason::Will, true),
            Over::Lost(_) | Over::Ended(_) | Over::Broken => (EndReason::ConnectionLost, false),
            Over::Silent => (EndReason::Idle, false),
            Over::Replaced => (EndReason::Replaced, false),
            Over::Revoked => (EndReason::Revoked, false),
            // The device is not gone: it comes back elsewhere.
            Over::Shutdown => (EndReason::Shutdown, false),
        }
    }

    /// What a device of version 5 is told, if there is anybody to tell.
    pub(super) fn ending(&self) -> Option<Ending> {
        let (code, text) = match self {
            Over::Goodbye | Over::Lost(_) => return None,
            Over::Ended(ending) => return Some(ending.clone()),
            Over::Silent => (
                DisconnectReasonCode::KeepAliveTimeout,
                "nothing came for one and a half times the keep alive",
            ),
            Over::Replaced => (
                DisconnectReasonCode::SessionTakenOver,
                "the device connected somewhere else: stay down",
            ),
            Over::Revoked => (
                DisconnectReasonCode::AdministrativeAction,
                "the key or the device may not be connected any more: stay down",
            ),
            Over::Shutdown => (
                DisconnectReasonCode::ServerShuttingDown,
                "this node is going away: connect again",
            ),
            Over::Broken => (
                DisconnectReasonCode::ServerBusy,
                "the session has to be opened again: connect again",
            ),
        };
        Some(Ending::new(code, text))
    }
}

impl From<Ending> for Over {
    fn from(ending: Ending) -> Over {
        Over::Ended(ending)
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Over::Goodbye => f.write_str("the device left"),
            Over::Lost(how) => write!(f, "the device is gone: {how}"),
            Over::Ended(ending) => write!(f, "the device may not do this: {ending}"),
            Over::Silent => f.write_str("the device was silent for too long"),
            Over::Replaced => f.write_str("a newer session has the device"),
            Over::Revoked => f.write_str("the device may not be connected any more"),
            Over::Shutdown => f.write_str("the node ends"),
            Over::Broken => f.write_str("its actor has ended"),
        }
    }
}
