//! What the network tells, as events of the gateway protocol. Pure: knows no connection.

mod addresses;
mod content;
mod history;
mod messages;
mod notices;
#[cfg(test)]
mod tests;

use domain::{
    device::{DeviceEvent, MessageKey},
    event::EventType,
    time::Timestamp,
};
use serde_json::Value;
use whatsapp_rust::wacore::types::message::MessageSource;

pub(crate) use addresses::{Addresses, bare, known};
pub(crate) use history::history;
pub(crate) use messages::message;
pub(crate) use notices::{contact, group, receipts};

/// One event for the engine. Its id follows from what it tells, so that telling it again is the same frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// The event's type.
    pub(crate) kind: &'static str,
    /// The message that it is about.
    pub(crate) key: Option<MessageKey>,
    /// When it happened, in Unix seconds.
    pub(crate) at: Option<i64>,
    /// What there is to know.
    pub(crate) data: Value,
    /// Tells it apart from others of its type and message.
    pub(crate) id: String,
}

impl Told {
    /// As it goes to the engine.
    pub(crate) fn event(self) -> DeviceEvent {
        let kind = EventType::new(self.kind).expect("the types are constants");
        let micros = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        DeviceEvent {
            id: self.id.into(),
            kind,
            at: self.at.map(micros),
            key: self.key,
            data: self.data.to_string().into(),
        }
    }
}

/// The chat that something happened in.
fn chat_of(addresses: &dyn Addresses, source: &MessageSource) -> String {
    known(addresses, &source.chat, chat_alt(source))
}

/// The other name of a chat with one person.
fn chat_alt(source: &MessageSource) -> Option<&whatsapp_rust::Jid> {
    match (source.is_group, source.is_from_me) {
        (true, _) => None,
        (false, true) => source.recipient_alt.as_ref(),
        (false, false) => source.sender_alt.as_ref(),
    }
}

/// Who did something. The account's own doings are the device's: the name is empty.
fn author_of(addresses: &dyn Addresses, source: &MessageSource) -> String {
    if source.is_from_me {
        return String::new();
    }
    known(addresses, &source.sender, source.sender_alt.as_ref())
}

fn key_data(key: &MessageKey) -> Value {
    serde_json::json!({"chat": key.chat, "sender": key.sender, "id": key.id})
}

/// Members without those that are null.
fn compact(mut data: Value) -> Value {
    if let Value::Object(members) = &mut data {
        members.retain(|_, value| !value.is_null());
    }
    data
}
