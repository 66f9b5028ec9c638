//! Commands that wait for their results: sent to the gateway, and sent again when it comes back before their deadline.
//!
//! A gateway may be asked the same thing twice, under the same id; it is for the gateway to do it once. What became of a
//! message is written down whether or not anybody still waits for it.

use std::{sync::Arc, time::Duration};

use actix::{SpawnHandle, prelude::*};
use bytes::Bytes;
use domain::{
    device::{Command, CommandResult, MessageKey, RefusedBy},
    fence::Fence,
};
use serde::Deserialize;
use store::log::{MessageError, MessageOutcome, Write, WriteError};
use tracing::warn;
use uuid::Uuid;

use super::{
    DeviceActor, DeviceContext, DeviceKey,
    intake::NotTaken,
    link::{Link, NotSent, WAITING_MAX},
    messages::{Ending, Ran, Resolve},
    session::SessionError,
};
use crate::{region, registry::Reply};

/// What ids of messages begin with.
pub(crate) const MESSAGE_PREFIX: &str = "msg_";

/// Commands without a result, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Commands {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    command: Command,
    reply: Reply<Ran>,
    deadline: SpawnHandle,
}

/// What the result of a sent message may say about it.
#[derive(Default, Deserialize)]
struct Sent {
    #[serde(default)]
    key: Option<MessageKey>,
}

impl Commands {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends all of them to a gateway that has just come.
    pub(super) fn send_all(&self, link: &Link) {
        for waiting in &self.waiting {
            // It has room for all of them; a connection that has gone again tells so itself.
            link.send(waiting.command.clone()).ok();
        }
    }

    /// The gateway goes to another node, and with it the commands.
    pub(super) fn move_on(&mut self, ctx: &mut Context<DeviceActor>) {
        self.answer_all(&Ran::Moved, ctx);
    }

    /// The session is ended from outside. All that wait have been told to the gateway, which may have done them.
    pub(super) fn end(&mut self, why: Ending, ctx: &mut Context<DeviceActor>) {
        let answer = match why {
            Ending::Shutdown => Ran::Moved,
            Ending::Disconnected | Ending::Revoked => Ran::Ended,
        };
        self.answer_all(&answer, ctx);
    }

    fn answer_all(&mut self, answer: &Ran, ctx: &mut Context<DeviceActor>) {
        for waiting in self.waiting.drain(..) {
            ctx.cancel_future(waiting.deadline);
            waiting.reply.send(answer.clone());
        }
    }

    fn take(&mut self, id: &str) -> Option<Waiting> {
        let at = self
            .waiting
            .iter()
            .position(|waiting| &*waiting.command.id == id)?;
        Some(self.waiting.remove(at))
    }
}

impl DeviceActor {
    /// Sends a command and waits for its result.
    pub(super) fn run(&mut self, command: Command, reply: Reply<Ran>, ctx: &mut Context<Self>) {
        let Some(link) = self.link() else {
            reply.send(Ran::Offline);
            return;
        };
        if self.commands.waiting.len() >= WAITING_MAX {
            reply.send(Ran::Busy);
            return;
        }
        match link.send(command.clone()) {
            Ok(()) => {}
            Err(NotSent::Full) => return reply.send(Ran::Busy),
            Err(NotSent::Gone) => return reply.send(Ran::Offline),
        }
        let left: Duration = command.deadline.since(self.shared.clock.now());
        let id = command.id.clone();
        let deadline = ctx.run_later(left, move |actor, ctx| {
            if let Some(waiting) = actor.commands.take(&id) {
                waiting.reply.send(Ran::TimedOut);
                actor.rest_later(ctx);
            }
        });
        self.commands.waiting.push(Waiting {
            command,
            reply,
            deadline,
        });
    }

    /// Takes the result of a command: writes down what became of a message, and then answers those who wait.
    pub(super) fn resolve(&mut self, resolve: Resolve, ctx: &mut Context<Self>) {
        let Resolve {
            fence,
            result,
            reply,
        } = resolve;
        let Some(message) = message_id(&result.id) else {
            self.answer(result, ctx);
            reply.send(Ok(()));
            return;
        };
        let write = write_outcome(
            Arc::clone(&self.shared),
            self.key,
            Some(fence),
            (message, outcome(&result)),
        );
        ctx.spawn(write.into_actor(self).map(move |written, actor, ctx| {
            let told = match written {
                Ok(()) => {
                    actor.answer(result, ctx);
                    Ok(())
                }
                // Whoever has the device now is asked the same, and has the last word.
                Err(NotTaken::Fenced { held }) => {
                    actor.replaced_by(held, ctx);
                    Err(SessionError::Replaced)
                }
                Err(error) => {
                    let error = SessionError::from(error);
                    warn!(device.id = %actor.key, message.id = %message, %error, "what became of a message of {} was not written: {error}", actor.key);
                    Err(error)
                }
            };
            reply.send(told);
        }));
    }

    fn answer(&mut self, result: CommandResult, ctx: &mut Context<Self>) {
        // Of one that nobody waits for any more nobody is told.
        if let Some(waiting) = self.commands.take(&result.id) {
            ctx.cancel_future(waiting.deadline);
            waiting.reply.send(match result.outcome {
                Ok(data) => Ran::Done(data),
                Err(RefusedBy { code, message }) => Ran::Refused { code, message },
            });
        }
        self.rest_later(ctx);
    }
}

/// The message that a command sends, if it sends one.
fn message_id(command: &str) -> Option<Uuid> {
    let id = command.strip_prefix(MESSAGE_PREFIX)?;
    Uuid::try_parse(id).ok()
}

/// What the result of a command says about the message that it sent.
pub(crate) fn sent_key(data: &Bytes) -> Option<MessageKey> {
    let sent: Sent = serde_json::from_slice(data).unwrap_or_default();
    sent.key.filter(|key| key.check().is_ok())
}

fn outcome(result: &CommandResult) -> MessageOutcome {
    match &result.outcome {
        Ok(data) => MessageOutcome::Sent(sent_key(data)),
        Err(RefusedBy { code, message }) => MessageOutcome::Failed(MessageError {
            code: code.as_str().into(),
            message: message.as_str().into(),
        }),
    }
}

/// Writes down what became of a message, as a session says it, or else as the engine does.
pub(crate) async fn write_outcome(
    shared: Arc<DeviceContext>,
    key: DeviceKey,
    by: Option<Fence>,
    (id, outcome): (Uuid, MessageOutcome),
) -> Result<(), NotTaken> {
    let part = Write::Outcome {
        tenant: key.tenant,
        device: key.device,
        by,
        id,
        outcome,
        at: shared.clock.now(),
    };
    let region = shared.region_of(key.tenant).await;
    let region = region.map_err(NotTaken::Engine)?;
    match region::write(&shared.regions, region, part).await {
        Ok(()) => Ok(()),
        Err(WriteError::DeviceFenced { held, .. }) => Err(NotTaken::Fenced { held }),
        Err(error) => Err(NotTaken::Engine(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_calls_a_message_is_taken_from_its_result() {
        let data = Bytes::from_static(br#"{"key":{"chat":"c","sender":"","id":"x"},"more":1}"#);
        let key = sent_key(&data).unwrap();
        assert_eq!((&*key.chat, &*key.sender, &*key.id), ("c", "", "x"));
        for other in ["null", "[]", "{}", r#"{"key":{"chat":"","id":"x"}}"#] {
            assert_eq!(sent_key(&Bytes::from(other)), None, "{other}");
        }
    }
}
