//! What this node holds: claimed when it is needed, kept while anything uses it, released a short while after.
//!
//! For one tenant one thing happens at a time: it is claimed, held, handed over or released, and whoever comes meanwhile
//! waits for the end of that or uses it. Locks are held for a look only, never over a question to the control plane.

mod claims;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::{fence::Fence, ids::TenantId};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tracing::warn;

use super::{NotHeld, Shared, Standing, session::Session};

/// The right to work for a tenant. While any clone of it lives the lease stays with this node, as far as that is up to it.
#[derive(Clone, Debug)]
pub struct Hold(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Alone,
    Leased(Arc<Token>),
}

/// One grant of a lease.
pub(super) struct Token {
    tenant: TenantId,
    fence: Fence,
    session: Arc<Session>,
    /// Somebody was granted a higher fence, whatever the session says.
    is_void: AtomicBool,
    shared: Weak<Shared>,
}

/// What is known here of one tenant.
enum Slot {
    /// The control plane is being asked; the end of that is told here.
    Asking(Done),
    /// It is ours.
    Ours(Ours),
    /// It is being handed over.
    Departing(Done),
}

/// Tells the end of something: what became of it, or that it was broken off if the sender is gone.
pub(super) type Done = watch::Receiver<Option<NotHeld>>;

struct Ours {
    fence: Fence,
    session: Arc<Session>,
    /// Gone when nothing uses it: then it lingers.
    token: Weak<Token>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Holds {
    slots: Mutex<HashMap<TenantId, Slot>>,
}

/// What a quick look finds.
pub(super) enum Look {
    /// It is held here, under a session that stands like this.
    Held(Standing),
    /// It is being handed over.
    Departing(Done),
    /// Nothing is known here, or it is being asked for.
    Nothing,
}

/// What is to be given up.
pub(super) struct Parting {
    pub(super) fence: Fence,
    pub(super) session: Arc<Session>,
    token: Weak<Token>,
    /// Those who come meanwhile wait until this is dropped.
    _done: watch::Sender<Option<NotHeld>>,
}

impl Hold {
    /// Of a node that nobody shares its stores with.
    pub fn alone() -> Hold {
        Hold(Kind::Alone)
    }

    /// What every write for the tenant carries.
    pub fn fence(&self) -> Fence {
        match &self.0 {
            Kind::Alone => Fence::FIRST,
            Kind::Leased(token) => token.fence,
        }
    }

    /// Whether the tenant may be worked for at this moment.
    pub fn is_valid(&self) -> bool {
        self.standing() == Standing::Held
    }

    /// How it stands: one that is lost never comes back.
    pub fn standing(&self) -> Standing {
        match &self.0 {
            Kind::Alone => Standing::Held,
            Kind::Leased(token) if token.is_void.load(Ordering::Acquire) => Standing::Lost,
            Kind::Leased(token) => token.session.standing(Instant::now()),
        }
    }

    /// Whether other nodes may hold the tenant when this one does not.
    pub fn is_leased(&self) -> bool {
        matches!(self.0, Kind::Leased(_))
    }

    /// Says why nothing is done under it now.
    pub(crate) fn refusal(&self) -> NotHeld {
        match self.standing() {
            Standing::Lost | Standing::Held => NotHeld::Leaving,
            Standing::Unknown => NotHeld::NoSession,
        }
    }

    /// A store has seen a higher fence: somebody else was granted the tenant. Everything that this node runs for it stops,
    /// and the next one who needs it asks the control plane anew.
    pub(crate) fn is_fenced(&self, by: Fence) {
        let Kind::Leased(token) = &self.0 else {
            return;
        };
        if token.is_void.swap(true, Ordering::AcqRel) {
            return;
        }
        let (tenant, fence) = (token.tenant, token.fence);
        warn!(tenant.id = %tenant, fence = fence.get(), "{tenant} is held elsewhere under fence {by}: stopping its work here, which had fence {fence}");
        if let Some(shared) = token.shared.upgrade() {
            shared.void(tenant, fence, by);
        }
    }
}

impl Holds {
    /// How many tenants are held.
    pub(super) fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.values().filter(|slot| slot.is_ours()).count()
    }

    /// The fence of a tenant that is held.
    pub(super) fn fence(&self, tenant: TenantId) -> Option<Fence> {
        match self.slots.lock().get(&tenant)? {
            Slot::Ours(ours) if ours.standing() != Standing::Lost => Some(ours.fence),
            Slot::Ours(_) | Slot::Asking(_) | Slot::Departing(_) => None,
        }
    }

    /// All tenants that are held.
    pub(super) fn tenants(&self) -> Vec<TenantId> {
        let slots = self.slots.lock();
        let ours = slots.iter().filter(|(_, slot)| slot.is_ours());
        ours.map(|(tenant, _)| *tenant).collect()
    }

    /// Whether anything at all goes on with the tenant here.
    pub(super) fn knows(&self, tenant: TenantId) -> bool {
        self.slots.lock().contains_key(&tenant)
    }

    pub(super) fn look(&self, tenant: TenantId) -> Look {
        match self.slots.lock().get(&tenant) {
            Some(Slot::Ours(ours)) => Look::Held(ours.standing()),
            Some(Slot::Departing(done)) if done.has_changed().is_ok() => {
                Look::Departing(done.clone())
            }
            Some(Slot::Departing(_) | Slot::Asking(_)) | None => Look::Nothing,
        }
    }

    /// Begins to give a tenant up, if it is held under this fence (whatever fence if `None`) and, with `only_unused`, if
    /// nothing uses it. From now on nobody here gets it.
    pub(super) fn part(
        &self,
        tenant: TenantId,
        fence: Option<Fence>,
        only_unused: bool,
    ) -> Option<Parting> {
        let mut slots = self.slots.lock();
        let Some(Slot::Ours(ours)) = slots.get(&tenant) else {
            return None;
        };
        let is_meant = fence.is_none_or(|fence| fence == ours.fence)
            && !(only_unused && ours.token.strong_count() > 0);
        if !is_meant {
            return None;
        }
        let (done, told) = watch::channel(None);
        let parting = Parting {
            fence: ours.fence,
            session: Arc::clone(&ours.session),
            token: ours.token.clone(),
            _done: done,
        };
        slots.insert(tenant, Slot::Departing(told));
        Some(parting)
    }

    /// Keeps everybody here from claiming a tenant of which nothing is known, until [`Holds::parted`]. Those who come
    /// meanwhile wait for as long as the answer lives. `None` if something goes on with the tenant.
    pub(super) fn reserve(&self, tenant: TenantId) -> Option<watch::Sender<Option<NotHeld>>> {
        let mut slots = self.slots.lock();
        if slots.contains_key(&tenant) {
            return None;
        }
        let (done, told) = watch::channel(None);
        slots.insert(tenant, Slot::Departing(told));
        Some(done)
    }

    /// What was begun with [`Holds::part`] has ended: nothing is held any more.
    pub(super) fn parted(&self, tenant: TenantId) {
        self.slots.lock().remove(&tenant);
    }

    /// Makes this node believe that it holds a tenant, whatever the control plane says.
    #[cfg(test)]
    pub(super) fn forge(&self, tenant: TenantId, fence: Fence, session: Arc<Session>) {
        let ours = Ours {
            fence,
            session,
            token: Weak::new(),
        };
        self.slots.lock().insert(tenant, Slot::Ours(ours));
    }

    /// A session is lost, and with it all that was held under it. Answers which tenants that were.
    pub(super) fn lose(&self, session: &Arc<Session>) -> Vec<TenantId> {
        let is_lost =
            |slot: &Slot| matches!(slot, Slot::Ours(ours) if Arc::ptr_eq(&ours.session, session));
        let mut slots = self.slots.lock();
        let lost = slots.extract_if(|_, slot| is_lost(slot));
        lost.map(|(tenant, _)| tenant).collect()
    }
}

impl Slot {
    fn is_ours(&self) -> bool {
        matches!(self, Slot::Ours(ours) if ours.standing() != Standing::Lost)
    }
}

impl Ours {
    fn standing(&self) -> Standing {
        self.session.standing(Instant::now())
    }
}

impl Parting {
    /// Whether something still uses what is given up.
    pub(super) fn is_used(&self) -> bool {
        self.token.strong_count() > 0
    }

    /// Whoever still uses it must not any more.
    pub(super) fn void(&self) {
        if let Some(token) = self.token.upgrade() {
            token.is_void.store(true, Ordering::Release);
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.unused(self.tenant, self.fence);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under {}", self.tenant, self.fence)
    }
}
