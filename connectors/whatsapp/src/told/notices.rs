//! Receipts, groups and contacts.

use domain::device::MessageKey;
use serde_json::{Value, json};
use whatsapp_rust::wacore::{
    stanza::groups::{GroupNotificationAction as Action, GroupParticipantInfo},
    types::{
        events::{ContactUpdate, GroupUpdate, Receipt},
        presence::ReceiptType,
    },
};

use super::{Addresses, Told, bare, chat_of, compact, key_data, known};

/// Delivered and read: one event for each message that the receipt names. Receipts of other kinds tell nothing.
pub(crate) fn receipts(addresses: &dyn Addresses, receipt: &Receipt) -> Vec<Told> {
    let (kind, what) = match receipt.r#type {
        ReceiptType::Delivered => ("receipt.delivery", "delivered"),
        ReceiptType::Read => ("receipt.read", "read"),
        ReceiptType::Played => ("receipt.read", "played"),
        _ => return Vec::new(),
    };
    let source = &receipt.source;
    let by = known(addresses, &source.sender, source.sender_alt.as_ref());
    let at = receipt.timestamp.timestamp();
    let played = (what == "played").then_some(true);
    let one = |id: &String| {
        // Others acknowledge what this account has sent.
        let key = MessageKey {
            chat: chat_of(addresses, source).into(),
            sender: "".into(),
            id: id.as_str().into(),
        };
        Told {
            kind,
            data: compact(json!({
                "key": key_data(&key), "by": by, "timestamp": at, "played": played,
            })),
            key: Some(key),
            at: Some(at),
            id: format!("{what}:{by}:{id}"),
        }
    };
    receipt.message_ids.iter().map(one).collect()
}

/// A change of a group, of its settings or of who is in it.
pub(crate) fn group(addresses: &dyn Addresses, update: &GroupUpdate) -> Told {
    let by = update.participant.as_ref();
    let by = by.map(|by| known(addresses, by, update.participant_pn.as_ref()));
    let (kind, mut data) = change(addresses, update);
    data["group"] = bare(&update.group_jid).into();
    data["by"] = by.into();
    let notice = update.notification_id.as_deref().unwrap_or_default();
    Told {
        kind,
        key: None,
        at: Some(update.timestamp.timestamp()),
        data: compact(data),
        id: format!("group:{notice}:{}", update.action_index),
    }
}

fn change(addresses: &dyn Addresses, update: &GroupUpdate) -> (&'static str, Value) {
    let people = |participants: &[GroupParticipantInfo]| -> Value {
        let people = participants.iter();
        people
            .map(|one| known(addresses, &one.jid, one.phone_number.as_ref()))
            .collect()
    };
    let updated = |data: Value| ("group.updated", data);
    match &update.action {
        Action::Create { raw } => {
            let subject = raw.get_optional_child("group").unwrap_or(raw);
            let subject = subject.attrs.get("subject");
            let subject = subject.map(|subject| subject.as_str().into_owned());
            ("group.created", json!({"subject": subject}))
        }
        Action::Delete { .. } => ("group.deleted", json!({"reason": "deleted"})),
        Action::Add { participants, .. } => (
            "participant.added",
            json!({"participants": people(participants)}),
        ),
        Action::Remove { participants, .. } => (
            "participant.removed",
            json!({"participants": people(participants)}),
        ),
        Action::Promote { participants, .. } => {
            updated(json!({"action": "promote", "participants": people(participants)}))
        }
        Action::Demote { participants, .. } => {
            updated(json!({"action": "demote", "participants": people(participants)}))
        }
        Action::Subject { subject, .. } => updated(json!({"subject": subject})),
        Action::Description { description, .. } => updated(json!({"description": description})),
        Action::Announce => updated(json!({"announce": true})),
        Action::NotAnnounce => updated(json!({"announce": false})),
        Action::Locked { .. } => updated(json!({"restrict": true})),
        Action::Unlocked => updated(json!({"restrict": false})),
        Action::Ephemeral { expiration, .. } => updated(json!({"ephemeral_seconds": expiration})),
        other => updated(json!({"change": other})),
    }
}

/// A contact that was named anew on one of the account's devices.
pub(crate) fn contact(addresses: &dyn Addresses, update: &ContactUpdate) -> Told {
    let contact = known(addresses, &update.jid, None);
    let at = update.timestamp.timestamp();
    Told {
        kind: "contact.updated",
        key: None,
        at: Some(at),
        data: compact(json!({
            "contact": contact,
            "name": update.action.full_name,
            "first_name": update.action.first_name,
        })),
        id: format!("contact:{contact}:{at}"),
    }
}
