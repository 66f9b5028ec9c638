//! Says which events an update of Telegram is.
//!
//! Pure. Members that are not named here stay readable in `message`, which is Telegram's own object.

mod membership;
mod message;
mod words;

use gateway::{Bytes, DeviceEvent, EventType, MessageKey, Timestamp};
use serde_json::{Value, json, value::RawValue};

use self::words::{Deleted, Update};
use crate::bot::Me;

/// Events in the making: all of one update.
struct Made {
    update_id: i64,
    events: Vec<DeviceEvent>,
}

/// The events of an update; none if it says nothing that there is an event for.
pub(crate) fn events(me: &Me, update: &RawValue) -> Result<Vec<DeviceEvent>, serde_json::Error> {
    let update: Update<'_> = serde_json::from_str(update.get())?;
    let mut made = Made {
        update_id: update.update_id,
        events: Vec::new(),
    };
    for raw in [update.message, update.channel_post, update.business_message]
        .into_iter()
        .flatten()
    {
        message::came(me, raw, &mut made)?;
    }
    for raw in [
        update.edited_message,
        update.edited_channel_post,
        update.edited_business_message,
    ]
    .into_iter()
    .flatten()
    {
        message::changed(me, raw, &mut made)?;
    }
    if let Some(deleted) = &update.deleted_business_messages {
        went(deleted, &mut made);
    }
    if let Some(member) = &update.my_chat_member {
        membership::changed(me, member, &mut made);
    }
    Ok(made.events)
}

/// Messages of a business account's private chats that are gone: the only deletions that bots hear of.
fn went(deleted: &Deleted, made: &mut Made) {
    for id in &deleted.message_ids {
        // Telegram does not say whose they were; in a private chat the other one bears the chat's number.
        let key = MessageKey {
            chat: deleted.chat.id.to_string().into(),
            sender: deleted.chat.id.to_string().into(),
            id: id.to_string().into(),
        };
        let data = json!({ "key": key });
        made.add("message.deleted", None, Some(key), &data);
    }
}

impl Made {
    /// Adds an event. Its frame id is the same whenever the update comes again.
    fn add(&mut self, kind: &str, unix: Option<i64>, key: Option<MessageKey>, data: &Value) {
        let number = self.events.len();
        self.events.push(DeviceEvent {
            id: format!("update_{}.{number}", self.update_id).into(),
            kind: EventType::new(kind).expect("a type that is written here"),
            at: unix
                .and_then(|seconds| seconds.checked_mul(1_000_000))
                .map(Timestamp::from_micros),
            key,
            data: Bytes::from(data.to_string()),
        });
    }
}

#[cfg(test)]
mod tests;
