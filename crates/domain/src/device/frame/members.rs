//! The members of a frame, each read by itself, so that a wrong one does not hide the frame's id.

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{self, DeserializeOwned},
};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, FRAME_BYTES_MAX, FrameError};
use crate::{device::Refusal, event::TEXT_LENGTH_MAX, json};

/// Bytes of a frame that may be kept for whatever small part of it.
const SLICED_MAX: usize = 4 * 1024;

/// Every member that a frame of either direction may have, not looked into yet.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Members<'a> {
    #[serde(borrow, deserialize_with = "present")]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) gateway: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) state: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) qr: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) reason: Option<&'a RawValue>,
    #[serde(borrow, rename = "type", deserialize_with = "present")]
    pub(super) event_type: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) at: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) key: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) ok: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) device: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) fence: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) heartbeat_seconds: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) args: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) deadline: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) position: Option<&'a RawValue>,
}

/// A member that is `null` is there: only so can `"data":null` be kept as it came.
fn present<'de, D: de::Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> Members<'a> {
    /// Finds the members of a frame.
    pub(super) fn of(text: &'a Bytes) -> Result<Members<'a>, FrameError> {
        if text.len() > FRAME_BYTES_MAX {
            return Err(FrameError {
                id: None,
                code: "payload_too_large",
                message: format!("expected a frame of at most {FRAME_BYTES_MAX} bytes"),
            });
        }
        serde_json::from_slice(text).map_err(|error| FrameError {
            id: None,
            code: if error.is_data() {
                "invalid_field"
            } else {
                "malformed_json"
            },
            message: format!("expected one JSON object: {error}"),
        })
    }
}

/// Reads a member that must be there.
pub(super) fn need<T: DeserializeOwned>(
    name: &str,
    member: Option<&RawValue>,
) -> Result<T, Refusal> {
    maybe(name, member)?.ok_or_else(|| Refusal::invalid(format!("{name} is missing")))
}

/// Reads a member that may be missing or `null`.
pub(super) fn maybe<T: DeserializeOwned>(
    name: &str,
    member: Option<&RawValue>,
) -> Result<Option<T>, Refusal> {
    let Some(raw) = member.filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(|error| Refusal::invalid(format!("{name}: {error}")))
}

/// Reads a text of 1 to 255 bytes that must be there.
pub(super) fn need_text(name: &str, member: Option<&RawValue>) -> Result<Box<str>, Refusal> {
    let text: Box<str> = need(name, member)?;
    if text.is_empty() {
        return Err(too_long(name, 1, TEXT_LENGTH_MAX));
    }
    bounded(name, text, TEXT_LENGTH_MAX)
}

/// Reads a text that may be missing, of at most so many bytes.
pub(super) fn maybe_text(
    name: &str,
    member: Option<&RawValue>,
    length_max: usize,
) -> Result<Option<String>, Refusal> {
    let text: Option<Box<str>> = maybe(name, member)?;
    text.map(|text| bounded(name, text, length_max).map(String::from))
        .transpose()
}

fn bounded(name: &str, text: Box<str>, length_max: usize) -> Result<Box<str>, Refusal> {
    if text.len() > length_max || text.contains('\0') {
        return Err(too_long(name, 0, length_max));
    }
    Ok(text)
}

fn too_long(name: &str, least: usize, most: usize) -> Refusal {
    Refusal::invalid(format!(
        "{name}: expected {least} to {most} bytes without NUL characters"
    ))
}

/// Takes the exact bytes of a member as a slice of its frame.
pub(super) fn exact(frame: &Bytes, name: &str, raw: &RawValue) -> Result<Bytes, Refusal> {
    let bytes = raw.get().as_bytes();
    // Counting opening brackets is many times faster than following them, and enough for almost every payload.
    let opening = bytes.iter().filter(|b| matches!(b, b'[' | b'{')).count();
    if opening > DEPTH_MAX && json::depth(bytes) > DEPTH_MAX {
        return Err(Refusal::invalid(format!(
            "{name}: expected at most {DEPTH_MAX} levels of nesting"
        )));
    }
    Ok(kept(frame, bytes))
}

/// A part of a frame. As a slice it keeps the whole frame, so it is copied out of one that holds much else: what waits is
/// counted by its own bytes.
fn kept(frame: &Bytes, part: &[u8]) -> Bytes {
    if frame.len() > SLICED_MAX && part.len() < frame.len() / 2 {
        Bytes::copy_from_slice(part)
    } else {
        frame.slice_ref(part)
    }
}

/// A frame in the making.
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins a frame of this kind, with room for a payload.
    pub(super) fn new(kind: &str, payload: usize) -> Writer {
        let mut out = Vec::with_capacity(payload + 256);
        out.extend_from_slice(b"{\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        Writer(out)
    }

    /// Adds a text.
    pub(super) fn text(mut self, name: &str, text: &str) -> Writer {
        json::push_member_name(&mut self.0, name);
        json::push_string(&mut self.0, text);
        self
    }

    /// Adds a text, if there is one.
    pub(super) fn maybe_text(self, name: &str, text: Option<&str>) -> Writer {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds a number.
    pub(super) fn number(mut self, name: &str, number: u64) -> Writer {
        json::push_member_name(&mut self.0, name);
        json::push_number(&mut self.0, number);
        self
    }

    /// Adds what is JSON already.
    pub(super) fn exact(mut self, name: &str, value: &[u8]) -> Writer {
        json::push_member_name(&mut self.0, name);
        self.0.extend_from_slice(value);
        self
    }

    /// Adds what serde can write.
    pub(super) fn value(mut self, name: &str, value: &impl serde::Serialize) -> Writer {
        json::push_member_name(&mut self.0, name);
        serde_json::to_writer(&mut self.0, value).expect("texts always have a JSON form");
        self
    }

    /// Ends the frame.
    pub(super) fn end(mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(self.0)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
