//! The frames of the gateway protocol, in both directions: one JSON object each.
//!
//! Members that are not understood are passed over, so that either side may be the newer one; kinds that are not understood
//! are errors. Payloads stay slices of their frame, byte for byte. Whether an event may be sent is [`DeviceEvent::check`].

mod from_gateway;
mod members;
mod to_gateway;

use bytes::Bytes;

use super::{ByeReason, Command, CommandResult, DeviceEvent, Refusal, Report};
use crate::{event::PAYLOAD_LENGTH_MAX, fence::Fence, ids::DeviceId, position::Position};

/// The subprotocol that both sides name when they open the WebSocket.
pub const SUBPROTOCOL: &str = "trunkline.v1";
/// The largest frame, in bytes: the largest payload and room for what is around it.
pub const FRAME_BYTES_MAX: usize = PAYLOAD_LENGTH_MAX + 16 * 1024;
/// The longest text to show as a QR code, in bytes.
pub const QR_LENGTH_MAX: usize = 4 * 1024;
/// The deepest nesting of `data` and `args`.
pub const DEPTH_MAX: usize = 64;

/// What a gateway says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromGateway {
    /// The first frame.
    Hello {
        /// Name and version of the gateway, such as `baileys/1.2`.
        gateway: Box<str>,
    },
    /// Where the device stands.
    State(Report),
    /// Something happened.
    Event(DeviceEvent),
    /// What came of a command.
    Result(CommandResult),
    /// Are you there?
    Ping,
}

/// What the engine says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToGateway {
    /// The session is open.
    Welcome {
        /// Whose session it is.
        device: DeviceId,
        /// The number of the session: grows with each.
        fence: Fence,
        /// How often the gateway should say something.
        heartbeat_seconds: u32,
    },
    /// Something to do.
    Command(Command),
    /// An event is durable.
    Ack {
        /// The frame's id.
        id: Box<str>,
        /// Where the event stands in the tenant's log.
        position: Position,
    },
    /// A frame is refused: sending it again will not help.
    Nack {
        /// The frame's id, if it could be read.
        id: Option<Box<str>>,
        /// The code of the API.
        code: Box<str>,
        /// What was expected.
        message: String,
    },
    /// The session is over.
    Bye(ByeReason),
    /// I am here.
    Pong,
}

/// Why a text is no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FrameError {
    /// The frame's id, if it could be read.
    pub id: Option<Box<str>>,
    /// The code of the API.
    pub code: &'static str,
    /// What was expected.
    pub message: String,
}

impl FromGateway {
    /// Reads what a gateway sent.
    pub fn parse(text: &Bytes) -> Result<FromGateway, FrameError> {
        from_gateway::parse(text)
    }

    /// The frame as text.
    pub fn write(&self) -> String {
        from_gateway::write(self)
    }
}

impl ToGateway {
    /// Reads what the engine sent.
    pub fn parse(text: &Bytes) -> Result<ToGateway, FrameError> {
        to_gateway::parse(text)
    }

    /// The frame as text.
    pub fn write(&self) -> String {
        to_gateway::write(self)
    }
}

impl FrameError {
    /// The nack that tells the gateway.
    pub fn nack(&self) -> ToGateway {
        ToGateway::Nack {
            id: self.id.clone(),
            code: self.code.into(),
            message: self.message.clone(),
        }
    }
}

impl From<Refusal> for FrameError {
    fn from(refusal: Refusal) -> FrameError {
        FrameError {
            id: None,
            code: refusal.code,
            message: refusal.message,
        }
    }
}
