//! What a device publishes, in the engine's words: events and the results of commands.
//!
//! A payload of JSON is kept byte for byte. Devices also send plain text and plain bytes: those become a JSON string and
//! `{"base64":"…"}`. Whether an event may be sent is decided by its rules in `domain`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{
    device::{CommandResult, DeviceEvent, MessageKey, MessageStep, Refusal, frame::FromGateway},
    event::EventType,
    json,
    time::Timestamp,
};
use mqtt_protocol_core::mqtt::packet::Property;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{connect::Will, reader::said, topics::Topic};

/// What a will of this type says is said by the engine's own event.
const DISCONNECTED: &str = "device.disconnected";
/// The deepest nesting of what is JSON at all. Its own rules allow less.
const DEPTH_MAX: usize = 120;

/// The member of a payload that names the message it is about.
#[derive(Deserialize)]
struct Keyed {
    key: Option<MessageKey>,
}

/// The member of a result that says that it is one.
#[derive(Deserialize)]
struct Kinded<'a> {
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
}

/// An event of this type with this payload.
pub(super) fn event(
    kind: &str,
    payload: &Bytes,
    properties: &[Property],
) -> Result<DeviceEvent, Refusal> {
    let event = unchecked(kind, payload, properties)?;
    event.check()?;
    Ok(event)
}

/// What a will stands for, if the device may leave such a one.
pub(super) fn will(will: &Will) -> Result<DeviceEvent, Refusal> {
    let kind = match Topic::named(&will.topic) {
        Some(Topic::Event(kind)) => kind,
        Some(Topic::Results) | None => {
            return Err(Refusal::invalid(
                "a device's will has a topic of its own events: events/TYPE",
            ));
        }
    };
    let event = unchecked(kind, &will.payload, &will.properties)?;
    if kind == DISCONNECTED {
        // A device cannot send this type, because the engine does; as a will it says what the engine's event carries.
        let kind = EventType::new("will").map_err(|error| Refusal::invalid(error.to_string()))?;
        let alike = DeviceEvent {
            kind,
            ..event.clone()
        };
        alike.check()?;
    } else {
        event.check()?;
    }
    Ok(event)
}

/// What became of a command.
pub(super) fn result(payload: &Bytes) -> Result<CommandResult, Refusal> {
    let wrong = |text: &str| Refusal::invalid(format!("expected the result of a command: {text}"));
    let kinded =
        serde_json::from_slice::<Kinded<'_>>(payload).map_err(|error| wrong(&error.to_string()))?;
    let frame = if kinded.kind.is_some() {
        FromGateway::parse(payload)
    } else {
        FromGateway::parse(&with_kind(payload))
    };
    match frame {
        Ok(FromGateway::Result(result)) => Ok(result),
        Ok(
            FromGateway::Hello { .. }
            | FromGateway::State(_)
            | FromGateway::Event(_)
            | FromGateway::Ping,
        ) => Err(wrong("this is another frame")),
        Err(error) => Err(wrong(&error.message)),
    }
}

/// On a topic of their own results need not say that they are results.
fn with_kind(payload: &Bytes) -> Bytes {
    let start = payload.iter().position(|byte| *byte == b'{');
    let rest = start.map_or(&payload[..], |start| &payload[start + 1..]);
    let is_empty = rest.trim_ascii_start().first() == Some(&b'}');
    let comma = if is_empty { "" } else { "," };
    [b"{\"kind\":\"result\"", comma.as_bytes(), rest]
        .concat()
        .into()
}

fn unchecked(kind: &str, payload: &Bytes, properties: &[Property]) -> Result<DeviceEvent, Refusal> {
    let kind = EventType::new(kind).map_err(|error| Refusal::invalid(format!("type: {error}")))?;
    let data = data(payload)?;
    let key = key(&kind, &data, properties)?;
    let at = said(properties, "at")
        .map(Timestamp::parse)
        .transpose()
        .map_err(|error| Refusal::invalid(format!("at: {error}")))?;
    Ok(DeviceEvent {
        id: said(properties, "id").unwrap_or_default().into(),
        kind,
        at,
        key,
        data,
    })
}

/// The message that an event is about: as properties say, or else as the payload does.
fn key(
    kind: &EventType,
    data: &Bytes,
    properties: &[Property],
) -> Result<Option<MessageKey>, Refusal> {
    if let (Some(chat), Some(id)) = (said(properties, "chat"), said(properties, "id")) {
        return Ok(Some(MessageKey {
            chat: chat.into(),
            sender: said(properties, "sender").unwrap_or_default().into(),
            id: id.into(),
        }));
    }
    // In other types a member of this name is none of our business.
    if MessageStep::of_type(kind.as_str()).is_none() || data.first() != Some(&b'{') {
        return Ok(None);
    }
    serde_json::from_slice::<Keyed>(data)
        .map(|keyed| keyed.key)
        .map_err(|error| Refusal::invalid(format!("key: {error}")))
}

/// A payload as exactly one JSON value.
fn data(payload: &Bytes) -> Result<Bytes, Refusal> {
    if let Ok(value) = serde_json::from_slice::<&RawValue>(payload) {
        return Ok(payload.slice_ref(value.get().as_bytes()));
    }
    let mut text = Vec::with_capacity(payload.len() + 2);
    match std::str::from_utf8(payload) {
        Ok(_) if json::depth(payload) > DEPTH_MAX => {
            return Err(Refusal::invalid("the payload nests too deep"));
        }
        Ok(plain) => json::push_string(&mut text, plain),
        Err(_not_utf8) => {
            text.extend_from_slice(b"{\"base64\":\"");
            text.extend_from_slice(STANDARD.encode(payload).as_bytes());
            text.extend_from_slice(b"\"}");
        }
    }
    Ok(text.into())
}
