//! A device: what a gateway connects, and everything that is decided about it without I/O.
//!
//! Knows no vendor: what a network calls its messages is the connector's business. Who holds a session is the lease's, and
//! whether a write of an older session is refused is the store's.

mod command;
mod event;
mod flapping;
pub mod frame;
mod input;
mod jid;
mod message;
mod privacy;
mod standing;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use self::{
    command::{Command, CommandName, CommandNameError, CommandResult, RefusedBy},
    event::{DeviceEvent, EVENT_TYPES, Refusal},
    flapping::{Flapping, RetryAfter},
    input::{CONNECTOR_DEFAULT, DeviceInput, DevicePatch},
    jid::{JidError, complete_group_jid, complete_jid, is_group_jid},
    message::{MessageKey, MessageState, MessageStateError, MessageStep},
    privacy::{Circle, OnlineSeenBy, PrivacySettings, ReadReceipts},
    standing::{Changed, Fact, NoSession, Report, Standing},
};

/// The longest name of a device, in characters.
pub const NAME_LENGTH_MAX: usize = 100;
/// The longest name of a connector, in bytes.
pub const CONNECTOR_LENGTH_MAX: usize = 32;
/// The largest settings of a device, in bytes of JSON.
pub const SETTINGS_LENGTH_MAX: usize = 16 * 1024;
/// The largest credentials that a connector may keep with the engine, in bytes.
pub const CREDENTIALS_LENGTH_MAX: usize = 1024 * 1024;

/// Where a device stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// No gateway is connected, or the gateway has no connection to the device's network.
    #[default]
    Offline,
    /// A gateway is connected and has not said more yet.
    Connecting,
    /// The gateway waits for somebody to pair the device.
    Pairing,
    /// Messages flow.
    Connected,
    /// Somebody else took the session: stays down until a new one is opened.
    Replaced,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The connection broke without a goodbye.
    ConnectionLost,
    /// The gateway closed it as it should.
    Closed,
    /// A newer session took its place.
    Replaced,
    /// The node is going away.
    Shutdown,
    /// The key is revoked, or the device is deleted.
    Revoked,
    /// Nothing came for too long.
    Idle,
    /// An operator asked for it.
    Disconnected,
    /// It ended without a trace; found out when the next one was opened.
    Lost,
    /// The connection broke, and the device had left a last will.
    Will,
}

/// What the engine says when it ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// A newer session took its place: stay down.
    Replaced,
    /// The node is going away: connect again.
    Shutdown,
    /// The key is revoked, the device is deleted, or an operator ended the session: stay down.
    Revoked,
    /// Nothing came for too long: connect again.
    Idle,
}

/// A text that is no state of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a device state: expected offline, connecting, pairing, connected or replaced")]
pub struct DeviceStateError;

impl DeviceState {
    /// Every state.
    pub const ALL: [DeviceState; 5] = [
        DeviceState::Offline,
        DeviceState::Connecting,
        DeviceState::Pairing,
        DeviceState::Connected,
        DeviceState::Replaced,
    ];

    /// The name that the API shows and the store keeps.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeviceState::Offline => "offline",
            DeviceState::Connecting => "connecting",
            DeviceState::Pairing => "pairing",
            DeviceState::Connected => "connected",
            DeviceState::Replaced => "replaced",
        }
    }
}

impl EndReason {
    /// Every reason.
    pub const ALL: [EndReason; 9] = [
        EndReason::ConnectionLost,
        EndReason::Closed,
        EndReason::Replaced,
        EndReason::Shutdown,
        EndReason::Revoked,
        EndReason::Idle,
        EndReason::Disconnected,
        EndReason::Lost,
        EndReason::Will,
    ];

    /// The reason as `device.disconnected` and the API show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            EndReason::ConnectionLost => "connection_lost",
            EndReason::Closed => "closed",
            EndReason::Replaced => "replaced",
            EndReason::Shutdown => "shutdown",
            EndReason::Revoked => "revoked",
            EndReason::Idle => "idle",
            EndReason::Disconnected => "disconnected",
            EndReason::Lost => "lost",
            EndReason::Will => "will",
        }
    }
}

impl ByeReason {
    /// Every reason.
    pub const ALL: [ByeReason; 4] = [
        ByeReason::Replaced,
        ByeReason::Shutdown,
        ByeReason::Revoked,
        ByeReason::Idle,
    ];

    /// The reason as the frame says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ByeReason::Replaced => "replaced",
            ByeReason::Shutdown => "shutdown",
            ByeReason::Revoked => "revoked",
            ByeReason::Idle => "idle",
        }
    }

    /// Whether the gateway should connect again.
    pub const fn may_return(self) -> bool {
        match self {
            ByeReason::Replaced | ByeReason::Revoked => false,
            ByeReason::Shutdown | ByeReason::Idle => true,
        }
    }
}

impl From<ByeReason> for EndReason {
    fn from(bye: ByeReason) -> EndReason {
        match bye {
            ByeReason::Replaced => EndReason::Replaced,
            ByeReason::Shutdown => EndReason::Shutdown,
            ByeReason::Revoked => EndReason::Revoked,
            ByeReason::Idle => EndReason::Idle,
        }
    }
}

impl FromStr for DeviceState {
    type Err = DeviceStateError;

    fn from_str(text: &str) -> Result<DeviceState, DeviceStateError> {
        DeviceState::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(DeviceStateError)
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ByeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
