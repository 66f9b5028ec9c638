//! What a device's actor does at once when a message comes: everything that touches only the connection and memory. What has
//! to be written becomes a job.

use actix::prelude::*;
use domain::{
    device::{DeviceEvent, EndReason},
    fence::Fence,
};

use super::{
    Connection, DeviceActor,
    jobs::Job,
    messages::{Close, End, Open, Resolve, Run, Settle, ShowPairing, Taken, Tell},
    session::{OpenError, SessionError},
};
use crate::{engine::EngineError, registry::AskError};

/// Jobs that may wait. Only what a connection or somebody outside asks for is refused then.
const JOBS_MAX: usize = 64;

impl DeviceActor {
    fn is_full(&self) -> bool {
        self.jobs.len() >= JOBS_MAX
    }

    fn add(&mut self, job: Job, ctx: &mut Context<Self>) {
        self.jobs.push_back(job);
        self.go_on(ctx);
    }

    /// The session has ended; nobody is told any more.
    pub(super) fn close(
        &mut self,
        fence: Fence,
        why: EndReason,
        will: Option<DeviceEvent>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(live) = self.live(fence)
            && let Connection::Up { watch, .. } =
                std::mem::replace(&mut live.connection, Connection::Down)
        {
            ctx.cancel_future(watch);
        }
        let will = will.map(Box::new);
        self.add(Job::Close { fence, why, will }, ctx);
    }
}

fn overloaded() -> EngineError {
    EngineError::Overloaded(AskError::Full)
}

impl Handler<Open> for DeviceActor {
    type Result = ();

    fn handle(&mut self, open: Open, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        self.last_used_at = now;
        if self.is_full() {
            open.reply.send(Err(overloaded().into()));
            return;
        }
        match self.shared.board.admit(self.key, now) {
            Ok(()) => self.add(Job::Open(Box::new(open)), ctx),
            Err(refused) => open.reply.send(Err(OpenError::Flapping {
                retry_after: refused.0,
            })),
        }
    }
}

impl Handler<Tell> for DeviceActor {
    type Result = ();

    fn handle(&mut self, tell: Tell, ctx: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        if self.is_full() {
            tell.reply.send(Err(overloaded().into()));
        } else {
            self.add(Job::Tell(Box::new(tell)), ctx);
        }
    }
}

impl Handler<Close> for DeviceActor {
    type Result = ();

    fn handle(&mut self, message: Close, ctx: &mut Context<Self>) {
        let Close {
            fence,
            why,
            will,
            reply,
        } = message;
        self.last_used_at = self.shared.clock.now();
        self.close(fence, why, will, ctx);
        reply.send(());
    }
}

impl Handler<End> for DeviceActor {
    type Result = ();

    fn handle(&mut self, message: End, ctx: &mut Context<Self>) {
        let End {
            why,
            except_in,
            reply,
        } = message;
        self.last_used_at = self.shared.clock.now();
        let goes_on = self.live.as_ref().is_some_and(|live| live.is_in(except_in));
        if !goes_on {
            if let Some(live) = &mut self.live {
                live.bye(why.bye(), ctx);
            }
            self.commands.end(why, ctx);
        }
        let job = Job::End {
            why,
            except_in,
            reply,
        };
        self.add(job, ctx);
    }
}

impl Handler<Settle> for DeviceActor {
    type Result = ();

    fn handle(&mut self, Settle { fence, reply }: Settle, ctx: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        self.add(Job::Settle { fence, reply }, ctx);
    }
}

impl Handler<Run> for DeviceActor {
    type Result = ();

    fn handle(&mut self, Run { command, reply }: Run, ctx: &mut Context<Self>) {
        self.last_used_at = self.shared.clock.now();
        self.run(command, reply, ctx);
    }
}

impl Handler<Resolve> for DeviceActor {
    type Result = ();

    fn handle(&mut self, message: Resolve, ctx: &mut Context<Self>) {
        if let Err(error) = self.check(message.fence) {
            message.reply.send(Err(error));
            return;
        }
        self.resolve(message, ctx);
    }
}

impl Handler<Taken> for DeviceActor {
    type Result = ();

    fn handle(&mut self, Taken { fence, reply }: Taken, ctx: &mut Context<Self>) {
        self.replaced_by(fence, ctx);
        reply.send(());
    }
}

impl Handler<ShowPairing> for DeviceActor {
    type Result = ();

    fn handle(&mut self, ShowPairing { reply }: ShowPairing, _: &mut Context<Self>) {
        reply.send(self.live.as_ref().and_then(|live| live.pairing.clone()));
    }
}

impl DeviceActor {
    /// Whether the session with this fence is the one that there is.
    pub(super) fn check(&mut self, fence: Fence) -> Result<(), SessionError> {
        if self.live(fence).is_some() {
            return Ok(());
        }
        let newest = self
            .live
            .as_ref()
            .map_or(self.replaced, |live| live.session.fence.max(self.replaced));
        if fence < newest {
            return Err(SessionError::Replaced);
        }
        Err(has_ended())
    }
}

/// It was ended, or this actor has begun anew: the connection is told, or finds out.
pub(super) fn has_ended() -> SessionError {
    let ended = "the device's session has ended on this node";
    EngineError::Unavailable(ended.into()).into()
}
