//! One immutable record of a tenant's log, and the two ways in which the world sees it.
//!
//! Payloads are bytes here and everywhere: nothing in this file parses one.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    ids::{DeviceId, EventId, WorkspaceId},
    json,
    position::{Position, Seq},
    region::Region,
    time::Timestamp,
};

/// The longest event type, in bytes.
pub const TYPE_LENGTH_MAX: usize = 128;
/// The longest `dedup_id`, in bytes.
pub const DEDUP_ID_LENGTH_MAX: usize = 255;
/// The longest other short text of an event (category, project, ordering key, trace id), in bytes.
pub const TEXT_LENGTH_MAX: usize = 255;
/// The largest payload, in bytes.
pub const PAYLOAD_LENGTH_MAX: usize = 256 * 1024;
/// The largest `actor` or `target`, in bytes.
pub const PARTY_LENGTH_MAX: usize = 8 * 1024;

/// An event as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the tenant's log.
    pub position: Position,
    /// Place in the workspace's chain.
    pub seq: Seq,
    /// Public id; holds the position (see [`crate::event_id`]).
    pub id: EventId,
    /// The stream that the event belongs to.
    pub workspace: WorkspaceId,
    /// When the engine took it.
    pub received_at: Timestamp,
    /// The API's `type`.
    pub kind: EventType,
    /// What the sender said besides type and payload.
    pub fields: Fields,
    /// The exact bytes that came in: one JSON value.
    pub payload: Bytes,
    /// Salts of the event's units are derived from it (DESIGN §9).
    pub seed: Seed,
    /// The hash of the event before it in the chain; zeros for the first.
    pub prev_hash: Hash,
    /// The RFC 6962 leaf hash of this event, which covers `prev_hash`.
    pub hash: Hash,
}

/// An event that has no place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The stream that the event belongs to.
    pub workspace: WorkspaceId,
    /// The API's `type`.
    pub kind: EventType,
    /// What the sender said besides type and payload.
    pub fields: Fields,
    /// The exact bytes of one JSON value.
    pub payload: Bytes,
}

/// The optional parts of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// When it happened, as the sender says.
    pub occurred_at: Option<Timestamp>,
    /// A coarse kind, such as `auth`.
    pub category: Option<Box<str>>,
    /// The sender's project.
    pub project: Option<Box<str>>,
    /// Who did it.
    pub actor: Option<Party>,
    /// To what it was done.
    pub target: Option<Party>,
    /// Names the event within its workspace for 24 h.
    pub dedup_id: Option<Box<str>>,
    /// Ordered webhooks keep the order of events that share it.
    pub ordering_key: Option<Box<str>>,
    /// The sender's trace id.
    pub trace_id: Option<Box<str>>,
    /// The device that it came from.
    pub device: Option<DeviceId>,
}

/// An `actor` or `target`: the exact bytes that came in, and the id for filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// One JSON object.
    pub json: Bytes,
    /// Its `id`, if it has one.
    pub id: Option<Box<str>>,
}

/// 32 bytes of SHA-256.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// 32 random bytes that the salts of one event are derived from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

/// Segments of `[A-Za-z0-9_-]` joined by dots, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType(Box<str>);

/// A text that is no hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hash: expected 64 hex digits in lower case")]
pub struct HashError;

/// Why a text is not an event type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected segments of A-Z a-z 0-9 _ - joined by dots, 1 to 128 bytes")]
pub struct EventTypeError;

impl EventType {
    /// Checks and takes a type.
    pub fn new(text: &str) -> Result<EventType, EventTypeError> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if text.len() <= TYPE_LENGTH_MAX && text.split('.').all(is_segment) {
            Ok(EventType(text.into()))
        } else {
            Err(EventTypeError)
        }
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Event {
    /// Appends the event as `GET /v1/events/{id}` shows it: one JSON object, payload byte for byte.
    pub fn write_json(&self, region: Region, out: &mut Vec<u8>) {
        self.write_json_open(region, out);
        out.push(b'}');
    }

    /// Appends the same object with the seed as its last member, so that a verifier can compute the hash anew.
    pub fn write_json_with_seed(&self, region: Region, out: &mut Vec<u8>) {
        self.write_json_open(region, out);
        out.extend_from_slice(b",\"seed\":\"");
        json::push_hex(out, &self.seed.0);
        out.extend_from_slice(b"\"}");
    }

    fn write_json_open(&self, region: Region, out: &mut Vec<u8>) {
        out.reserve(self.payload.len() + 640);
        out.extend_from_slice(b"{\"id\":\"");
        json::push_display(out, &self.id);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"workspace\":\"");
        json::push_display(out, &self.workspace);
        out.extend_from_slice(b"\",\"position\":");
        json::push_number(out, self.position.get());
        out.extend_from_slice(b",\"seq\":");
        json::push_number(out, self.seq.get());
        out.extend_from_slice(b",\"received_at\":\"");
        out.extend_from_slice(&self.received_at.to_rfc3339());
        out.push(b'"');
        self.fields.write_json(out);
        out.extend_from_slice(b",\"region\":\"");
        out.extend_from_slice(region.name().as_bytes());
        out.extend_from_slice(b"\",\"prev_hash\":\"");
        json::push_hex(out, &self.prev_hash.0);
        out.extend_from_slice(b"\",\"hash\":\"");
        json::push_hex(out, &self.hash.0);
        out.extend_from_slice(b"\",\"archived\":false,\"payload\":");
        out.extend_from_slice(&self.payload);
    }

    /// Appends what a webhook's receiver gets (API §6).
    pub fn write_webhook_body(&self, out: &mut Vec<u8>) {
        out.reserve(self.payload.len() + 200);
        out.extend_from_slice(b"{\"id\":\"");
        json::push_display(out, &self.id);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        out.extend_from_slice(&self.received_at.to_rfc3339());
        out.extend_from_slice(b"\",\"workspace\":\"");
        json::push_display(out, &self.workspace);
        out.extend_from_slice(b"\",\"position\":");
        json::push_number(out, self.position.get());
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(&self.payload);
        out.push(b'}');
    }
}

impl Fields {
    /// Appends the members that are there, each with a comma before it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        if let Some(time) = self.occurred_at {
            out.extend_from_slice(b",\"occurred_at\":\"");
            out.extend_from_slice(&time.to_rfc3339());
            out.push(b'"');
        }
        let texts = [
            ("category", &self.category),
            ("project", &self.project),
            ("dedup_id", &self.dedup_id),
            ("ordering_key", &self.ordering_key),
            ("trace_id", &self.trace_id),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                json::push_member_name(out, name);
                json::push_string(out, text);
            }
        }
        for (name, party) in [("actor", &self.actor), ("target", &self.target)] {
            if let Some(party) = party {
                json::push_member_name(out, name);
                out.extend_from_slice(&party.json);
            }
        }
        if let Some(device) = self.device {
            out.extend_from_slice(b",\"device\":\"");
            json::push_display(out, &device);
            out.push(b'"');
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for EventType {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        let mut hash = [0_u8; 32];
        let is_lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut hash) {
            Ok(()) if is_lower => Ok(Hash(hash)),
            Ok(()) | Err(_) => Err(HashError),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Hash, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_dotted_segments() {
        for good in ["a", "message.received", "A_b-c.9", &"x".repeat(128)] {
            assert!(EventType::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "ä",
            "a.*",
            &"x".repeat(129),
        ] {
            assert!(EventType::new(bad).is_err(), "{bad}");
        }
    }
}
