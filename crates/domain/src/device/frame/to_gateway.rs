//! What the engine sends: written by the engine, read by our client.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    FrameError, ToGateway,
    members::{Members, Writer, exact, need, need_text},
};
use crate::{
    device::{ByeReason, Command, Refusal},
    fence::Fence,
    position::Position,
    time::Timestamp,
};

/// `error` of a nack.
#[derive(Serialize, Deserialize)]
struct Wrong {
    code: Box<str>,
    #[serde(default)]
    message: String,
}

pub(super) fn parse(text: &Bytes) -> Result<ToGateway, FrameError> {
    let members = Members::of(text)?;
    read(text, &members).map_err(|refusal| FrameError {
        id: need_text("id", members.id).ok(),
        ..refusal.into()
    })
}

fn read(text: &Bytes, members: &Members<'_>) -> Result<ToGateway, Refusal> {
    let kind: Box<str> = need("kind", members.kind)?;
    match kind.as_ref() {
        "welcome" => Ok(ToGateway::Welcome {
            device: need("device", members.device)?,
            fence: need::<Fence>("fence", members.fence)?,
            heartbeat_seconds: need("heartbeat_seconds", members.heartbeat_seconds)?,
        }),
        "command" => command(text, members).map(ToGateway::Command),
        "ack" => Ok(ToGateway::Ack {
            id: need_text("id", members.id)?,
            position: need::<Position>("position", members.position)?,
        }),
        "nack" => {
            let error: Wrong = need("error", members.error)?;
            Ok(ToGateway::Nack {
                id: need_text("id", members.id).ok(),
                code: error.code,
                message: error.message,
            })
        }
        "bye" => need::<ByeReason>("reason", members.reason).map(ToGateway::Bye),
        "pong" => Ok(ToGateway::Pong),
        _ => Err(Refusal::invalid(
            "kind: expected welcome, command, ack, nack, bye or pong",
        )),
    }
}

fn command(text: &Bytes, members: &Members<'_>) -> Result<Command, Refusal> {
    let args = members
        .args
        .filter(|raw| raw.get().starts_with('{'))
        .ok_or_else(|| Refusal::invalid("args: expected an object"))?;
    Ok(Command {
        id: need_text("id", members.id)?,
        name: need("name", members.name)?,
        args: exact(text, "args", args)?,
        deadline: need::<Timestamp>("deadline", members.deadline)?,
    })
}

pub(super) fn write(frame: &ToGateway) -> String {
    match frame {
        ToGateway::Welcome {
            device,
            fence,
            heartbeat_seconds,
        } => Writer::new("welcome", 0)
            .value("device", device)
            .number("fence", fence.get())
            .number("heartbeat_seconds", u64::from(*heartbeat_seconds))
            .end(),
        ToGateway::Command(command) => Writer::new("command", command.args.len())
            .text("id", &command.id)
            .text("name", command.name.as_str())
            .exact("args", &command.args)
            .value("deadline", &command.deadline)
            .end(),
        ToGateway::Ack { id, position } => Writer::new("ack", 0)
            .text("id", id)
            .number("position", position.get())
            .end(),
        ToGateway::Nack { id, code, message } => {
            let error = Wrong {
                code: code.clone(),
                message: message.clone(),
            };
            Writer::new("nack", 0)
                .maybe_text("id", id.as_deref())
                .value("error", &error)
                .end()
        }
        ToGateway::Bye(reason) => Writer::new("bye", 0).text("reason", reason.as_str()).end(),
        ToGateway::Pong => Writer::new("pong", 0).end(),
    }
}
