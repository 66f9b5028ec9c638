//! What happened to the bot itself in a chat.
//!
//! In a private chat that is whether its user has blocked it.

use serde_json::{Value, json};

use super::{
    Made,
    words::{Member, MemberChange},
};
use crate::bot::Me;

/// The bot's standing in a chat has changed.
pub(super) fn changed(me: &Me, change: &MemberChange, made: &mut Made) {
    let (before, now) = (&change.old_chat_member, &change.new_chat_member);
    let chat = change.chat.id.to_string();
    let (kind, mut data) = if change.chat.is_private() {
        let is_blocked = now.status == "kicked";
        (
            "contact.updated",
            json!({ "contact": chat, "blocked": is_blocked }),
        )
    } else {
        let itself = [me.id.to_string()];
        let by = change.from.id.to_string();
        match (before.is_in(), now.is_in()) {
            (false, true) => (
                "participant.added",
                json!({ "group": chat, "participants": itself, "by": by }),
            ),
            (true, false) => (
                "participant.removed",
                json!({ "group": chat, "participants": itself, "by": by }),
            ),
            (true, true) | (false, false) => (
                "group.updated",
                json!({ "group": chat, "role": now.status, "by": by }),
            ),
        }
    };
    if let Some(title) = &change.chat.title {
        data["subject"] = title.as_str().into();
    }
    if let Some(name) = change.from.name().filter(|_| change.chat.is_private()) {
        data["name"] = name.into();
    }
    data["timestamp"] = change.date.map_or(Value::Null, Value::from);
    made.add(kind, change.date, None, &data);
}

impl Member {
    fn is_in(&self) -> bool {
        match self.status.as_str() {
            "creator" | "administrator" | "member" => true,
            "restricted" => self.is_member.unwrap_or(true),
            _ => false,
        }
    }
}
