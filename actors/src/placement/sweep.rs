//! Finds tenants with work that nobody holds, and takes a fair share of them.
//!
//! Looks at the start, every third of the lease time, and at once when a node says good-bye. How much is taken is decided by
//! a pure function; a tenant that is taken is only started here, and claims its lease itself.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use domain::ids::TenantId;
use rand::{Rng, RngExt as _, seq::SliceRandom as _};
use store::{
    StoreError,
    control::{LeaseKey, NodeSession},
};
use tracing::{info, warn};

use super::{Placement, Shared};
use crate::region::RegionLogs;

/// Looks in the time of a lease.
const LOOKS: u32 = 3;
/// Nodes that hear the same good-bye do not all look at the same moment: they spread over this part of the lease time.
const JITTER: u32 = 30;

/// Where work is found, and who does it.
pub(crate) trait Workshop: Send + Sync + 'static {
    /// The logs of all regions.
    fn logs(&self) -> RegionLogs;
    /// Starts the tenant's actor, or has it look whether its log has grown without it.
    fn start(&self, tenant: TenantId);
}

/// How many of `free` tenants a node takes in one round that holds `mine` of the `held` ones, among `nodes` nodes.
///
/// Never more than an equal part of what is free, so that the others find something too. A node that holds more than its
/// part takes only one: what the others do not take for some reason is not left for ever.
fn fair_share(free: usize, mine: u64, held: u64, nodes: usize) -> usize {
    let nodes = nodes.max(1);
    let equal_part = free.div_ceil(nodes);
    let all = held.saturating_add(free as u64);
    let aim = all.div_ceil(nodes as u64);
    let wanted = usize::try_from(aim.saturating_sub(mine)).unwrap_or(usize::MAX);
    wanted.max(1).min(equal_part)
}

/// Chooses them at random, so that nodes that look at the same moment choose differently.
fn choose(free: &mut Vec<TenantId>, share: usize, random: &mut impl Rng) {
    free.shuffle(random);
    free.truncate(share);
}

impl Placement {
    /// Looks for free tenants from now on, until the workshop is gone or this node leaves.
    pub(crate) fn sweep_for(&self, workshop: Weak<dyn Workshop>) {
        if let Some(shared) = self.shared() {
            shared.sweep_now.notify_one();
            shared
                .runtime
                .spawn(sweep(Arc::downgrade(shared), workshop));
        }
    }
}

async fn sweep(weak: Weak<Shared>, workshop: Weak<dyn Workshop>) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let spread = shared.ttl / JITTER;
        let jitter = (shared.random)().random_range(Duration::ZERO..=spread);
        let pause = (shared.ttl / LOOKS).saturating_sub(spread / 2);
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.sweep_now.notified() => {}
            }
        };
        wait.await;
        tokio::time::sleep(jitter).await;
        let Some(workshop) = workshop.upgrade() else {
            return;
        };
        if shared.is_leaving() {
            return;
        }
        if shared.live_session().is_none() {
            continue;
        }
        if let Err(error) = shared.look_for_work(&*workshop).await {
            warn!(%error, "tenants without an owner could not be looked for: {error}");
        }
    }
}

impl Shared {
    async fn look_for_work(self: &Arc<Self>, workshop: &dyn Workshop) -> Result<(), StoreError> {
        self.settle_doubts().await;
        let own = self.own_session();
        let not_here = self.with_work_elsewhere(workshop).await;
        let owners = self.control.owners_of(&not_here).await?;
        let mut free = Vec::new();
        for tenant in not_here {
            match owners.get(&tenant) {
                None => free.push(tenant),
                // It was given to us, and the news of it was lost: nobody else will ever take it.
                Some(owner) if Some(*owner) == own => workshop.start(tenant),
                Some(_) => {}
            }
        }
        if free.is_empty() {
            return Ok(());
        }
        let sessions = self.control.live_sessions().await?;
        let held_by = |is_meant: &dyn Fn(&NodeSession) -> bool| -> u64 {
            let meant = sessions.iter().filter(|session| is_meant(session));
            meant.map(|session| session.leases).sum()
        };
        let mine = held_by(&|session| Some(session.id) == own);
        let held = held_by(&|_| true);
        let (count, nodes) = (free.len(), sessions.len());
        let share = fair_share(count, mine, held, nodes);
        choose(&mut free, share, &mut (self.random)());
        info!(
            count,
            share, nodes, "{count} tenants with work have no owner: starting {share} of them here"
        );
        for tenant in free {
            workshop.start(tenant);
        }
        if share < count {
            // The others have had their chance by then.
            self.sweep_again_later();
        }
        Ok(())
    }

    /// Tenants with work of which nothing is known here. Those that are held are told to look what there is to do.
    async fn with_work_elsewhere(&self, workshop: &dyn Workshop) -> Vec<TenantId> {
        let logs = workshop.logs();
        let mut elsewhere = Vec::new();
        for region in logs.regions() {
            let found = match logs.get(region).tenants_with_work().await {
                Ok(found) => found,
                // The other regions' tenants need not wait for this one.
                Err(error) => {
                    warn!(%region, %error, "tenants with work in {region} could not be looked for: {error}");
                    continue;
                }
            };
            for tenant in found {
                if self.holds.knows(tenant) {
                    // Whoever held it before may have written since we looked last.
                    workshop.start(tenant);
                } else {
                    elsewhere.push(tenant);
                }
            }
        }
        elsewhere
    }

    fn sweep_again_later(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        let pause = self.ttl / JITTER * 2;
        self.runtime.spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(shared) = weak.upgrade() {
                shared.sweep_now.notify_one();
            }
        });
    }

    /// Gives back leases that we may have without knowing, because the control plane's answer was lost.
    async fn settle_doubts(&self) {
        let doubtful: Vec<TenantId> = self.doubtful.lock().iter().copied().collect();
        let Some(session) = self.session.read().clone() else {
            return;
        };
        for tenant in doubtful {
            self.doubtful.lock().remove(&tenant);
            // A claim that is on its way, or has come through, has made the doubt pointless. And none may come through between
            // the look at the lease and its release, which would then take it from under the claimer.
            let Some(_reserved) = self.holds.reserve(tenant) else {
                continue;
            };
            let key = LeaseKey::Tenant(tenant);
            let settled = match self.control.owner(&key).await {
                Ok(Some(owner)) if owner.session == session.id() => {
                    self.control.release(owner.session, &key, owner.fence).await
                }
                Ok(_) => Ok(true),
                Err(error) => Err(error),
            };
            if settled.is_err() {
                self.doubtful.lock().insert(tenant);
            }
            self.parted(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng as _, rngs::StdRng};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_only_node_takes_everything_and_three_take_a_third() {
        assert_eq!(fair_share(90, 0, 0, 1), 90);
        assert_eq!(fair_share(90, 10, 30, 3), 30);
        assert_eq!(fair_share(1, 0, 0, 3), 1);
        assert_eq!(fair_share(0, 0, 0, 3), 0);
    }

    #[test]
    fn a_new_node_gets_more_than_one_that_is_full() {
        assert_eq!(fair_share(30, 0, 100, 2), 15);
        assert_eq!(fair_share(30, 100, 100, 2), 1);
    }

    proptest! {
        #[test]
        fn no_node_takes_more_than_an_equal_part_and_everything_is_taken_in_the_end(
            free in 0_usize..500,
            held in proptest::collection::vec(0_u64..200, 1..8),
        ) {
            let nodes = held.len();
            let (mut held, mut left, mut rounds) = (held, free, 0);
            while left > 0 {
                let all: u64 = held.iter().sum();
                let equal_part = left.div_ceil(nodes);
                let shares: Vec<usize> = held
                    .iter()
                    .map(|mine| fair_share(left, *mine, all, nodes))
                    .collect();
                prop_assert!(shares.iter().all(|share| (1..=equal_part).contains(share)));
                // As if they all chose differently, as far as there is something.
                for (mine, share) in held.iter_mut().zip(shares) {
                    let taken = share.min(left);
                    left -= taken;
                    *mine += taken as u64;
                }
                rounds += 1;
                prop_assert!(rounds <= free + 1);
            }
        }

        #[test]
        fn equal_nodes_end_up_equal(free in 0_usize..500, nodes in 1_usize..8) {
            let shares: Vec<usize> = (0..nodes).map(|_| fair_share(free, 5, 5 * nodes as u64, nodes)).collect();
            prop_assert!(shares.iter().all(|share| *share == free.div_ceil(nodes)));
        }

        #[test]
        fn what_is_chosen_was_free_and_is_chosen_once(count in 0_u128..50, share in 0_usize..60, seed: u64) {
            let all: Vec<_> = (0..count).map(|n| TenantId::from_uuid(Uuid::from_u128(n))).collect();
            let mut chosen = all.clone();
            choose(&mut chosen, share, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(chosen.len(), share.min(all.len()));
            chosen.sort_unstable();
            chosen.dedup();
            prop_assert_eq!(chosen.len(), share.min(all.len()));
            prop_assert!(chosen.iter().all(|tenant| all.contains(tenant)));
        }
    }
}
