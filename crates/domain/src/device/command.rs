//! Commands: what the engine asks of a gateway, and what comes back.
//!
//! Who waits for a result, and how long, is decided by the device's actor.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What can be asked of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CommandName {
    /// Send, edit or delete a message.
    #[serde(rename = "message.send")]
    MessageSend,
    /// Make a group.
    #[serde(rename = "group.create")]
    GroupCreate,
    /// Tell about a group.
    #[serde(rename = "group.info")]
    GroupInfo,
    /// Add people to a group.
    #[serde(rename = "group.participants.add")]
    GroupParticipantsAdd,
    /// Remove people from a group.
    #[serde(rename = "group.participants.remove")]
    GroupParticipantsRemove,
    /// Tell the privacy settings.
    #[serde(rename = "privacy.get")]
    PrivacyGet,
    /// Change privacy settings.
    #[serde(rename = "privacy.set")]
    PrivacySet,
    /// Fetch older messages.
    #[serde(rename = "history.sync")]
    HistorySync,
}

/// One thing that the engine asks of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Names it for its result: `msg_…` for messages, `cmd_…` for the rest. The same id never means two things.
    pub id: Box<str>,
    /// What is asked.
    pub name: CommandName,
    /// The exact bytes of one JSON object.
    pub args: Bytes,
    /// After this moment nobody waits for the result.
    pub deadline: Timestamp,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandResult {
    /// The command's id.
    pub id: Box<str>,
    /// The exact bytes of one JSON value (`null` if there is nothing to tell), or why it was not done.
    pub outcome: Result<Bytes, RefusedBy>,
}

/// Why a gateway did not carry out a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RefusedBy {
    /// The gateway's code.
    pub code: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A text that is no name of a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such command")]
pub struct CommandNameError;

impl CommandName {
    /// Every command.
    pub const ALL: [CommandName; 8] = [
        CommandName::MessageSend,
        CommandName::GroupCreate,
        CommandName::GroupInfo,
        CommandName::GroupParticipantsAdd,
        CommandName::GroupParticipantsRemove,
        CommandName::PrivacyGet,
        CommandName::PrivacySet,
        CommandName::HistorySync,
    ];

    /// The name as the frame says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            CommandName::MessageSend => "message.send",
            CommandName::GroupCreate => "group.create",
            CommandName::GroupInfo => "group.info",
            CommandName::GroupParticipantsAdd => "group.participants.add",
            CommandName::GroupParticipantsRemove => "group.participants.remove",
            CommandName::PrivacyGet => "privacy.get",
            CommandName::PrivacySet => "privacy.set",
            CommandName::HistorySync => "history.sync",
        }
    }
}

impl FromStr for CommandName {
    type Err = CommandNameError;

    fn from_str(text: &str) -> Result<CommandName, CommandNameError> {
        CommandName::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or(CommandNameError)
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
