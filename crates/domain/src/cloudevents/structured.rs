//! `CloudEvents` whose attributes and data stand together in one JSON object.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;

use super::attributes::{Attributes, Form};
use crate::new_event::{Context, Draft, InputCode, InputError, Limits, Place, Text};

const PAYLOAD_ABSENT: &[u8] = b"{}";

/// Reads a body that is one event.
pub(super) fn read_one(body: &Bytes, limits: &Limits) -> Result<Draft, InputError> {
    read_event(body, body, Place::Body, limits)
}

/// Reads a body that is an array of events.
pub(super) fn read_batch(
    body: &Bytes,
    limits: &Limits,
) -> Result<Vec<Result<Draft, InputError>>, InputError> {
    let mut context = Context::new(body, Place::Body, limits);
    let mut from = serde_json::Deserializer::from_slice(body);
    let read = from
        .deserialize_seq(BatchVisitor(&mut context))
        .and_then(|events| from.end().map(|()| events));
    let texts = read.map_err(|error| context.explain(&error))?;
    let events = texts.into_iter().enumerate().map(|(index, text)| {
        let place = Place::Item { list: "", index };
        read_event(body, text.get().as_bytes(), place, limits)
    });
    Ok(events.collect())
}

fn read_event(
    body: &Bytes,
    text: &[u8],
    place: Place,
    limits: &Limits,
) -> Result<Draft, InputError> {
    let mut context = Context::new(body, place, limits);
    let mut from = serde_json::Deserializer::from_slice(text);
    let read = CloudEvent(&mut context)
        .deserialize(&mut from)
        .and_then(|event| from.end().map(|()| event));
    let (attributes, payload) = read.map_err(|error| context.explain(&error))?;
    attributes.finish(payload)
}

/// Finds where each event of a batch ends.
struct BatchVisitor<'c, 'a>(&'c mut Context<'a>);

impl<'de> de::Visitor<'de> for BatchVisitor<'_, '_> {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of CloudEvents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let limits = self.0.limits;
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element()? {
            if texts.len() == limits.batch_events_max {
                return Err(self.0.leave(limits.too_many_events("")));
            }
            texts.push(text);
        }
        Ok(texts)
    }
}

/// Reads one event's attributes and payload.
struct CloudEvent<'c, 'a>(&'c mut Context<'a>);

impl<'de> DeserializeSeed<'de> for CloudEvent<'_, '_> {
    type Value = (Attributes<'de>, Bytes);

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for CloudEvent<'_, '_> {
    type Value = (Attributes<'de>, Bytes);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent: an object with specversion, id, source and type")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let CloudEvent(context) = self;
        let mut attributes = Attributes::new(context.place, Form::Members);
        let mut payload = None;
        while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
            match name.as_ref() {
                data @ ("data" | "data_base64") => {
                    let is_base64 = data == "data_base64";
                    context.member[0] = Some(if is_base64 { "data_base64" } else { "data" });
                    if payload.is_some() {
                        let detail = "expected once, as data or as data_base64";
                        return Err(context.fail(InputCode::InvalidField, detail));
                    }
                    let raw = map.next_value::<&'de RawValue>()?.get().as_bytes();
                    if is_base64 && !is_base64_string(raw) {
                        let detail = "expected a string with base64";
                        return Err(context.fail(InputCode::InvalidField, detail));
                    }
                    payload = Some(context.check_payload(raw)?);
                    context.member[0] = None;
                }
                name if Attributes::is_wanted(name) => {
                    let text = map.next_value::<Option<serde_json::Value>>()?;
                    let set = match text {
                        None => Ok(()),
                        Some(serde_json::Value::String(text)) => attributes.set(name, text.into()),
                        Some(_) => Err(attributes.wrong(name, "expected a string")),
                    };
                    set.map_err(|error| context.leave::<M::Error>(error))?;
                }
                name if Attributes::is_name(name) => {
                    map.next_value::<IgnoredAny>()?;
                }
                name => {
                    let expected = "attribute names of lower-case letters and digits";
                    return Err(context.fail_unknown(name, expected));
                }
            }
        }
        Ok((
            attributes,
            payload.unwrap_or(Bytes::from_static(PAYLOAD_ABSENT)),
        ))
    }
}

/// Says whether a JSON value is a string that holds base64 and no escapes (but for the slash, which some escape).
fn is_base64_string(raw: &[u8]) -> bool {
    let inner = raw
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|text| {
        text.iter()
            .all(|b| b.is_ascii_alphanumeric() || b"+/=\\".contains(b))
    })
}
