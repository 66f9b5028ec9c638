//! How many posts one tenant may have in flight to one host.
//!
//! The limit is per tenant *and* host: a tenant that fills its own share of a host delays no other tenant's posts there.

use std::hash::{BuildHasher as _, RandomState};

use domain::ids::TenantId;

use crate::slots::{Slot, Slots};

/// The key keeps the host's hash instead of its name, so that a post allocates nothing here. Two hosts of one tenant
/// with the same hash share their slots, which is harmless and which nobody can bring about on purpose.
type Key = (TenantId, u64);

/// The limit, with what is in flight.
#[derive(Debug)]
pub(crate) struct HostLimit {
    slots: Slots<Key>,
    hasher: RandomState,
}

impl HostLimit {
    /// Lets `per_host_in_flight_max` posts of each tenant to each host go on at once.
    pub(crate) fn new(per_host_in_flight_max: usize) -> HostLimit {
        HostLimit {
            slots: Slots::new(per_host_in_flight_max),
            hasher: RandomState::new(),
        }
    }

    /// Waits until one more post may be sent. The slot is free again when it is dropped.
    pub(crate) async fn admit(&self, tenant: TenantId, host: &str) -> Slot<Key> {
        let key = (tenant, self.hasher.hash_one(host));
        self.slots.acquire(key).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::fake_target::tenant;

    #[tokio::test]
    async fn a_full_host_holds_back_neither_other_hosts_nor_other_tenants() {
        let limit = HostLimit::new(1);
        let _held = limit.admit(tenant(1), "a.example").await;
        assert!(limit.admit(tenant(1), "a.example").now_or_never().is_none());
        assert!(limit.admit(tenant(1), "b.example").now_or_never().is_some());
        assert!(limit.admit(tenant(2), "a.example").now_or_never().is_some());
    }
}
