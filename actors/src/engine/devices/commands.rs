//! Commands to devices: found where the device's session is, sent there, and followed when the session moves.
//!
//! Whoever asks waits until the deadline at most. A gateway that comes back, here or on another node, is asked again under
//! the same id; that it does a thing only once is up to it.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    device::{Command, CommandName, MessageKey},
    ids::{DeviceId, TenantId},
    time::Timestamp,
};
use outbound::bus::BusError;
use store::log::{MessageError, MessageOutcome, OutgoingMessage, Write, WriteError};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    device::{
        DeviceKey, SessionError,
        commands::{MESSAGE_PREFIX, sent_key, write_outcome},
        messages::{Ran, Run},
        remote::{self, Answer, Ask},
    },
    engine::{Engine, EngineError},
    region,
    registry::AskError,
};

/// What ids of commands begin with that send no message.
const COMMAND_PREFIX: &str = "cmd_";
/// How long an answer may take on its way, beyond the command's own time.
pub(super) const WAY: Duration = Duration::from_secs(2);
/// How often a message is put on record while sessions of its device are opened.
const NOTED_TRIES_MAX: u32 = 5;
/// How often a session is looked for that moves.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such device.
    #[error("there is no such device")]
    NotFound,
    /// No gateway is connected.
    #[error("no gateway is connected for the device")]
    Offline,
    /// No result came before the deadline. The gateway may have done it.
    #[error("the device's gateway did not answer in time")]
    TimedOut,
    /// The session was ended, or the device deleted, before a result came. The gateway may have done it.
    #[error("the device's session was ended before its gateway answered")]
    Ended,
    /// The gateway refused.
    #[error("the device's gateway refused: {code}: {message}")]
    Refused {
        /// The gateway's code.
        code: String,
        /// For people.
        message: String,
    },
    /// Too many commands wait for the gateway.
    #[error("too many commands wait for the device's gateway")]
    Busy,
    /// The engine cannot do it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A message that the network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// What we call it.
    pub id: Uuid,
    /// What the network calls it, if the gateway said so.
    pub key: Option<MessageKey>,
}

/// A message that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct UnsentMessage {
    /// What we call it, if it is on record.
    pub id: Option<Uuid>,
    /// Why. It may have been sent all the same.
    #[source]
    pub error: CommandError,
}

impl Engine {
    /// Asks something of a device's gateway and waits for the result: one JSON value.
    pub async fn command(
        &self,
        tenant: TenantId,
        device: DeviceId,
        name: CommandName,
        args: Bytes,
        within: Duration,
    ) -> Result<Bytes, CommandError> {
        let id = format!("{COMMAND_PREFIX}{}", self.fresh_uuid().simple());
        let command = Command {
            id: id.into(),
            name,
            args,
            deadline: self.inner.clock.now().plus(within),
        };
        self.carry_out(DeviceKey { tenant, device }, command).await
    }

    /// Sends a message. It is on record before the gateway is asked; `args`, a JSON object, goes to the gateway with the
    /// message's id in it.
    pub async fn send_message(
        &self,
        tenant: TenantId,
        device: DeviceId,
        chat: String,
        args: Bytes,
        within: Duration,
    ) -> Result<SentMessage, UnsentMessage> {
        let key = DeviceKey { tenant, device };
        let (id, now) = (self.fresh_uuid(), self.inner.clock.now());
        let message = OutgoingMessage {
            id,
            chat: chat.into(),
            body: args.clone(),
            at: now,
        };
        let noted = self.note_outgoing(key, message).await;
        noted.map_err(|error| UnsentMessage { id: None, error })?;
        let name = format!("{MESSAGE_PREFIX}{}", id.simple());
        let command = Command {
            args: with_id(&args, &name),
            id: name.into(),
            name: CommandName::MessageSend,
            deadline: now.plus(within),
        };
        match self.carry_out(key, command).await {
            Ok(data) => Ok(SentMessage {
                id,
                key: sent_key(&data),
            }),
            Err(error) => {
                self.note_unsent(key, id, &error).await;
                let id = Some(id);
                Err(UnsentMessage { id, error })
            }
        }
    }

    /// Puts a message on record, unless its device is deleted: the fence is looked at before the device, and raised after the
    /// device is marked, so that nothing is written behind whoever deletes it.
    async fn note_outgoing(
        &self,
        key: DeviceKey,
        message: OutgoingMessage,
    ) -> Result<(), CommandError> {
        let DeviceKey { tenant, device } = key;
        let region = self.region_of(tenant).await?;
        let log = self.inner.logs.get(region);
        for _ in 0..NOTED_TRIES_MAX {
            let fence = log.device_fence(tenant, device).await;
            let fence = fence.map_err(EngineError::from)?;
            match self.device(tenant, None, device).await {
                Ok(_) => {}
                Err(EngineError::NotFound(_)) => return Err(CommandError::NotFound),
                Err(error) => return Err(error.into()),
            }
            let part = Write::Outgoing {
                tenant,
                device,
                fence,
                message: message.clone(),
            };
            match region::write(&self.inner.regions, region, part).await {
                Ok(()) => return Ok(()),
                // A session was opened in between, or the device is deleted.
                Err(WriteError::DeviceFenced { .. }) => {}
                Err(error) => return Err(EngineError::from(error).into()),
            }
        }
        let contested = "sessions of this device are opened all the time";
        Err(EngineError::Unavailable(contested.into()).into())
    }

    async fn carry_out(&self, key: DeviceKey, command: Command) -> Result<Bytes, CommandError> {
        let outcome = self.follow_session(key, &command).await;
        let name = match &outcome {
            Ok(_) => "done",
            Err(CommandError::NotFound | CommandError::Offline) => "offline",
            Err(CommandError::TimedOut) => "timed_out",
            Err(CommandError::Ended) => "ended",
            Err(CommandError::Refused { .. }) => "refused",
            Err(CommandError::Busy) => "busy",
            Err(CommandError::Engine(_)) => "failed",
        };
        metrics::counter!("device_commands_total", "outcome" => name).increment(1);
        outcome
    }

    /// Sends the command to where the session is, and again whenever that has moved.
    async fn follow_session(
        &self,
        key: DeviceKey,
        command: &Command,
    ) -> Result<Bytes, CommandError> {
        let mut has_moved = false;
        loop {
            let ran = match self.run_once(key, command).await {
                // The gateway that had it first may have done it: nobody is told that nothing was done.
                Err(CommandError::Engine(error)) if has_moved => {
                    debug!(device.id = %key, %error, "{key} is not found again yet: {error}");
                    Ran::Moved
                }
                Err(CommandError::NotFound) if has_moved => Ran::Ended,
                ran => ran?,
            };
            match ran {
                Ran::Done(data) => return Ok(data),
                Ran::Refused { code, message } => {
                    return Err(CommandError::Refused { code, message });
                }
                Ran::TimedOut => return Err(CommandError::TimedOut),
                Ran::Ended => return Err(CommandError::Ended),
                Ran::Busy if !has_moved => return Err(CommandError::Busy),
                Ran::Offline if !has_moved => return Err(CommandError::Offline),
                // The gateway is on its way to another node, or back.
                Ran::Busy | Ran::Offline | Ran::Moved => has_moved = true,
            }
            if self.left(command.deadline).is_zero() {
                return Err(CommandError::TimedOut);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn run_once(&self, key: DeviceKey, command: &Command) -> Result<Ran, CommandError> {
        if self.inner.devices.board.has(&key) {
            return self.run_here(key, command.clone()).await;
        }
        let DeviceKey { tenant, device } = key;
        let found = self.inner.control.device(tenant, device).await;
        let found = found.map_err(EngineError::from)?;
        let found = found.filter(|device| !device.is_leaving);
        let found = found.ok_or(CommandError::NotFound)?;
        let Some(session) = found.session.filter(|_| found.is_live) else {
            return Ok(Ran::Offline);
        };
        if Some(session) == *self.inner.placement.session().borrow() {
            return self.run_here(key, command.clone()).await;
        }
        let ask = Ask::Run {
            tenant,
            device,
            command: command.clone(),
        };
        let within = self.left(command.deadline) + WAY;
        let peers = self.inner.placement.peers();
        match remote::ask(peers, session, &ask, within).await {
            Ok(Answer::Ran(ran)) => Ok(ran),
            Ok(_) => Err(other_version().into()),
            // That node has gone: the gateway will connect elsewhere.
            Err(BusError::NoResponder) => Ok(Ran::Moved),
            Err(BusError::TimedOut | BusError::AnswerLost) => Ok(Ran::TimedOut),
            Err(BusError::Busy) => Ok(Ran::Busy),
            Err(error) => {
                let error = EngineError::Unavailable(format!("the device's node: {error}"));
                Err(error.into())
            }
        }
    }

    /// Sends the command to the actor on this node.
    pub(super) async fn run_here(
        &self,
        key: DeviceKey,
        command: Command,
    ) -> Result<Ran, CommandError> {
        match self.post_to_device(&key, |reply| Run { command, reply }) {
            // An actor that dies meanwhile takes the command with it; its gateway connects again.
            Some(Ok(answer)) => Ok(answer.await.unwrap_or(Ran::Moved)),
            Some(Err(AskError::Full)) => Ok(Ran::Busy),
            Some(Err(error)) => Err(EngineError::from(error).into()),
            None => Ok(Ran::Offline),
        }
    }

    fn left(&self, deadline: Timestamp) -> Duration {
        deadline.since(self.inner.clock.now())
    }

    /// Writes down why a message was not sent. What a gateway says itself is written where its result comes in.
    async fn note_unsent(&self, key: DeviceKey, id: Uuid, error: &CommandError) {
        let code = match error {
            CommandError::Refused { .. } => return,
            CommandError::NotFound | CommandError::Offline => "device_offline",
            CommandError::TimedOut | CommandError::Ended => "device_timeout",
            CommandError::Busy => "overloaded",
            CommandError::Engine(_) => "unavailable",
        };
        let outcome = MessageOutcome::Failed(MessageError {
            code: code.into(),
            message: error.to_string().into(),
        });
        let shared = std::sync::Arc::clone(&self.inner.devices.context);
        if let Err(error) = write_outcome(shared, key, None, (id, outcome)).await {
            let error = SessionError::from(error);
            warn!(device.id = %key, message.id = %id, %error, "that a message of {key} was not sent was not written: {error}");
        }
    }
}

pub(super) fn other_version() -> EngineError {
    EngineError::Unavailable("the device's node speaks another version".into())
}

/// A JSON object with an `id` before everything else.
fn with_id(args: &Bytes, id: &str) -> Bytes {
    let mut out = Vec::with_capacity(args.len() + id.len() + 10);
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(id.as_bytes());
    out.push(b'"');
    let rest = args.trim_ascii();
    let members = rest.strip_prefix(b"{").unwrap_or(rest).trim_ascii_start();
    if !members.starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(members);
    out.into()
}

#[cfg(test)]
mod tests;
