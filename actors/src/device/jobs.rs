//! What a device's actor does one after the other, and what each job comes to: acts on the stores, in an order in which a death
//! between two of them harms nobody.
//!
//! The control plane says `connected` before the log does and `offline` after it: so a row that says `connected` is the only
//! one behind which the log may have to be looked at. An act is repeated until it succeeds, or until it is refused because the
//! session is over.

use std::sync::Arc;

use actix::prelude::*;
use domain::{
    device::{Changed, DeviceEvent, DeviceState, EndReason, Fact, Report, Standing},
    fence::Fence,
    ids::WorkspaceId,
};
use tracing::{info, warn};

use super::{
    DeviceActor, DeviceContext, DeviceKey, Live,
    acts::{Act, Row},
    facts::{self, Owed, Time},
    messages::{Ending, Open, Tell},
    session::{Session, SessionError},
};
use crate::{engine::EngineError, registry::Reply};

/// Something that takes its time.
#[derive(Debug)]
pub(super) enum Job {
    /// A session is to be opened.
    Open(Box<Open>),
    /// The gateway says where it stands.
    Tell(Box<Tell>),
    /// A connection has ended.
    Close {
        fence: Fence,
        why: EndReason,
        will: Option<Box<DeviceEvent>>,
    },
    /// The session was ended from outside, unless it is in this workspace.
    End {
        why: Ending,
        except_in: Option<WorkspaceId>,
        reply: Reply<bool>,
    },
    /// A session of a node that died has still to be said to be lost.
    Settle { fence: Fence, reply: Reply<bool> },
}

impl DeviceActor {
    /// Goes on with what is to be done next, if nothing is under way.
    pub(super) fn go_on(&mut self, ctx: &mut Context<Self>) {
        if self.owing.is_none() && !(self.jobs.is_empty() && self.acts.is_empty()) {
            self.owing = Some(self.shared.board.owe());
        }
        while !self.is_busy {
            if let Some(act) = self.acts.pop_front() {
                self.perform(act, ctx);
            } else if let Some(job) = self.jobs.pop_front() {
                self.begin(job, ctx);
            } else {
                self.owing = None;
                self.rest_later(ctx);
                return;
            }
        }
    }

    fn begin(&mut self, job: Job, ctx: &mut Context<Self>) {
        match job {
            Job::Open(open) => self.open(*open, ctx),
            Job::Tell(tell) => self.tell(*tell),
            Job::Close { fence, why, will } => {
                match self.live.take_if(|l| l.session.fence == fence) {
                    Some(live) => self.end(live, why, will.map(|will| *will)),
                    // Of one that has ended it was written down; one that nobody knows here belonged to an actor that died.
                    None if fence <= self.ended => {}
                    None => self.settle(fence, why, None, ctx),
                }
            }
            Job::Settle { fence, reply } => {
                if fence <= self.ended || self.live(fence).is_some() {
                    reply.send(false);
                } else {
                    self.settle(fence, EndReason::Lost, Some(reply), ctx);
                }
            }
            Job::End {
                why,
                except_in,
                reply,
            } => match self.live.take_if(|live| !live.is_in(except_in)) {
                Some(mut live) => {
                    // One that was still being opened when the end was asked for has not been told yet.
                    live.bye(why.bye(), ctx);
                    self.end(live, why.reason(), None);
                    self.acts.push_back(Act::Ended(reply));
                }
                None => reply.send(false),
            },
        }
    }

    /// The gateway says where it stands.
    fn tell(&mut self, tell: Tell) {
        let Tell {
            fence,
            report,
            reply,
        } = tell;
        if let Err(error) = self.check(fence) {
            return reply.send(Err(error));
        }
        let (key, now) = (self.key, self.shared.clock.now());
        let Some(live) = self.live(fence) else { return };
        let before = (live.standing.state(), live.reason.clone());
        let Ok(Changed { standing, fact }) = live.standing.report(&report) else {
            return reply.send(Err(SessionError::Replaced));
        };
        live.standing = standing;
        live.reason = report.reason().map(str::to_owned);
        live.pairing = match report {
            Report::Pairing { qr, .. } => qr.map(Into::into),
            Report::Connected { .. } | Report::Offline { .. } => None,
        };
        let row = live.row(None);
        let has_changed = before != (row.state, row.reason.clone());
        let row = Act::Row(Box::new(row));
        match fact {
            None if !has_changed => {}
            None => self.acts.push_back(row),
            Some(fact @ Fact::Connected { .. }) => {
                live.times += 1;
                let owed = live.owed(key, &fact, now, None);
                self.acts.extend([row, Act::Append(Box::new(owed))]);
            }
            Some(fact @ Fact::Disconnected { .. }) => {
                let owed = live.owed(key, &fact, now, None);
                self.acts.extend([Act::Append(Box::new(owed)), row]);
            }
        }
        self.acts.push_back(Act::Told(fence, reply));
    }

    /// A session that was known here has ended.
    fn end(&mut self, mut live: Live, why: EndReason, will: Option<DeviceEvent>) {
        let now = self.shared.clock.now();
        let session = live.session.clone();
        self.ended = self.ended.max(session.fence);
        info!(device.id = %self.key, fence = session.fence.get(), reason = why.as_str(), "a session of {} has ended: {why}", self.key);
        let was_told = matches!(
            live.standing.state(),
            DeviceState::Offline | DeviceState::Replaced
        );
        let Changed { standing, fact } = live.standing.end(why);
        live.standing = standing;
        let by = (session.workspace, session.fence);
        let instead = will.and_then(|will| self.append_will(by, session.fence, will));
        if let Some(fact) = fact {
            let owed = live.owed(self.key, &fact, now, instead);
            self.acts.push_back(Act::Append(Box::new(owed)));
        }
        // What the gateway said about a device that was not connected any more says more.
        let said = live.reason.clone().filter(|_| was_told);
        let row = live.row(said.or_else(|| Some(why.as_str().to_owned())));
        self.acts.push_back(Act::Row(Box::new(Row {
            is_end: true,
            ..row
        })));
    }

    /// How the connection of the session with this fence has ended, if that waits to be written down.
    pub(super) fn take_close(
        &mut self,
        fence: Fence,
    ) -> Option<(EndReason, Option<Box<DeviceEvent>>)> {
        let is_it = |job: &Job| match job {
            Job::Close { fence: of, .. } => *of == fence,
            Job::Open(_) | Job::Tell(_) | Job::End { .. } | Job::Settle { .. } => false,
        };
        let at = self.jobs.iter().position(is_it)?;
        match self.jobs.remove(at)? {
            Job::Close { why, will, .. } => Some((why, will)),
            Job::Open(_) | Job::Tell(_) | Job::End { .. } | Job::Settle { .. } => None,
        }
    }

    /// Appends what the device left to be said when the session with the fence `of` ends. What is to be said instead of our own
    /// words is answered.
    pub(super) fn append_will(
        &mut self,
        by: (WorkspaceId, Fence),
        of: Fence,
        mut will: DeviceEvent,
    ) -> Option<bytes::Bytes> {
        if will.kind.as_str() == "device.disconnected" {
            return Some(will.data);
        }
        if will.id.is_empty() {
            // It is appended again when nobody knows whether it was: under a name it is there once.
            will.id = format!("will/{of}").into();
        }
        self.acts
            .push_back(Act::Append(Box::new(Owed::will(by, will))));
        None
    }

    /// A session of an actor that died has ended: what is to be said about it stands in the stores. `reply` is answered when it
    /// was said, and dropped if it cannot be.
    fn settle(
        &mut self,
        fence: Fence,
        why: EndReason,
        reply: Option<Reply<bool>>,
        ctx: &mut Context<Self>,
    ) {
        self.is_busy = true;
        let read = find_open(Arc::clone(&self.shared), self.key, fence);
        ctx.spawn(read.into_actor(self).map(move |found, actor, ctx| {
            match found {
                Ok(found) => {
                    actor.ended = actor.ended.max(fence);
                    if let Some(found) = found {
                        actor.settle_found(found, fence, why);
                    }
                    actor.acts.extend(reply.map(Act::Ended));
                }
                Err(error) => {
                    // Whoever opens the next session finds the same.
                    warn!(device.id = %actor.key, %error, "the end of a session of {} was not written: {error}", actor.key);
                }
            }
            actor.is_busy = false;
            actor.go_on(ctx);
        }));
    }

    fn settle_found(&mut self, found: Unsettled, fence: Fence, why: EndReason) {
        let changed = Standing::stored(found.state).end(why);
        let said = found.time.and_then(|time| {
            let Changed { fact, .. } = Standing::stored(DeviceState::Connected).end(why);
            Some((fact?, time))
        });
        if let Some((fact, time)) = said {
            let now = self.shared.clock.now();
            let gateway = found.gateway.as_deref().filter(|_| time.fence == fence);
            let event = facts::event(&fact, gateway, time.fence, now, None);
            let owed = Owed::fact(self.key.device, (found.workspace, fence), time, event);
            self.acts.push_back(Act::Append(Box::new(owed)));
        }
        self.acts.push_back(Act::Row(Box::new(Row {
            fence,
            state: changed.standing.state(),
            reason: Some(why.as_str().to_owned()),
            gateway: found.gateway,
            is_end: true,
        })));
    }
}

impl Live {
    fn row(&self, reason: Option<String>) -> Row {
        Row {
            fence: self.session.fence,
            state: self.standing.state(),
            reason: reason.or_else(|| self.reason.clone()),
            gateway: self.gateway.clone(),
            is_end: false,
        }
    }

    /// What is to be said about the session by itself.
    fn owed(
        &self,
        key: DeviceKey,
        fact: &Fact,
        now: domain::time::Timestamp,
        will: Option<bytes::Bytes>,
    ) -> Owed {
        let Session {
            workspace, fence, ..
        } = self.session;
        let event = facts::event(fact, self.gateway.as_deref(), fence, now, will);
        Owed::fact(key.device, (workspace, fence), self.time(), event)
    }

    pub(super) fn time(&self) -> Time {
        Time {
            fence: self.session.fence,
            no: self.times,
        }
    }
}

/// A session that ended without anybody having written that down.
struct Unsettled {
    workspace: WorkspaceId,
    state: DeviceState,
    gateway: Option<String>,
    /// The time that is still open in the log.
    time: Option<Time>,
}

/// Looks for what an actor that died left behind.
async fn find_open(
    shared: Arc<DeviceContext>,
    key: DeviceKey,
    fence: Fence,
) -> Result<Option<Unsettled>, EngineError> {
    let found = shared.control.device(key.tenant, key.device).await?;
    let Some(device) = found.filter(|device| device.fence == fence.get()) else {
        return Ok(None);
    };
    let log = shared.logs.get(shared.region_of(key.tenant).await?);
    let of = (device.workspace, key.device);
    let time = facts::open_time(&*log, key.tenant, of, fence, device.state).await?;
    Ok(Some(Unsettled {
        workspace: device.workspace,
        state: device.state,
        gateway: device.gateway,
        time,
    }))
}
