//! A message as the API shows it: as it stands now, with the bytes that were sent or came.

use std::fmt;

use bytes::Bytes;
use domain::{device::MessageState, ids::EventId, position::Position, time::Timestamp};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use store::log::{Direction, Message};
use uuid::Uuid;

/// One message, whatever was told of it in whatever order.
#[derive(Serialize)]
pub(super) struct ShownMessage<'a> {
    id: ShownId,
    direction: &'static str,
    chat: &'a str,
    sender: &'a str,
    message_id: Option<&'a str>,
    state: Option<MessageState>,
    at: Timestamp,
    changed_at: Timestamp,
    position: Option<Position>,
    edited: Option<Position>,
    deleted: Option<Position>,
    error: Option<ShownError<'a>>,
    sent: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    edit: Option<&'a RawValue>,
}

/// Why a message was not sent.
#[derive(Serialize)]
struct ShownError<'a> {
    code: &'a str,
    message: &'a str,
}

/// A message that was sent here has a name of its own, every other one that of the event which told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownId {
    /// Sent through the API.
    Sent(Uuid),
    /// Told of by a gateway.
    Told(EventId),
}

impl ShownMessage<'_> {
    /// A message, with the payloads of the event that told of it and of its last edit as far as they are still here.
    pub(super) fn new<'a>(
        message: &'a Message,
        payload: Option<&'a Bytes>,
        edit: Option<&'a Bytes>,
    ) -> ShownMessage<'a> {
        let error = message.error.as_ref().map(|error| ShownError {
            code: &error.code,
            message: &error.message,
        });
        ShownMessage {
            id: match message.body {
                Some(_) => ShownId::Sent(message.id),
                None => ShownId::Told(EventId::from_uuid(message.id)),
            },
            direction: match message.direction {
                Direction::In => "in",
                Direction::Out => "out",
            },
            chat: &message.chat,
            sender: &message.sender,
            message_id: message.network_id.as_deref(),
            state: message.state,
            at: message.at,
            changed_at: message.changed_at,
            position: message.position,
            edited: message.edited,
            deleted: message.deleted,
            error,
            sent: message.body.as_ref().and_then(raw),
            payload: payload.and_then(raw),
            edit: edit.and_then(raw),
        }
    }
}

/// What was JSON when it came in. A damaged row shows nothing, instead of spoiling the list.
fn raw(bytes: &Bytes) -> Option<&RawValue> {
    serde_json::from_slice(bytes).ok()
}

impl fmt::Display for ShownId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShownId::Sent(id) => write!(f, "msg_{}", id.as_simple()),
            ShownId::Told(id) => write!(f, "{id}"),
        }
    }
}

impl Serialize for ShownId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
