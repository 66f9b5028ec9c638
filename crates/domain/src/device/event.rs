//! Events that devices send: which are allowed, and what becomes of them in the log.
//!
//! Whether an event is a duplicate is decided by the tenant's window; here is only made what names it there.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{MessageKey, MessageStep};
use crate::{
    event::{DEDUP_ID_LENGTH_MAX, EventType, Fields, NewEvent, TEXT_LENGTH_MAX},
    ids::{DeviceId, WorkspaceId},
    new_event::Limits,
    time::Timestamp,
};

/// The event types that are about devices.
pub const EVENT_TYPES: [&str; 13] = [
    "message.received",
    "message.updated",
    "message.deleted",
    "receipt.delivery",
    "receipt.read",
    "group.created",
    "group.updated",
    "group.deleted",
    "participant.added",
    "participant.removed",
    "contact.updated",
    "device.connected",
    "device.disconnected",
];
/// Families in which there are no types but ours, so that a typing error does not go unseen.
const FAMILIES: [&str; 6] = [
    "message.",
    "receipt.",
    "group.",
    "participant.",
    "contact.",
    "device.",
];
/// Types that only the engine appends.
const OWN_TYPES: [&str; 2] = ["device.connected", "device.disconnected"];
/// How much of a hash names a frame.
const FRAME_HASH_BYTES: usize = 16;

/// An event as a device sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEvent {
    /// Names the frame for its ack; empty if the transport has other means.
    pub id: Box<str>,
    /// The API's `type`.
    pub kind: EventType,
    /// When it happened, as the device says.
    pub at: Option<Timestamp>,
    /// The message that it is about.
    pub key: Option<MessageKey>,
    /// The exact bytes of one JSON value.
    pub data: Bytes,
}

/// Why an event, a report or a result is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The code of the API.
    pub code: &'static str,
    /// What was expected.
    pub message: String,
}

impl DeviceEvent {
    /// Checks everything that needs no looking up. `data` is taken to be valid JSON.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.id.len() > TEXT_LENGTH_MAX || self.id.contains('\0') {
            return Err(Refusal::invalid(format!(
                "expected an id of at most {TEXT_LENGTH_MAX} bytes without NUL characters"
            )));
        }
        let kind = self.kind.as_str();
        if OWN_TYPES.contains(&kind) {
            return Err(Refusal::invalid(format!(
                "{kind} is said with a state frame, not with an event"
            )));
        }
        let is_of_family = FAMILIES.iter().any(|family| kind.starts_with(family));
        if is_of_family && !EVENT_TYPES.contains(&kind) {
            return Err(Refusal::invalid(format!(
                "there is no type {kind}: expected one of {}",
                EVENT_TYPES.join(", ")
            )));
        }
        match &self.key {
            Some(key) => key.check()?,
            None if MessageStep::of_type(kind).is_some() => {
                return Err(Refusal::invalid(format!(
                    "{kind} needs a key with chat, sender and id"
                )));
            }
            None => {}
        }
        Limits::default()
            .check_payload(&self.data)
            .map_err(|(code, detail)| Refusal {
                code: code.name(),
                message: format!("data: {detail}"),
            })
    }

    /// What it does to the message that it names.
    pub fn step(&self) -> Option<(MessageKey, MessageStep)> {
        let step = MessageStep::of_type(self.kind.as_str())?;
        Some((self.key.clone()?, step))
    }

    /// The event for the log, and what it does to the message that it names.
    pub fn into_new_event(
        self,
        device: DeviceId,
        workspace: WorkspaceId,
    ) -> (NewEvent, Option<(MessageKey, MessageStep)>) {
        let dedup_id = self.dedup_id(device);
        let step = MessageStep::of_type(self.kind.as_str());
        let ordering_key = self.key.as_ref().map(|key| key.chat.clone());
        let event = NewEvent {
            workspace,
            kind: self.kind,
            fields: Fields {
                occurred_at: self.at,
                dedup_id,
                ordering_key: ordering_key.filter(|chat| !chat.is_empty()),
                device: Some(device),
                ..Fields::default()
            },
            payload: self.data,
        };
        (event, self.key.zip(step))
    }

    /// What names it within its workspace: a received message by its key, everything else by the frame that carried it.
    ///
    /// A frame's content counts too, so that a gateway that counts its ids from 1 again loses nothing. An event without a
    /// frame id has no name: it may be there twice.
    fn dedup_id(&self, device: DeviceId) -> Option<Box<str>> {
        if self.kind.as_str() == MessageStep::Received.event_type()
            && let Some(key) = &self.key
        {
            return Some(message_name(device, key).into());
        }
        if self.id.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        add(&mut hash, self.id.as_bytes());
        add(&mut hash, self.kind.as_str());
        let at = self.at.map(|at| at.micros().to_be_bytes());
        add(&mut hash, at.as_ref().map_or(&[][..], |at| &at[..]));
        for part in self
            .key
            .iter()
            .flat_map(|key| [&key.chat, &key.sender, &key.id])
        {
            add(&mut hash, part.as_bytes());
        }
        add(&mut hash, &self.data);
        let hash = hash.finalize();
        let name = format!("{device}/frame:{}", hex::encode(&hash[..FRAME_HASH_BYTES]));
        Some(name.into())
    }
}

impl Refusal {
    /// A value that may not be there.
    pub fn invalid(message: impl Into<String>) -> Refusal {
        Refusal {
            code: "invalid_field",
            message: message.into(),
        }
    }
}

/// Readable where that is unambiguous and short enough, otherwise a hash.
fn message_name(device: DeviceId, key: &MessageKey) -> String {
    let MessageKey { chat, sender, id } = key;
    let name = format!("{device}/{chat}/{sender}/{id}");
    let is_ambiguous = [chat, sender, id].iter().any(|part| part.contains('/'));
    if name.len() <= DEDUP_ID_LENGTH_MAX && !is_ambiguous {
        return name;
    }
    let mut hash = Sha256::new();
    for part in [chat, sender, id] {
        add(&mut hash, part.as_bytes());
    }
    format!("{device}/sha256:{}", hex::encode(hash.finalize()))
}

/// Adds a part with its length before it, so that no two lists of parts look alike.
fn add(hash: &mut Sha256, part: impl AsRef<[u8]>) {
    let part = part.as_ref();
    hash.update((part.len() as u64).to_be_bytes());
    hash.update(part);
}
