//! Messages: received, edited, deleted.

use domain::device::MessageKey;
use serde_json::{Value, json};
use whatsapp_rust::{
    proto_helpers::MessageExt as _,
    wacore::types::{events::InboundMessage, message::MessageInfo},
    waproto::whatsapp::{self as wa, message::protocol_message},
};

use super::{Addresses, Told, addresses::hidden, author_of, chat_alt, chat_of, content, key_data};

/// What one message of the network tells, if anything: what only keeps the account's devices in step does not.
pub(crate) fn message(addresses: &dyn Addresses, inbound: &InboundMessage) -> Option<Told> {
    let (message, info) = (inbound.message.get_base_message(), &*inbound.info);
    let own = MessageKey {
        chat: chat_of(addresses, &info.source).into(),
        sender: author_of(addresses, &info.source).into(),
        id: info.id.as_str().into(),
    };
    if let Some(protocol) = message.protocol_message.as_option() {
        return changed(addresses, protocol, info, &own);
    }
    if content::is_silent(message) {
        return None;
    }
    Some(Told {
        kind: "message.received",
        at: Some(info.timestamp.timestamp()),
        data: shown(&own, message, info),
        id: format!("message:{}", info.id),
        key: Some(own),
    })
}

/// An edit or a deletion of another message.
fn changed(
    addresses: &dyn Addresses,
    protocol: &wa::message::ProtocolMessage,
    info: &MessageInfo,
    own: &MessageKey,
) -> Option<Told> {
    let named = protocol.key.as_option()?;
    let mut target = MessageKey {
        id: named.id.as_deref()?.into(),
        ..own.clone()
    };
    let at = Some(info.timestamp.timestamp());
    match protocol.r#type? {
        protocol_message::Type::REVOKE => {
            // An administrator may delete somebody else's message.
            if named.from_me != Some(true)
                && let Some(author) = named.participant.as_deref()
                && let Ok(author) = author.parse()
            {
                target.sender = super::known(addresses, &author, None).into();
            }
            Some(Told {
                kind: "message.deleted",
                at,
                data: json!({
                    "key": key_data(&target),
                    "from_me": info.source.is_from_me,
                    "by": own.sender,
                    "timestamp": at,
                }),
                key: Some(target),
                id: format!("deleted:{}", info.id),
            })
        }
        protocol_message::Type::MESSAGE_EDIT => {
            let edited = protocol.edited_message.as_option()?.get_base_message();
            Some(Told {
                kind: "message.updated",
                at,
                data: shown(&target, edited, info),
                key: Some(target),
                id: format!("updated:{}", info.id),
            })
        }
        _ => None,
    }
}

fn shown(key: &MessageKey, message: &wa::Message, info: &MessageInfo) -> Value {
    let source = &info.source;
    let push_name = Some(&info.push_name).filter(|name| !name.is_empty());
    let mut data = json!({
        "key": key_data(key),
        "from_me": source.is_from_me,
        "push_name": push_name,
        "timestamp": info.timestamp.timestamp(),
        "chat_lid": hidden(&source.chat, chat_alt(source)),
        "sender_lid": hidden(&source.sender, source.sender_alt.as_ref()),
    });
    content::describe(message, &mut data);
    super::compact(data)
}
