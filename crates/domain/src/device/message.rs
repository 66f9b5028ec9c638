//! Messages: what names one, what an event does to one, and how far an outgoing one has come.
//!
//! Holds no message: texts stay in the log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::event::TEXT_LENGTH_MAX;

/// What names a message within its device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey {
    /// The chat, as the network calls it.
    pub chat: Box<str>,
    /// Who sent it; empty means the device itself.
    #[serde(default)]
    pub sender: Box<str>,
    /// The message's id, as the network calls it.
    pub id: Box<str>,
}

/// What an event does to the message that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStep {
    /// `message.received`: here it is.
    Received,
    /// `message.updated`: it was edited.
    Updated,
    /// `message.deleted`: it was deleted.
    Deleted,
    /// `receipt.delivery`: it reached its receiver.
    Delivered,
    /// `receipt.read`: its receiver read it.
    Read,
}

/// How far an outgoing message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Its gateway has not answered yet.
    Pending,
    /// The network has it.
    Sent,
    /// It reached its receiver.
    Delivered,
    /// Its receiver read it.
    Read,
    /// The gateway could not send it, or did not answer in time.
    Failed,
}

/// A text that is no state of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message state: expected pending, sent, delivered, read or failed")]
pub struct MessageStateError;

impl MessageKey {
    /// Checks the lengths. Says what is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        let is_text = |text: &str| text.len() <= TEXT_LENGTH_MAX && !text.contains('\0');
        for (name, text, may_be_empty) in [
            ("chat", &self.chat, false),
            ("sender", &self.sender, true),
            ("id", &self.id, false),
        ] {
            if !is_text(text) || (text.is_empty() && !may_be_empty) {
                let least = u8::from(!may_be_empty);
                return Err(Refusal::invalid(format!(
                    "expected key.{name} of {least} to {TEXT_LENGTH_MAX} bytes without NUL characters"
                )));
            }
        }
        Ok(())
    }
}

impl MessageStep {
    /// Every step.
    pub const ALL: [MessageStep; 5] = [
        MessageStep::Received,
        MessageStep::Updated,
        MessageStep::Deleted,
        MessageStep::Delivered,
        MessageStep::Read,
    ];

    /// What an event of this type does; `None` if it names no message.
    pub fn of_type(kind: &str) -> Option<MessageStep> {
        MessageStep::ALL
            .into_iter()
            .find(|step| step.event_type() == kind)
    }

    /// The type of the event that does it.
    pub const fn event_type(self) -> &'static str {
        match self {
            MessageStep::Received => "message.received",
            MessageStep::Updated => "message.updated",
            MessageStep::Deleted => "message.deleted",
            MessageStep::Delivered => "receipt.delivery",
            MessageStep::Read => "receipt.read",
        }
    }
}

impl MessageState {
    /// Every state.
    pub const ALL: [MessageState; 5] = [
        MessageState::Pending,
        MessageState::Failed,
        MessageState::Sent,
        MessageState::Delivered,
        MessageState::Read,
    ];

    /// The state after an event about the message; never an earlier one.
    #[must_use]
    pub fn with(self, step: MessageStep) -> MessageState {
        match step {
            MessageStep::Received | MessageStep::Updated | MessageStep::Deleted => self,
            MessageStep::Delivered => self.raised_to(MessageState::Delivered),
            MessageStep::Read => self.raised_to(MessageState::Read),
        }
    }

    /// The later of two states. A message that failed for us but arrived all the same has arrived.
    #[must_use]
    pub fn raised_to(self, other: MessageState) -> MessageState {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }

    /// The name that the API shows and the store keeps.
    pub const fn as_str(self) -> &'static str {
        match self {
            MessageState::Pending => "pending",
            MessageState::Sent => "sent",
            MessageState::Delivered => "delivered",
            MessageState::Read => "read",
            MessageState::Failed => "failed",
        }
    }

    /// How late the state is: a number that stores may keep and compare.
    pub const fn rank(self) -> u8 {
        match self {
            MessageState::Pending => 0,
            MessageState::Failed => 1,
            MessageState::Sent => 2,
            MessageState::Delivered => 3,
            MessageState::Read => 4,
        }
    }
}

impl FromStr for MessageState {
    type Err = MessageStateError;

    fn from_str(text: &str) -> Result<MessageState, MessageStateError> {
        MessageState::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(MessageStateError)
    }
}

impl fmt::Display for MessageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
