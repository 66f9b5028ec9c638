//! How a session is opened: by force, in the lease first, then in the region's store, and only then is its connection told.
//!
//! Between the two the older session may still write, and nobody has been told of the newer one: so at no moment are there two
//! that can. What the older one could not say any more is said here, before the connection is told.

use std::sync::{Arc, atomic::Ordering};

use actix::prelude::*;
use domain::{
    device::{ByeReason, Changed, DeviceEvent, DeviceState, EndReason, Standing},
    fence::Fence,
    ids::{TenantId, WorkspaceId},
    region::Region,
};
use store::{
    control::{Holder, OpenedDevice, SessionId},
    log::{Write, WriteError},
};
use tracing::info;

use super::{
    Connection, DeviceActor, DeviceContext, DeviceKey, Live,
    acts::Act,
    facts::{self, Owed, Time},
    jobs::Job,
    link::Watch,
    messages::Open,
    session::{OpenError, Session},
};
use crate::{
    engine::EngineError,
    placement::{NotHeld, changes::SharedChange},
    region,
};

/// How often a fence is raised that turns out to be too low. A restored control plane needs one more.
const TRIES_MAX: u32 = 3;

/// What a node is called that is the only one.
const ALONE: &str = "local";

/// A session that nobody knows of yet.
pub(super) struct Opened {
    fence: Fence,
    workspace: WorkspaceId,
    /// The node's own session under which it was opened.
    under: Option<SessionId>,
    /// The fence of the session before.
    before: Fence,
    unsaid: Option<Unsaid>,
}

/// What a session that ended without a word, or was replaced on another node, had to say last.
struct Unsaid {
    why: EndReason,
    time: Time,
    gateway: Option<String>,
}

impl DeviceContext {
    /// Where the tenant's log is.
    pub(super) async fn region_of(&self, tenant: TenantId) -> Result<Region, EngineError> {
        let found = self.control.tenant(tenant).await?;
        found
            .map(|tenant| tenant.region)
            .ok_or(EngineError::NotFound("tenant"))
    }

    /// Has the next session's fence be higher than what the region's store holds.
    async fn raise_lease(&self, key: DeviceKey, held: Fence) -> Result<(), EngineError> {
        let DeviceKey { tenant, device } = key;
        let raised = self.control.raise_device_fence(tenant, device, held).await;
        Ok(raised?)
    }

    /// Whether the node opens no further session.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// Under which name sessions are opened here.
    fn holder(&self) -> Result<Holder, NotHeld> {
        let session = *self.placement.session().borrow();
        if self.placement.is_shared() && session.is_none() {
            return Err(NotHeld::NoSession);
        }
        Ok(Holder {
            session,
            node: self.placement.node().unwrap_or(ALONE).to_owned(),
            boot: self.boot.clone(),
        })
    }
}

impl DeviceActor {
    /// Opens a session in the place of whatever there is.
    pub(super) fn open(&mut self, open: Open, ctx: &mut Context<Self>) {
        if open.link.is_gone() {
            open.reply.send(Err(has_gone()));
            return;
        }
        if self.shared.is_ending() {
            let ending = "this node is about to end: connect again";
            let error = EngineError::Unavailable(ending.into());
            open.reply.send(Err(error.into()));
            return;
        }
        self.is_busy = true;
        let known = self.live.as_ref().map(|live| live.session.fence);
        let take = take(
            Arc::clone(&self.shared),
            self.key,
            open.gateway.clone(),
            known,
            open.link.watch(),
        );
        ctx.spawn(take.into_actor(self).map(move |taken, actor, ctx| {
            actor.is_busy = false;
            match taken {
                Ok(opened) => actor.opened(opened, open, ctx),
                Err(error) => open.reply.send(Err(error)),
            }
            actor.go_on(ctx);
        }));
    }

    fn opened(&mut self, mut opened: Opened, open: Open, ctx: &mut Context<Self>) {
        let now = self.shared.clock.now();
        let Opened {
            fence,
            workspace,
            under,
            ..
        } = opened;
        self.say_what_is_unsaid(&mut opened, ctx);
        let session = Session::begun(&self.key, workspace, fence, now);
        let place = self.shared.board.put(&session, open.transport);
        info!(device.id = %self.key, fence = fence.get(), "a session of {} was opened under fence {fence}", self.key);
        self.commands.send_all(&open.link);
        let gone = open.link.gone();
        let watch = ctx.spawn(
            gone.into_actor(self)
                .map(move |(), actor, ctx| actor.link_gone(fence, ctx)),
        );
        self.live = Some(Live {
            session: session.clone(),
            standing: Standing::stored(DeviceState::Offline).open().standing,
            reason: None,
            times: 0,
            gateway: open.gateway,
            pairing: None,
            connection: Connection::Up {
                link: open.link,
                watch,
            },
            _place: place,
        });
        self.acts.push_back(Act::Opened(session, open.reply));
        self.leave_lost_node(fence, under, ctx);
        self.tell_opened(fence);
        if self.replaced > fence {
            // Somebody else took the device while this one was on its way here, and said so before it was there to hear it.
            self.replaced_by(self.replaced, ctx);
        }
    }

    /// Tells everybody that older sessions are over.
    fn tell_opened(&self, fence: Fence) {
        let DeviceKey { tenant, device } = self.key;
        self.shared.intake.tell_taken(self.key, fence);
        self.shared
            .placement
            .tell_change(SharedChange::DeviceTaken {
                tenant,
                device,
                fence,
            });
    }

    /// A session that was opened under a session of this node that was lost meanwhile is found by nobody; and one that was opened
    /// when the node had begun to end, by no goodbye. Looked at when it is on the board: whoever is there when the node's session
    /// is lost, or the node begins to end, is told then.
    fn leave_lost_node(&mut self, fence: Fence, under: Option<SessionId>, ctx: &mut Context<Self>) {
        if *self.shared.placement.session().borrow() == under && !self.shared.is_ending() {
            return;
        }
        if let Some(live) = self.live(fence) {
            live.bye(ByeReason::Shutdown, ctx);
        }
        self.jobs.push_front(Job::Close {
            fence,
            why: EndReason::Shutdown,
            will: None,
        });
    }

    /// Ends the session that was here, and appends what the session before has not said, wherever that was.
    fn say_what_is_unsaid(&mut self, opened: &mut Opened, ctx: &mut Context<Self>) {
        let by = (opened.workspace, opened.fence);
        let mut unsaid = opened.unsaid.take();
        let mut data = None;
        if let Some(live) = self.live.take() {
            let (why, will) = self.ending_of(&live);
            self.ended = self.ended.max(live.session.fence);
            // Of one that was replaced on another node before, and has not heard it, all was said there.
            if live.session.fence == opened.before {
                unsaid = (live.standing.state() == DeviceState::Connected).then(|| Unsaid {
                    why,
                    time: live.time(),
                    gateway: live.gateway.clone(),
                });
                let of = live.session.fence;
                data = will.and_then(|will| self.append_will(by, of, will));
            }
            live.replace(ctx);
        }
        let Some(Unsaid { why, time, gateway }) = unsaid else {
            return;
        };
        let Changed { fact, .. } = Standing::stored(DeviceState::Connected).open_after(why);
        if let Some(fact) = fact {
            let now = self.shared.clock.now();
            let event = facts::event(&fact, gateway.as_deref(), time.fence, now, data);
            let owed = Owed::fact(self.key.device, by, time, event);
            self.acts.push_back(Act::Append(Box::new(owed)));
        }
    }

    /// How the session before ended: it may have lost its connection while the new one was being opened.
    fn ending_of(&mut self, live: &Live) -> (EndReason, Option<DeviceEvent>) {
        match self.take_close(live.session.fence) {
            Some((why, will)) => (why, will.map(|will| *will)),
            None => (EndReason::Replaced, None),
        }
    }
}

/// Takes the device, whoever has it, for a connection that is there. `known` is the session that this node still knows all
/// about.
pub(super) async fn take(
    shared: Arc<DeviceContext>,
    key: DeviceKey,
    gateway: Option<String>,
    known: Option<Fence>,
    connection: Watch,
) -> Result<Opened, OpenError> {
    let holder = shared.holder().map_err(EngineError::from)?;
    let region = shared.region_of(key.tenant).await?;
    let by = By {
        holder: &holder,
        gateway: gateway.as_deref(),
        connection: &connection,
    };
    let (opened, first) = raise(&shared, key, region, by).await?;
    let before = Fence::new(first.before_fence);
    let mut unsaid = None;
    if known != Some(before) {
        let log = shared.logs.get(region);
        let of = (opened.workspace, key.device);
        let time = facts::open_time(&*log, key.tenant, of, before, first.before).await;
        unsaid = time.map_err(EngineError::from)?.map(|time| {
            let is_before = time.fence == before;
            let is_elsewhere = first.was_live && first.before_node.as_ref() != Some(&holder.node);
            Unsaid {
                why: if is_elsewhere || !is_before {
                    EndReason::Replaced
                } else {
                    EndReason::Lost
                },
                time,
                gateway: first.before_gateway.filter(|_| is_before),
            }
        });
    }
    Ok(Opened {
        fence: opened.fence,
        workspace: opened.workspace,
        under: holder.session,
        before,
        unsaid,
    })
}

/// Whose session it will be.
#[derive(Clone, Copy)]
struct By<'a> {
    holder: &'a Holder,
    gateway: Option<&'a str>,
    connection: &'a Watch,
}

/// A connection that waited too long. The session that the device has by now must not be replaced by nobody's.
fn has_gone() -> OpenError {
    let gone = "the connection has gone before its session was opened";
    EngineError::Unavailable(gone.into()).into()
}

/// Raises the fence in the lease and then in the region's store. Answers the session, and what was there before it.
async fn raise(
    shared: &DeviceContext,
    key: DeviceKey,
    region: Region,
    by: By<'_>,
) -> Result<(OpenedDevice, OpenedDevice), OpenError> {
    let DeviceKey { tenant, device } = key;
    let (mut before, mut own) = (None, None);
    for _ in 0..TRIES_MAX {
        let now = shared.clock.now();
        // The last moment: with the lease whoever has the device now loses it.
        if by.connection.is_gone() {
            return Err(has_gone());
        }
        let opened = shared
            .control
            .open_device_session(tenant, device, by.holder, by.gateway, now)
            .await
            .map_err(EngineError::from)?
            .ok_or(OpenError::NotFound)?;
        let fence = opened.fence;
        // What this one tried before was no session. But somebody else may have had one in between.
        let before = match before.take() {
            Some(known) if own == Some(opened.before_fence) => before.insert(known),
            Some(_) | None => before.insert(opened.clone()),
        };
        own = Some(fence.get());
        // Raising to the same fence is refused by nobody, because it may be said twice. But if it is there before this session has
        // said it, a control plane that was restored has given it out twice.
        let held = shared.logs.get(region).device_fence(tenant, device).await;
        let held = held.map_err(EngineError::from)?;
        if held >= fence {
            shared.raise_lease(key, held).await?;
            continue;
        }
        let part = Write::OpenDevice {
            tenant,
            device,
            fence,
        };
        match region::write(&shared.regions, region, part).await {
            Ok(()) => return Ok((opened, before.clone())),
            Err(WriteError::DeviceFenced { held, .. }) => shared.raise_lease(key, held).await?,
            Err(error) => return Err(EngineError::from(error).into()),
        }
    }
    let contested = "others open sessions of this device all the time";
    Err(EngineError::Unavailable(contested.into()).into())
}
