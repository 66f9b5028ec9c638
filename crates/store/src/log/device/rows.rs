//! What both databases store of messages alike: numbers of states, and how a row becomes a message.

use bytes::Bytes;
use domain::{device::MessageState, time::Timestamp};
use uuid::Uuid;

use super::{Direction, Message, MessageError};
use crate::{
    StoreError,
    log::stored::{corrupt, position},
};

/// The columns of a message, as either database hands them out.
pub(in crate::log) struct MessageColumns {
    pub(in crate::log) id: Uuid,
    pub(in crate::log) chat: Box<str>,
    pub(in crate::log) sender: Box<str>,
    pub(in crate::log) network_id: Option<Box<str>>,
    pub(in crate::log) state: Option<i64>,
    pub(in crate::log) at: i64,
    pub(in crate::log) changed_at: i64,
    pub(in crate::log) position: Option<i64>,
    pub(in crate::log) edited: Option<i64>,
    pub(in crate::log) deleted: Option<i64>,
    pub(in crate::log) error_code: Option<Box<str>>,
    pub(in crate::log) error: Option<Box<str>>,
    pub(in crate::log) body: Option<Bytes>,
}

impl MessageColumns {
    /// Puts the message together.
    pub(in crate::log) fn into_message(self) -> Result<Message, StoreError> {
        let state = self.state.map(message_state).transpose()?;
        let error = self
            .error_code
            .zip(self.error)
            .filter(|_| state == Some(MessageState::Failed));
        Ok(Message {
            id: self.id,
            direction: if self.body.is_some() || self.sender.is_empty() {
                Direction::Out
            } else {
                Direction::In
            },
            chat: self.chat,
            sender: self.sender,
            network_id: self.network_id,
            state,
            at: Timestamp::from_micros(self.at),
            changed_at: Timestamp::from_micros(self.changed_at),
            position: self.position.map(position).transpose()?,
            edited: self.edited.map(position).transpose()?,
            deleted: self.deleted.map(position).transpose()?,
            body: self.body,
            error: error.map(|(code, message)| MessageError { code, message }),
        })
    }
}

/// The number that stands for a state: the higher, the further the message came.
pub(in crate::log) fn message_state_no(state: MessageState) -> i64 {
    state.rank().into()
}

/// The number that stands for a direction in a query; see [`MessageColumns::into_message`] for how a row says it.
pub(in crate::log) fn direction_no(direction: Direction) -> i64 {
    match direction {
        Direction::In => 0,
        Direction::Out => 1,
    }
}

fn message_state(number: i64) -> Result<MessageState, StoreError> {
    MessageState::ALL
        .into_iter()
        .find(|state| message_state_no(*state) == number)
        .ok_or_else(|| corrupt("a message in an unknown state"))
}
