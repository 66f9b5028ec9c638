//! How leases are claimed, shared by all who want the same one, and given back.
//!
//! The control plane decides who gets one. A claim goes on even if whoever wanted it has gone away.

use std::{
    collections::hash_map::Entry,
    sync::{Arc, Weak, atomic::AtomicBool},
};

use domain::{fence::Fence, ids::TenantId};
use store::control::{Before, Claim, LeaseKey};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use super::{Done, Hold, Kind, Ours, Parting, Slot, Token};
use crate::placement::{LINGER, NotHeld, Shared, Standing, session::Session, unavailable};

/// What is to be done to hold a tenant.
enum Step {
    Held(Hold),
    Refused(NotHeld),
    Wait(Done),
    Claim(Arc<Session>, watch::Sender<Option<NotHeld>>),
}

impl Shared {
    /// See [`crate::placement::Placement::hold`].
    pub(in crate::placement) async fn hold(
        self: &Arc<Self>,
        tenant: TenantId,
    ) -> Result<Hold, NotHeld> {
        loop {
            match self.next_step(tenant) {
                Step::Held(hold) => return Ok(hold),
                Step::Refused(why) => return Err(why),
                Step::Wait(mut done) => {
                    if done.changed().await.is_ok()
                        && let Some(why) = done.borrow().clone()
                    {
                        return Err(why);
                    }
                }
                Step::Claim(session, done) => {
                    // A claim goes on even if the one who wanted it has gone away: others wait for it.
                    let claim = Arc::clone(self).claim(tenant, session, done);
                    let claimed = self.runtime.spawn(claim).await;
                    return claimed.unwrap_or_else(|error| {
                        Err(NotHeld::Unavailable(format!(
                            "the claim broke off: {error}"
                        )))
                    });
                }
            }
        }
    }

    fn next_step(self: &Arc<Self>, tenant: TenantId) -> Step {
        let mut slots = self.holds.slots.lock();
        match slots.entry(tenant) {
            Entry::Occupied(mut slot) => match slot.get_mut() {
                Slot::Ours(ours) => match ours.standing() {
                    Standing::Held => return Step::Held(self.token(tenant, ours)),
                    Standing::Unknown => return Step::Refused(NotHeld::NoSession),
                    Standing::Lost => {}
                },
                // A sender that is gone did not come to its end.
                Slot::Asking(done) if done.has_changed().is_ok() => {
                    return Step::Wait(done.clone());
                }
                Slot::Departing(done) if done.has_changed().is_ok() => {
                    return Step::Refused(NotHeld::Leaving);
                }
                Slot::Asking(_) | Slot::Departing(_) => {}
            },
            Entry::Vacant(_) => {}
        }
        if self.is_leaving() {
            return Step::Refused(NotHeld::Leaving);
        }
        let Some(session) = self.live_session() else {
            return Step::Refused(NotHeld::NoSession);
        };
        let (done, told) = watch::channel(None);
        slots.insert(tenant, Slot::Asking(told));
        Step::Claim(session, done)
    }

    /// The token of what is held, made anew if nothing used it. To be called under the lock.
    fn token(self: &Arc<Self>, tenant: TenantId, ours: &mut Ours) -> Hold {
        if let Some(token) = ours.token.upgrade() {
            return Hold(Kind::Leased(token));
        }
        // Nothing has used the tenant for a moment: what was noted of its webhooks is found anew when it is loaded.
        self.board.forget_tenant(tenant);
        let token = Arc::new(Token {
            tenant,
            fence: ours.fence,
            session: Arc::clone(&ours.session),
            is_void: AtomicBool::new(false),
            shared: Arc::downgrade(self),
        });
        ours.token = Arc::downgrade(&token);
        Hold(Kind::Leased(token))
    }

    async fn claim(
        self: Arc<Self>,
        tenant: TenantId,
        session: Arc<Session>,
        done: watch::Sender<Option<NotHeld>>,
    ) -> Result<Hold, NotHeld> {
        let key = LeaseKey::Tenant(tenant);
        let claimed = self.control.claim(session.id(), &key).await;
        let mut slots = self.holds.slots.lock();
        let refused = match claimed {
            Ok(Claim::Granted { fence, from }) => {
                granted(tenant, fence, from);
                self.places.forget(tenant);
                let mut ours = Ours {
                    fence,
                    session,
                    token: Weak::new(),
                };
                let hold = self.token(tenant, &mut ours);
                slots.insert(tenant, Slot::Ours(ours));
                // Those who wait must find the slot when they are told.
                drop(slots);
                done.send_replace(None);
                return Ok(hold);
            }
            Ok(Claim::Held { by, node, .. }) => {
                self.places.put(tenant, by, &node, Instant::now());
                NotHeld::Elsewhere { session: by, node }
            }
            Ok(Claim::SessionGone) => {
                self.beat_now.notify_one();
                NotHeld::NoSession
            }
            Err(error) => {
                // It may have been granted all the same.
                self.doubtful.lock().insert(tenant);
                warn!(tenant.id = %tenant, %error, "{tenant} could not be claimed: {error}");
                unavailable(&error)
            }
        };
        slots.remove(&tenant);
        drop(slots);
        done.send_replace(Some(refused.clone()));
        Err(refused)
    }

    /// Nothing uses the tenant any more.
    pub(super) fn unused(self: Arc<Self>, tenant: TenantId, fence: Fence) {
        if let Some(household) = self.household() {
            household.unheld(tenant);
        }
        let shared = Arc::clone(&self);
        self.runtime.spawn(async move {
            if !shared.is_leaving() {
                tokio::time::sleep(shared.ttl / LINGER).await;
            }
            if let Some(parting) = shared.holds.part(tenant, Some(fence), true) {
                shared.release(tenant, parting).await;
            }
        });
    }

    /// Gives the lease back.
    pub(in crate::placement) async fn release(&self, tenant: TenantId, parting: Parting) {
        let fence = parting.fence;
        self.release_above(tenant, parting, fence).await;
    }

    /// Gives the lease back; if it is ours still, its next fence is higher than this one.
    async fn release_above(&self, tenant: TenantId, parting: Parting, above: Fence) {
        let key = LeaseKey::Tenant(tenant);
        let (session, fence) = (parting.session.id(), parting.fence);
        let released = self.control.release_above(session, &key, fence, above);
        match released.await {
            Ok(_was_ours) => debug!(tenant.id = %tenant, "{tenant} was released"),
            Err(error) => {
                self.doubtful.lock().insert(tenant);
                warn!(tenant.id = %tenant, %error, "{tenant} could not be released yet: {error}");
            }
        }
        self.board.forget_tenant(tenant);
        self.parted(tenant);
    }

    /// Nothing is held any more, so the tenant's readers here need somebody who follows its owner. A follower that began when
    /// the last user went may have ended since, because the tenant was still held then.
    pub(in crate::placement) fn parted(&self, tenant: TenantId) {
        self.holds.parted(tenant);
        if let Some(household) = self.household() {
            household.unheld(tenant);
        }
    }

    /// Somebody else holds the tenant under the fence `by`, whatever our session says.
    pub(super) fn void(self: &Arc<Self>, tenant: TenantId, fence: Fence, by: Fence) {
        metrics::counter!("lease_losses_total").increment(1);
        let parting = self.holds.part(tenant, Some(fence), false);
        if let Some(household) = self.household() {
            household.evict(Some(tenant));
        }
        if let Some(parting) = parting {
            let shared = Arc::clone(self);
            // If the control plane still has us for the owner, it is older than the log, as after a restore: then the next claim
            // must bring a higher fence than the log has seen, and not only a higher one than ours.
            self.runtime
                .spawn(async move { shared.release_above(tenant, parting, by).await });
        }
    }
}

fn granted(tenant: TenantId, fence: Fence, from: Before) {
    metrics::counter!("lease_grants_total").increment(1);
    match from {
        Before::Stolen => {
            metrics::counter!("lease_steals_total").increment(1);
            info!(tenant.id = %tenant, fence = fence.get(), "{tenant} is taken over from a node that is gone, under fence {fence}");
        }
        Before::Fresh | Before::Mine | Before::Released => {
            debug!(tenant.id = %tenant, fence = fence.get(), "{tenant} is held under fence {fence}");
        }
    }
}
