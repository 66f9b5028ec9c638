//! What a region keeps of its devices: the fence of each one's session, its credentials, and its messages one row each.
//!
//! The words only. What the steps of one commit come to is [`joined`], how rows hold it is [`rows`]; SQL is each database's.
//!
//! A message is named by its [`MessageKey`], and steps towards it may come in any order: an edit, a deletion or a receipt
//! that is there first makes the row, and the message fills it in. Everything that a row holds only ever grows towards the
//! same end, so that no order has to be kept between the parts that speak of one message.

pub(in crate::log) mod joined;
pub(in crate::log) mod rows;

use bytes::Bytes;
use domain::{
    device::{MessageKey, MessageState, MessageStep},
    fence::Fence,
    ids::{DeviceId, EventId},
    position::Position,
    time::Timestamp,
};
use uuid::Uuid;

use super::WriteError;

/// What one event of a device does to the message that it names. Written with the event, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageMark {
    /// Whose message.
    pub device: DeviceId,
    /// Which one.
    pub key: MessageKey,
    /// What the event does to it.
    pub step: MessageStep,
    /// The event. A message that the device told of is called by the event that did.
    pub event: EventId,
    /// Where the event stands.
    pub position: Position,
    /// When it happened.
    pub at: Timestamp,
}

/// A message on its way out, before the device has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// What we call it. Sorts by the moment when it was made, as the ids of events do.
    pub id: Uuid,
    /// To whom.
    pub chat: Box<str>,
    /// All of it, as the command says it.
    pub body: Bytes,
    /// When it was accepted.
    pub at: Timestamp,
}

/// What became of a message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The network has it, and calls it so from now on if the device said how.
    Sent(Option<MessageKey>),
    /// The device refused it, or could not send it.
    Failed(MessageError),
}

/// Why a message was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageError {
    /// For programs.
    pub code: Box<str>,
    /// For people.
    pub message: Box<str>,
}

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Somebody sent it to the device.
    In,
    /// The device sent it: told to by the engine, or by itself (its key has no sender).
    Out,
}

/// One message as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What we call it: the id under which it was sent, else that of the event that told of it (of the first event that
    /// spoke of it, while none told of it itself).
    pub id: Uuid,
    /// Which way it goes.
    pub direction: Direction,
    /// With whom.
    pub chat: Box<str>,
    /// Who sent it; empty for the device itself.
    pub sender: Box<str>,
    /// What the network calls it; none while it is on its way out.
    pub network_id: Option<Box<str>>,
    /// How far it came; none for one that came in and of which no receipt says anything.
    pub state: Option<MessageState>,
    /// When it was accepted, or told of.
    pub at: Timestamp,
    /// When anything about it happened last.
    pub changed_at: Timestamp,
    /// The event that told of it.
    pub position: Option<Position>,
    /// Its last edit.
    pub edited: Option<Position>,
    /// Its deletion.
    pub deleted: Option<Position>,
    /// What was sent, of one that the engine sent.
    pub body: Option<Bytes>,
    /// Why it failed, if it did.
    pub error: Option<MessageError>,
}

/// Which messages of a device; newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageQuery {
    /// Whose.
    pub device: DeviceId,
    /// Only older ones than this one …
    pub before: Option<Uuid>,
    /// … and newer ones than this one.
    pub after: Option<Uuid>,
    /// Only of this chat.
    pub chat: Option<Box<str>>,
    /// Only in this direction.
    pub direction: Option<Direction>,
    /// Only those that came so far and no further.
    pub state: Option<MessageState>,
    /// Messages a page.
    pub limit: u32,
    /// Messages looked at for a page.
    pub scan_max: u32,
}

/// One page of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessagePage {
    /// The matches, newest first.
    pub messages: Vec<Message>,
    /// The last message that was looked at, if there may be more: go on before it.
    pub next: Option<Uuid>,
}

/// Why nothing is taken under a device's fence, if a higher one is held.
pub(in crate::log) fn replaced(device: DeviceId, fence: Fence, held: Fence) -> Option<WriteError> {
    (held > fence).then_some(WriteError::DeviceFenced { device, held })
}

/// What a device's connector keeps with the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The session that wrote them; 0 if there had been none yet.
    pub fence: Fence,
    /// What it wrote, sealed by the caller.
    pub sealed: Bytes,
    /// When.
    pub at: Timestamp,
}
