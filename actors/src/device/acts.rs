//! The steps that a device's jobs come to, each on one store: done one after the other, and again until they succeed or turn out
//! to come from a session that is over.
//!
//! Decides nothing about which steps there are.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use domain::{device::DeviceState, fence::Fence};
use store::control::Device;
use tracing::warn;

use super::{
    DeviceActor, DeviceContext, DeviceItem, DeviceKey,
    facts::Owed,
    intake::NotTaken,
    messages::Ending,
    session::{OpenError, Session, SessionError},
};
use crate::{engine::EngineError, registry::Reply};

/// How long an act waits before it is tried again: at first, and at most.
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// One step of a job.
#[derive(Debug)]
pub(super) enum Act {
    /// Something is appended to the tenant's log.
    Append(Box<Owed>),
    /// The control plane is told the state.
    Row(Box<Row>),
    /// A session that was opened is handed to its connection.
    Opened(Session, Reply<Result<Session, OpenError>>),
    /// The gateway's report is taken over.
    Told(Fence, Reply<Result<(), SessionError>>),
    /// The session is ended, or its end was said.
    Ended(Reply<bool>),
}

/// What the control plane is told.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) fence: Fence,
    pub(super) state: DeviceState,
    pub(super) reason: Option<String>,
    pub(super) gateway: Option<String>,
    /// Whether the session is over, so that the lease is free.
    pub(super) is_end: bool,
}

/// What became of an act.
enum Acted {
    Done,
    /// The session is over: somebody holds this fence, or a higher one.
    Replaced(Fence),
    /// The control plane does not know the session with this fence, and no newer one.
    Unknown(Fence, Ending),
    /// It may succeed later.
    Again(Option<Duration>, String),
    /// It will never succeed.
    Never(String),
}

impl DeviceActor {
    /// Begins one step.
    pub(super) fn perform(&mut self, act: Act, ctx: &mut Context<Self>) {
        let (shared, key) = (Arc::clone(&self.shared), self.key);
        match act {
            Act::Append(owed) => {
                let batch = owed.batch(key.tenant, key.device);
                let put = async move { appended(shared.intake.put(batch).await) };
                self.wait_for(put, Act::Append(owed), ctx);
            }
            Act::Row(row) => {
                let write = write_row(shared, key, (*row).clone());
                self.wait_for(write, Act::Row(row), ctx);
            }
            Act::Opened(session, reply) => reply.send(Ok(session)),
            Act::Told(_, reply) => reply.send(Ok(())),
            Act::Ended(reply) => reply.send(true),
        }
    }

    fn wait_for(
        &mut self,
        acted: impl Future<Output = Acted> + 'static,
        act: Act,
        ctx: &mut Context<Self>,
    ) {
        self.is_busy = true;
        ctx.spawn(
            acted
                .into_actor(self)
                .map(move |acted, actor, ctx| actor.acted(acted, act, ctx)),
        );
    }

    fn acted(&mut self, acted: Acted, act: Act, ctx: &mut Context<Self>) {
        match acted {
            Acted::Done => {}
            Acted::Replaced(held) => {
                self.is_busy = false;
                self.failures = 0;
                self.replaced_by(held, ctx);
                return;
            }
            Acted::Unknown(fence, why) => {
                warn!(device.id = %self.key, fence = fence.get(), "the control plane does not know the session of {}", self.key);
                self.is_busy = false;
                self.failures = 0;
                self.unknown(fence, why, ctx);
                return;
            }
            Acted::Again(after, why) => {
                let pause = AGAIN_FIRST
                    .saturating_mul(1 << self.failures.min(8))
                    .min(AGAIN_MAX);
                let pause = after.unwrap_or(pause);
                self.failures += 1;
                warn!(device.id = %self.key, "a change of {} is not written yet: {why}", self.key);
                self.acts.push_front(act);
                ctx.run_later(pause, |actor, ctx| {
                    actor.is_busy = false;
                    actor.go_on(ctx);
                });
                return;
            }
            Acted::Never(why) => {
                warn!(device.id = %self.key, "a change of {} cannot be written: {why}", self.key);
            }
        }
        self.is_busy = false;
        self.failures = 0;
        self.go_on(ctx);
    }

    /// Gives up what sessions below `held` still had to do.
    pub(super) fn drop_acts(&mut self, held: Fence) {
        for act in std::mem::take(&mut self.acts) {
            match act {
                Act::Append(owed) if owed.fence < held => {}
                Act::Row(row) if row.fence < held => {}
                Act::Told(fence, reply) if fence < held => reply.send(Err(SessionError::Replaced)),
                act @ (Act::Append(_)
                | Act::Row(_)
                | Act::Opened(..)
                | Act::Told(..)
                | Act::Ended(_)) => self.acts.push_back(act),
            }
        }
    }
}

fn appended(put: Result<Vec<DeviceItem>, NotTaken>) -> Acted {
    match put {
        Ok(items) => match items.into_iter().next() {
            Some(DeviceItem::Refused { message, .. }) => Acted::Never(message),
            Some(DeviceItem::Stored(_) | DeviceItem::Duplicate(_)) | None => Acted::Done,
        },
        Err(NotTaken::Fenced { held }) => Acted::Replaced(held),
        Err(NotTaken::RateLimited { retry_after }) => {
            Acted::Again(Some(retry_after), "the plan's events are spent".to_owned())
        }
        Err(error @ (NotTaken::NotHere(_) | NotTaken::Engine(_))) => {
            let error = SessionError::from(error);
            if error.is_passing() {
                Acted::Again(None, error.to_string())
            } else {
                Acted::Never(error.to_string())
            }
        }
    }
}

async fn write_row(shared: Arc<DeviceContext>, key: DeviceKey, row: Row) -> Acted {
    let now = shared.clock.now();
    let (tenant, device) = (key.tenant, key.device);
    let reason = row.reason.as_deref();
    let control = &shared.control;
    let written = if row.is_end {
        control
            .close_device_session(tenant, device, row.fence, row.state, reason, now)
            .await
    } else {
        let gateway = row.gateway.as_deref();
        control
            .set_device_state(tenant, device, row.fence, row.state, reason, gateway, now)
            .await
    };
    match written {
        Ok(true) => Acted::Done,
        // Somebody else has the row by now; an end has nothing more to say.
        Ok(false) if row.is_end => Acted::Done,
        Ok(false) => match control.device(tenant, device).await {
            Ok(found) => not_its_row(row.fence, found.as_ref()),
            Err(error) => failed(error.into()),
        },
        Err(error) => failed(error.into()),
    }
}

/// What it means that a session's fence is not that of its device's row.
fn not_its_row(fence: Fence, row: Option<&Device>) -> Acted {
    let Some(row) = row else {
        return Acted::Unknown(fence, Ending::Revoked);
    };
    match Fence::new(row.fence).cmp(&fence) {
        Greater => Acted::Replaced(Fence::new(row.fence)),
        // A control plane that was restored from an older copy: the gateway is to open another session, which makes it catch up.
        Less => Acted::Unknown(fence, Ending::Shutdown),
        Equal => Acted::Again(None, "the device's row has just come back".to_owned()),
    }
}

fn failed(error: EngineError) -> Acted {
    let error = SessionError::from(error);
    if error.is_passing() {
        Acted::Again(None, error.to_string())
    } else {
        Acted::Never(error.to_string())
    }
}
