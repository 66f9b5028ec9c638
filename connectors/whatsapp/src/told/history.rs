//! Older messages that the account's phone sends because they were asked for.

use domain::device::MessageKey;
use serde_json::json;
use whatsapp_rust::{Jid, proto_helpers::MessageExt as _, waproto::whatsapp as wa};

use super::{Addresses, Told, content, key_data, known};

/// The messages of one answer of the phone.
pub(crate) fn history(addresses: &dyn Addresses, sent: &wa::HistorySync) -> Vec<Told> {
    let chats = sent.conversations.iter();
    let messages = chats.flat_map(|chat| {
        let messages = chat.messages.iter();
        messages.filter_map(move |message| older(addresses, &chat.id, message.message.as_option()?))
    });
    messages.collect()
}

fn older(addresses: &dyn Addresses, chat: &str, info: &wa::WebMessageInfo) -> Option<Told> {
    let named = info.key.as_option()?;
    let message = info.message.as_option()?.get_base_message();
    if message.protocol_message.is_set() || content::is_silent(message) {
        return None;
    }
    let chat: Jid = chat.parse().ok()?;
    let from_me = named.from_me == Some(true);
    let sender = match named.participant.as_deref().or(info.participant.as_deref()) {
        _ if from_me => String::new(),
        Some(author) => known(addresses, &author.parse().ok()?, None),
        None => known(addresses, &chat, None),
    };
    let key = MessageKey {
        chat: known(addresses, &chat, None).into(),
        sender: sender.into(),
        id: named.id.as_deref()?.into(),
    };
    let at = info.message_timestamp.and_then(|at| i64::try_from(at).ok());
    let mut data = json!({
        "key": key_data(&key),
        "from_me": from_me,
        "push_name": info.push_name,
        "timestamp": at,
        "is_history": true,
    });
    content::describe(message, &mut data);
    Some(Told {
        kind: "message.received",
        id: format!("history:{}", key.id),
        key: Some(key),
        at,
        data: super::compact(data),
    })
}
