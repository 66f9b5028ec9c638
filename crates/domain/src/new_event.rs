//! Reads the events that clients send.
//!
//! A body is read in one pass and its payload stays a slice of it, byte for byte; those of a batch are copied, once. Nothing is
//! looked up here: whether a workspace exists, whether an event is a duplicate and what a template wants is decided
//! later. Aliases (`action`, `metadata` …) are understood; a member that is not understood is an error, because
//! dropping it silently would lose what its sender thinks is kept.

mod context;
mod member;
mod party;
mod reader;

use std::fmt;

use bytes::Bytes;

pub(crate) use self::context::{Context, Place, TEXT_RULE, Text, escaped};
use crate::{
    event::{EventType, Fields, NewEvent, PAYLOAD_LENGTH_MAX},
    ids::WorkspaceId,
};

/// The longest slug, in bytes.
const SLUG_LENGTH_MAX: usize = 64;

/// How much a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// Events of one batch.
    pub batch_events_max: usize,
    /// How deep the arrays and objects of one payload may nest.
    pub depth_max: usize,
}

/// An event as it was sent: checked, but in no workspace yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The API's `type`.
    pub kind: EventType,
    /// The workspace, if the sender named one.
    pub workspace: Option<WorkspaceRef>,
    /// The exact bytes of one JSON value: a slice of the body.
    pub payload: Bytes,
    /// Everything else.
    pub fields: Fields,
}

/// A workspace as people name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkspaceRef {
    /// By id, `ws_…`.
    Id(WorkspaceId),
    /// By slug.
    Slug(Box<str>),
}

/// What a body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one event is the common case; a box would cost it an allocation"
)]
pub enum Input {
    /// One event.
    One(Draft),
    /// A batch: each event, or why it is none, in order.
    Batch(Vec<Result<Draft, InputError>>),
}

/// What is wrong with an input, where, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} at `{pointer}`: {detail}")]
pub struct InputError {
    /// Which kind of wrong.
    pub code: InputCode,
    /// JSON pointer into the body; empty for the body as a whole.
    pub pointer: String,
    /// What was expected.
    pub detail: String,
}

/// The API's codes for wrong inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputCode {
    /// Not JSON, or not UTF-8.
    MalformedJson,
    /// A member is missing, given twice, or has a value that it may not have.
    InvalidField,
    /// There is no such member.
    UnknownField,
    /// A payload or a batch is too large.
    PayloadTooLarge,
}

/// Reads a body that must be one event.
pub fn parse_one(body: &Bytes, limits: &Limits) -> Result<Draft, InputError> {
    reader::read_event(body, body, Place::Body, limits)
}

/// Reads a body that is one event, `{"events":[…]}` or an array of events.
///
/// An event of a batch that is wrong takes nothing of the others with it. `Err` means that the body as a whole is wrong:
/// malformed, too many events, or neither of the three forms.
pub fn parse_many(body: &Bytes, limits: &Limits) -> Result<Input, InputError> {
    reader::read_body(body, limits)
}

/// Reads a body with one event a line. Blank lines do not count; pointers begin with the number of the event, from 0.
///
/// A line that is not JSON takes nothing of the others with it. `Err` means too many events.
pub fn parse_ndjson(
    body: &Bytes,
    limits: &Limits,
) -> Result<Vec<Result<Draft, InputError>>, InputError> {
    let lines = body
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty());
    let mut events = Vec::new();
    for (index, line) in lines.enumerate() {
        if index == limits.batch_events_max {
            return Err(limits.too_many_events(""));
        }
        let place = Place::Item { list: "", index };
        events.push(reader::read_event(body, line, place, limits));
    }
    Ok(events)
}

impl Limits {
    pub(crate) fn too_many_events(&self, pointer: &str) -> InputError {
        InputError {
            code: InputCode::PayloadTooLarge,
            pointer: pointer.to_owned(),
            detail: format!("expected at most {} events", self.batch_events_max),
        }
    }

    /// Checks one payload, which must be valid JSON. Says what is wrong with it.
    pub(crate) fn check_payload(&self, payload: &[u8]) -> Result<(), (InputCode, String)> {
        if payload.len() > self.payload_bytes_max {
            let detail = format!(
                "expected at most {} bytes, got {}",
                self.payload_bytes_max,
                payload.len()
            );
            return Err((InputCode::PayloadTooLarge, detail));
        }
        // Counting opening brackets is many times faster than following them, and enough for almost every payload.
        let opening = payload
            .iter()
            .filter(|byte| matches!(byte, b'[' | b'{'))
            .count();
        if opening > self.depth_max && crate::json::depth(payload) > self.depth_max {
            let detail = format!("expected at most {} levels of nesting", self.depth_max);
            return Err((InputCode::InvalidField, detail));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            payload_bytes_max: PAYLOAD_LENGTH_MAX,
            batch_events_max: 1_000,
            depth_max: 64,
        }
    }
}

impl Draft {
    /// The event in its workspace.
    pub fn into_event(self, workspace: WorkspaceId) -> NewEvent {
        NewEvent {
            workspace,
            kind: self.kind,
            fields: self.fields,
            payload: self.payload,
        }
    }
}

impl WorkspaceRef {
    /// Reads a `ws_` id or a slug.
    pub fn parse(text: &str) -> Option<WorkspaceRef> {
        if text.starts_with(WorkspaceId::PREFIX) {
            return text.parse().ok().map(WorkspaceRef::Id);
        }
        let is_slug = (1..=SLUG_LENGTH_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        is_slug.then(|| WorkspaceRef::Slug(text.into()))
    }
}

impl InputCode {
    /// The code of what serde could not read.
    pub(crate) fn of(error: &serde_json::Error) -> InputCode {
        if error.is_data() {
            InputCode::InvalidField
        } else {
            InputCode::MalformedJson
        }
    }

    /// The code as the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            InputCode::MalformedJson => "malformed_json",
            InputCode::InvalidField => "invalid_field",
            InputCode::UnknownField => "unknown_field",
            InputCode::PayloadTooLarge => "payload_too_large",
        }
    }
}

impl fmt::Display for InputCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for WorkspaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkspaceRef::Id(id) => fmt::Display::fmt(id, f),
            WorkspaceRef::Slug(slug) => f.write_str(slug),
        }
    }
}

#[cfg(test)]
mod tests;
