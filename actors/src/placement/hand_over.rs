//! Gives tenants away in order: when an operator wants one elsewhere, and all of them when this node leaves.
//!
//! A tenant is given away when its actors have come to rest: what was in flight is written, nothing new is taken, and those
//! who come meanwhile wait to be told where it lives now. If that takes too long its actors are stopped; the fence keeps
//! whatever they still had on the way from doing harm.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::ids::TenantId;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use rand::seq::IndexedRandom as _;
use store::{
    StoreError,
    control::{LeaseKey, NodeSession, SessionId},
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    NotHeld, Placement, Shared,
    changes::{NodeNews, SharedChange},
    holds::Parting,
};
use outbound::bus::Topic;

/// Tenants that come to rest at the same time.
const AT_ONCE: usize = 32;
/// How often it is looked whether the last user of a hold has gone.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long its actors have for what is in flight when nobody gets the tenant any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
/// How long those users have who were stopped.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);

/// Brings a tenant's actors to rest; answers when they are gone, at the latest at the deadline. It has work if somebody
/// should go on with it at once.
pub(crate) trait Settler: Send + Sync + 'static {
    /// Lets deliveries come to their end, and begins no further one, while everything else goes on: an endpoint that hangs
    /// holds up nobody who wants something of the tenant. Answers at the latest at the deadline.
    fn calm(&self, tenant: TenantId, until: Instant) -> BoxFuture<'_, ()>;
    /// See the trait.
    fn settle(&self, tenant: TenantId, until: Instant) -> BoxFuture<'_, ()>;
    /// Whether there is something to do for the tenant without being asked.
    fn has_work(&self, tenant: TenantId) -> bool;
}

impl Placement {
    /// Takes nothing more from now on, and says so to the others.
    pub(crate) fn leave(&self) {
        let Some(shared) = self.shared() else { return };
        if shared.is_leaving.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(session) = shared.own_session() {
            info!(session.id = %session, "leaving: tenants are given to others from now on");
            let session = session.to_string();
            shared.tell(&Topic::Nodes, NodeNews::Leaving { session });
        }
    }

    /// Gives everything away and ends the session.
    pub(crate) async fn hand_over_all(&self, settler: &dyn Settler, until: Instant) {
        let Some(shared) = self.shared() else { return };
        self.leave();
        let given = stream::iter(shared.holds.tenants()).for_each_concurrent(AT_ONCE, |tenant| {
            async move {
                let successor = match settler.has_work(tenant) {
                    true => shared.successor().await.ok().flatten(),
                    // Whoever is asked for it first takes it.
                    false => None,
                };
                let to = successor.map(|node| node.id);
                if let Err(error) = shared.give(tenant, to, settler, until).await {
                    warn!(tenant.id = %tenant, %error, "{tenant} was not given away: {error}");
                }
            }
        });
        given.await;
        let session = shared.own_session();
        shared.end_session().await;
        if let Some(session) = session {
            let session = session.to_string();
            shared.tell(&Topic::Nodes, NodeNews::Left { session });
        }
    }

    /// Gives a tenant that is held here to another node.
    pub(crate) async fn give(
        &self,
        tenant: TenantId,
        to: SessionId,
        settler: &dyn Settler,
        until: Instant,
    ) -> Result<(), NotHeld> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        shared.give(tenant, Some(to), settler, until).await
    }
}

impl Shared {
    pub(crate) fn own_session(&self) -> Option<SessionId> {
        self.session.read().as_ref().map(|session| session.id())
    }

    /// Another node, chosen at random among those whose hearts beat. If it dies before it has begun, its lease ends with its
    /// session, and whoever comes next takes the tenant over.
    pub(super) async fn successor(&self) -> Result<Option<NodeSession>, StoreError> {
        let own = self.own_session();
        let mut sessions = self.control.live_sessions().await?;
        sessions.retain(|session| Some(session.id) != own && session.node != self.node);
        keep_lively(&mut sessions, self.ttl);
        Ok(sessions.choose(&mut (self.random)()).cloned())
    }

    async fn give(
        self: &Arc<Self>,
        tenant: TenantId,
        to: Option<SessionId>,
        settler: &dyn Settler,
        until: Instant,
    ) -> Result<(), NotHeld> {
        settler.calm(tenant, until).await;
        let Some(parting) = self.holds.part(tenant, None, false) else {
            return Ok(());
        };
        // From here on everybody waits who wants something of the tenant.
        settler
            .settle(tenant, Instant::now() + SETTLED_WITHIN)
            .await;
        until_unused(&parting, Instant::now() + STOPPED_WITHIN).await;
        parting.void();
        let Some(to) = to else {
            self.release(tenant, parting).await;
            return Ok(());
        };
        let key = LeaseKey::Tenant(tenant);
        match self.control.hand_over(parting.session.id(), &key, to).await {
            Ok(Some(fence)) => {
                info!(tenant.id = %tenant, fence = fence.get(), "{tenant} was given to session {to} under fence {fence}");
                self.board.forget_tenant(tenant);
                self.parted(tenant);
                let to = to.to_string();
                self.tell(&Topic::Changes, SharedChange::Place(tenant));
                self.tell(&Topic::Nodes, NodeNews::Given { tenant, to });
                Ok(())
            }
            // The other one has gone, or we have: in any case it is not to be kept.
            Ok(None) => {
                self.release(tenant, parting).await;
                Err(NotHeld::Leaving)
            }
            Err(error) => {
                self.release(tenant, parting).await;
                Err(super::unavailable(&error))
            }
        }
    }
}

/// Leaves out sessions that stand only because their time is not over yet: a node that has just died lives, by the database's
/// clock, until its lease ends. A heart that has missed a beat while another one did not is not trusted with anything new. Only
/// the database's times are compared with each other, and only those of nodes that can be chosen: while leases of different
/// lengths are configured our own may be the longest, and must not rule everybody out.
fn keep_lively(sessions: &mut Vec<NodeSession>, ttl: Duration) {
    let Some(latest) = sessions.iter().map(|session| session.expires_at).max() else {
        return;
    };
    let earliest = latest.minus(ttl / 2);
    sessions.retain(|session| session.expires_at >= earliest);
}

async fn until_unused(parting: &Parting, until: Instant) {
    while parting.is_used() && Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    /// A session whose last heartbeat came so many milliseconds before the latest of all.
    fn beaten(millis_ago: u64) -> NodeSession {
        let latest = Timestamp::from_micros(1_700_000_000_000_000);
        NodeSession {
            id: format!("00000000-0000-0000-0000-{millis_ago:012}")
                .parse()
                .unwrap(),
            node: format!("node-{millis_ago}"),
            started_at: Timestamp::default(),
            expires_at: latest.minus(Duration::from_millis(millis_ago)),
            leases: 0,
        }
    }

    #[test]
    fn whoever_has_missed_a_heartbeat_is_given_nothing() {
        // A heart beats three times in the time of a lease.
        let mut sessions = [0, 4_900, 7_500, 7_501, 14_000].map(beaten).to_vec();
        keep_lively(&mut sessions, TTL);
        let nodes: Vec<&str> = sessions.iter().map(|one| one.node.as_str()).collect();
        assert_eq!(nodes, ["node-0", "node-4900", "node-7500"]);
        let mut nobody = Vec::new();
        keep_lively(&mut nobody, TTL);
        assert!(nobody.is_empty());
        // Somebody is left if there is anybody.
        let mut alone = vec![beaten(14_000)];
        keep_lively(&mut alone, TTL);
        assert_eq!(alone.len(), 1);
    }
}
