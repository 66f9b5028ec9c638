//! What a device's actor can be asked, and what it answers.
//!
//! Only the words: what is done with them is in the files beside this one.

use actix::prelude::*;
use bytes::Bytes;
use domain::{
    device::{ByeReason, Command, CommandResult, DeviceEvent, EndReason, Report},
    fence::Fence,
    ids::WorkspaceId,
};

use super::{
    link::Link,
    session::{OpenError, Session, SessionError, Transport},
};
use crate::registry::Reply;

/// Opens a session, by force: whoever has one loses it. Answered when the store refuses the writes of all older ones.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Open {
    /// What the gateway calls itself.
    pub gateway: Option<String>,
    /// How it is connected.
    pub transport: Transport,
    /// The way to the connection.
    pub link: Link,
    /// Where to answer.
    pub reply: Reply<Result<Session, OpenError>>,
}

/// The gateway says where it stands. Answered when what follows from it is in the log and in the control plane.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Tell {
    /// The session's.
    pub fence: Fence,
    /// What it says.
    pub report: Report,
    /// Where to answer.
    pub reply: Reply<Result<(), SessionError>>,
}

/// What came of a command. Answered when it is on disk, as far as it has to be.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Resolve {
    /// The session's.
    pub fence: Fence,
    /// What came of it.
    pub result: CommandResult,
    /// Where to answer.
    pub reply: Reply<Result<(), SessionError>>,
}

/// The connection has ended. Answered at once; what follows from it is done afterwards.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Close {
    /// The session's.
    pub fence: Fence,
    /// How it ended.
    pub why: EndReason,
    /// What the device wanted to be said in this case.
    pub will: Option<DeviceEvent>,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Ends the session that there is, unless its events go to `except_in`. Answered when that is in the log and in the control plane:
/// whether there was one to end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct End {
    /// Why.
    pub why: Ending,
    /// A session of this workspace goes on.
    pub except_in: Option<WorkspaceId>,
    /// Where to answer.
    pub reply: Reply<bool>,
}

/// Says of a session whose node died without a word that it was lost. Answered when that is in the log and in the control
/// plane: whether anything was looked for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle {
    /// The session's.
    pub fence: Fence,
    /// Where to answer.
    pub reply: Reply<bool>,
}

/// Why the engine ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// An operator asked for it.
    Disconnected,
    /// The device is deleted.
    Revoked,
    /// The node stops working.
    Shutdown,
}

/// Asks something of the gateway. Answered with what came of it, at the latest at the command's deadline.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Run {
    /// What.
    pub command: Command,
    /// Where to answer.
    pub reply: Reply<Ran>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The gateway did it: one JSON value.
    Done(Bytes),
    /// The gateway refused it.
    Refused {
        /// The gateway's code.
        code: String,
        /// For people.
        message: String,
    },
    /// No result came before the deadline.
    TimedOut,
    /// The session was ended on purpose after the gateway had been asked, which may have done it.
    Ended,
    /// No gateway is connected here.
    Offline,
    /// Too many commands wait for the gateway.
    Busy,
    /// The gateway has gone, or has been told to go, to another node: the command is to be sent there.
    Moved,
}

/// A newer session exists: what is older than `fence` is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Taken {
    /// The newer one's, or a higher one.
    pub fence: Fence,
    /// Where to answer.
    pub reply: Reply<()>,
}

/// Asks what is to be shown to somebody who pairs the device.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ShowPairing {
    /// Where to answer.
    pub reply: Reply<Option<Box<str>>>,
}

impl Ending {
    /// What the log says.
    pub(super) fn reason(self) -> EndReason {
        match self {
            Ending::Disconnected => EndReason::Disconnected,
            Ending::Revoked => EndReason::Revoked,
            Ending::Shutdown => EndReason::Shutdown,
        }
    }

    /// What the gateway is told: after a shutdown it connects again, else it stays down.
    pub(super) fn bye(self) -> ByeReason {
        match self {
            Ending::Disconnected | Ending::Revoked => ByeReason::Revoked,
            Ending::Shutdown => ByeReason::Shutdown,
        }
    }
}
