//! What a message says, in words that connectors of other networks use too.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use whatsapp_rust::{proto_helpers::MessageExt as _, waproto::whatsapp as wa};

/// The largest object of the network's own that is told; the rest of an event's data has room beside it.
const OWN_BYTES_MAX: usize = 192 * 1024;
/// The deepest object of the network's own that is told: answers to answers to answers. The engine takes no JSON that is much deeper.
const OWN_DEPTH_MAX: usize = 48;

/// Whether a message says nothing: keys for a group's later messages, for example.
pub(super) fn is_silent(message: &wa::Message) -> bool {
    let alone = wa::Message {
        sender_key_distribution_message: message.sender_key_distribution_message.clone(),
        message_context_info: message.message_context_info.clone(),
        ..wa::Message::default()
    };
    *message == alone
}

/// Adds what a message says to what there is to tell about it.
pub(super) fn describe(message: &wa::Message, data: &mut Value) {
    let text = message.text_content().or_else(|| message.get_caption());
    let context = context(message);
    data["kind"] = kind(message).into();
    data["text"] = text.filter(|text| !text.is_empty()).into();
    data["reply_to"] = context.and_then(|context| context.stanza_id.clone()).into();
    data["mentions"] = context
        .map(|context| context.mentioned_jid.clone())
        .filter(|mentioned| !mentioned.is_empty())
        .into();
    data["media"] = media(message).into();
    data["location"] = location(message).into();
    if let Some(reaction) = message.reaction_message.as_option() {
        let to = reaction.key.as_option().and_then(|key| key.id.clone());
        data["reaction"] = json!({"to": to, "emoji": reaction.text.clone().unwrap_or_default()});
    }
    let mut own = json!(message);
    let depth = prune(&mut own);
    if depth <= OWN_DEPTH_MAX && own.to_string().len() <= OWN_BYTES_MAX {
        data["message"] = own;
    }
}

/// Drops what is not there: the network's own object has hundreds of members, of which a message has a few. Answers how deep it is.
fn prune(value: &mut Value) -> usize {
    match value {
        Value::Object(members) => {
            let depth = members.values_mut().map(prune).max();
            members.retain(|_, member| match member {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => true,
            });
            1 + depth.unwrap_or(0)
        }
        Value::Array(items) => 1 + items.iter_mut().map(prune).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn kind(message: &wa::Message) -> &'static str {
    let is_poll = message.poll_creation_message.is_set()
        || message.poll_creation_message_v2.is_set()
        || message.poll_creation_message_v3.is_set()
        || message.poll_update_message.is_set();
    if message.conversation.is_some() || message.extended_text_message.is_set() {
        "text"
    } else if message.image_message.is_set() {
        "image"
    } else if message.video_message.is_set() || message.ptv_message.is_set() {
        "video"
    } else if message.audio_message.is_set() {
        "audio"
    } else if message.document_message.is_set() {
        "document"
    } else if message.sticker_message.is_set() {
        "sticker"
    } else if message.location_message.is_set() || message.live_location_message.is_set() {
        "location"
    } else if message.contact_message.is_set() || message.contacts_array_message.is_set() {
        "contact"
    } else if message.reaction_message.is_set() {
        "reaction"
    } else if is_poll {
        "poll"
    } else {
        "other"
    }
}

fn context(message: &wa::Message) -> Option<&wa::ContextInfo> {
    let text = message.extended_text_message.as_option();
    let image = message.image_message.as_option();
    let video = message.video_message.as_option();
    let document = message.document_message.as_option();
    let audio = message.audio_message.as_option();
    let sticker = message.sticker_message.as_option();
    text.and_then(|part| part.context_info.as_option())
        .or_else(|| image.and_then(|part| part.context_info.as_option()))
        .or_else(|| video.and_then(|part| part.context_info.as_option()))
        .or_else(|| document.and_then(|part| part.context_info.as_option()))
        .or_else(|| audio.and_then(|part| part.context_info.as_option()))
        .or_else(|| sticker.and_then(|part| part.context_info.as_option()))
}

/// What there is to know of an attachment, with what it takes to fetch and open it.
macro_rules! attachment {
    ($part:expr, $($more:tt)*) => {{
        let mut data = json!({ $($more)* });
        data["mimetype"] = $part.mimetype.clone().into();
        data["size"] = $part.file_length.into();
        data["url"] = $part.url.clone().into();
        data["direct_path"] = $part.direct_path.clone().into();
        data["media_key"] = $part.media_key.as_ref().map(|key| BASE64_STANDARD.encode(key)).into();
        data["sha256"] = $part.file_sha256.as_ref().map(|hash| BASE64_STANDARD.encode(hash)).into();
        Some(super::compact(data))
    }};
}

fn media(message: &wa::Message) -> Option<Value> {
    if let Some(image) = message.image_message.as_option() {
        return attachment!(image, "width": image.width, "height": image.height);
    }
    let video = message.video_message.as_option();
    if let Some(video) = video.or_else(|| message.ptv_message.as_option()) {
        return attachment!(video, "seconds": video.seconds, "width": video.width, "height": video.height);
    }
    if let Some(audio) = message.audio_message.as_option() {
        let is_voice = audio.ptt.filter(|is_voice| *is_voice);
        return attachment!(audio, "seconds": audio.seconds, "is_voice": is_voice);
    }
    if let Some(document) = message.document_message.as_option() {
        let name = document.file_name.as_ref().or(document.title.as_ref());
        return attachment!(document, "file_name": name);
    }
    let sticker = message.sticker_message.as_option()?;
    attachment!(sticker, "width": sticker.width, "height": sticker.height)
}

fn location(message: &wa::Message) -> Option<Value> {
    if let Some(place) = message.location_message.as_option() {
        return Some(super::compact(json!({
            "latitude": place.degrees_latitude,
            "longitude": place.degrees_longitude,
            "name": place.name,
            "address": place.address,
        })));
    }
    let place = message.live_location_message.as_option()?;
    Some(super::compact(json!({
        "latitude": place.degrees_latitude,
        "longitude": place.degrees_longitude,
    })))
}
