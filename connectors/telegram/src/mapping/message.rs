//! Messages that came or were edited, and service messages, which tell of groups.
//!
//! What happens to the bot itself is told by its membership, not by service messages: Telegram says it in both ways.

use gateway::MessageKey;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Made,
    words::{File, Message, Service, User},
};
use crate::bot::Me;

/// A message is new.
pub(super) fn came(me: &Me, raw: &RawValue, made: &mut Made) -> Result<(), serde_json::Error> {
    let message: Message = serde_json::from_str(raw.get())?;
    if tells_of_group(me, &message, made) {
        return Ok(());
    }
    let key = key(me, &message);
    let data = data(me, &message, &key, raw)?;
    made.add("message.received", message.date, Some(key), &data);
    Ok(())
}

/// A message was edited.
pub(super) fn changed(me: &Me, raw: &RawValue, made: &mut Made) -> Result<(), serde_json::Error> {
    let message: Message = serde_json::from_str(raw.get())?;
    let key = key(me, &message);
    let data = data(me, &message, &key, raw)?;
    let at = message.edit_date.or(message.date);
    made.add("message.updated", at, Some(key), &data);
    Ok(())
}

fn key(me: &Me, message: &Message) -> MessageKey {
    // Posts of channels and of anonymous administrators have a chat as their sender.
    let sender = match (&message.sender_chat, &message.from) {
        (Some(chat), _) => chat.id.to_string(),
        (None, Some(user)) if user.id == me.id => String::new(),
        (None, Some(user)) => user.id.to_string(),
        (None, None) => message.chat.id.to_string(),
    };
    MessageKey {
        chat: message.chat.id.to_string().into(),
        sender: sender.into(),
        id: message.message_id.to_string().into(),
    }
}

fn data(
    me: &Me,
    message: &Message,
    key: &MessageKey,
    raw: &RawValue,
) -> Result<Value, serde_json::Error> {
    let (kind, file) = content(message);
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), value);
        }
    };
    let from_me = message.from.as_ref().is_some_and(|user| user.id == me.id);
    let text = message.text.as_ref().or(message.caption.as_ref());
    let reply_to = message.reply_to_message.as_ref();
    put("key", Some(json!(key)));
    put("from_me", Some(from_me.into()));
    put("push_name", push_name(message).map(Value::from));
    put("timestamp", message.date.map(Value::from));
    put("kind", Some(kind.into()));
    put("text", text.map(|text| text.as_str().into()));
    put(
        "reply_to",
        reply_to.map(|to| to.message_id.to_string().into()),
    );
    put("mentions", mentions(message));
    put("media", file.map(media));
    put("message", Some(serde_json::from_str(raw.get())?));
    Ok(Value::Object(data))
}

fn push_name(message: &Message) -> Option<String> {
    match (&message.sender_chat, &message.from) {
        (Some(chat), _) => chat.title.clone(),
        (None, Some(user)) => user.name(),
        (None, None) => message.chat.title.clone(),
    }
}

/// People who are named without a user name; names with @ stand in the text.
fn mentions(message: &Message) -> Option<Value> {
    let entities = message.entities.iter().chain(&message.caption_entities);
    let users = entities.filter_map(|entity| entity.user.as_ref());
    let ids: Vec<String> = users.map(|user| user.id.to_string()).collect();
    (!ids.is_empty()).then(|| ids.into())
}

/// What is in a message, and its file if it has one.
fn content(message: &Message) -> (&'static str, Option<&File>) {
    // An animation comes as a document too, so the order matters.
    let files = [
        ("image", message.photo.last()),
        ("video", message.animation.as_ref()),
        ("video", message.video.as_ref()),
        ("video", message.video_note.as_ref()),
        ("audio", message.voice.as_ref()),
        ("audio", message.audio.as_ref()),
        ("sticker", message.sticker.as_ref()),
        ("document", message.document.as_ref()),
    ];
    if let Some((kind, file)) = files.into_iter().find(|(_, file)| file.is_some()) {
        return (kind, file);
    }
    let kind = if message.location.is_some() {
        "location"
    } else if message.contact.is_some() {
        "contact"
    } else if message.poll.is_some() {
        "poll"
    } else if message.text.is_some() {
        "text"
    } else {
        "other"
    };
    (kind, None)
}

fn media(file: &File) -> Value {
    let mut media = json!({ "file_id": file.file_id });
    let members = [
        ("mimetype", file.mime_type.as_deref().map(Value::from)),
        ("size", file.file_size.map(Value::from)),
        ("file_name", file.file_name.as_deref().map(Value::from)),
        ("width", file.width.map(Value::from)),
        ("height", file.height.map(Value::from)),
        ("seconds", file.duration.map(Value::from)),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            media[name] = value;
        }
    }
    media
}

/// Adds the events of a service message. Says whether it was one.
fn tells_of_group(me: &Me, message: &Message, made: &mut Made) -> bool {
    let Service {
        new_chat_members,
        left_chat_member,
        new_chat_title,
        ..
    } = &message.service;
    let others = |users: &[User]| -> Vec<String> {
        let others = users.iter().filter(|user| user.id != me.id);
        others.map(|user| user.id.to_string()).collect()
    };
    let (kind, more) = if let Some(users) = new_chat_members {
        (
            "participant.added",
            json!({ "participants": others(users) }),
        )
    } else if let Some(user) = left_chat_member {
        let gone = others(std::slice::from_ref(user));
        ("participant.removed", json!({ "participants": gone }))
    } else if let Some(title) = new_chat_title {
        ("group.updated", json!({ "subject": title }))
    } else if let Some(told) = quiet_change(&message.service) {
        told
    } else {
        return false;
    };
    let is_empty = more["participants"].as_array().is_some_and(Vec::is_empty);
    if !is_empty {
        let data = about_group(message, more);
        made.add(kind, message.date, None, &data);
    }
    true
}

fn quiet_change(service: &Service) -> Option<(&'static str, Value)> {
    let is_created = service.group_chat_created.is_some()
        || service.supergroup_chat_created.is_some()
        || service.channel_chat_created.is_some();
    if is_created {
        return Some(("group.created", json!({})));
    }
    if service.new_chat_photo.is_some() {
        return Some(("group.updated", json!({ "photo": "changed" })));
    }
    if service.delete_chat_photo.is_some() {
        return Some(("group.updated", json!({ "photo": "deleted" })));
    }
    if let Some(chat) = service.migrate_to_chat_id {
        return Some(("group.updated", json!({ "moved_to": chat.to_string() })));
    }
    let from = service.migrate_from_chat_id?;
    Some(("group.updated", json!({ "moved_from": from.to_string() })))
}

fn about_group(message: &Message, more: Value) -> Value {
    let mut data = more;
    data["group"] = message.chat.id.to_string().into();
    if let (None, Some(title)) = (data.get("subject"), &message.chat.title) {
        data["subject"] = title.as_str().into();
    }
    if let Some(user) = &message.from {
        data["by"] = user.id.to_string().into();
    }
    if let Some(date) = message.date {
        data["timestamp"] = date.into();
    }
    data
}
