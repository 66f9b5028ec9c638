//! Resolves host names for the client and hands back only addresses that the guard lets through.
//!
//! What is handed back is what is dialled, so a name that changes its mind between a check and the connection gains
//! nothing. Nothing is cached: lookups of one name that run at the same moment share their result, and no more.

use std::{collections::HashMap, io, net::IpAddr, net::ToSocketAddrs as _, sync::Arc};

use domain::ids::TenantId;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;

use crate::{
    guard::{Guard, Refusal},
    post_error::PostError,
    slots::Slots,
};

/// How many lookups of one tenant run at once. Each takes a thread for as long as the name's server likes, so
/// without this a tenant with slow names could take all of them.
pub(crate) const LOOKUPS_PER_TENANT_MAX: usize = 16;

/// What a lookup found. Shared by all who asked at the same moment.
pub(crate) type Found = Result<Arc<[IpAddr]>, Arc<io::Error>>;

/// Turns a name into addresses, without judging them.
pub(crate) trait Lookup: Send + Sync + 'static {
    /// Finds all addresses of a name.
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// Asks the operating system.
#[derive(Debug)]
pub(crate) struct SystemLookup;

/// The client's resolver.
pub(crate) struct GuardedResolver {
    guard: Guard,
    lookup: Arc<dyn Lookup>,
    slots: Slots<TenantId>,
    flights: Flights,
}

type Key = (TenantId, Arc<str>);
type Flight = Shared<BoxFuture<'static, Found>>;
type Flights = Arc<Mutex<HashMap<Key, Flight>>>;

impl GuardedResolver {
    /// A resolver that judges by `guard` what `lookup` finds.
    pub(crate) fn new(guard: Guard, lookup: Arc<dyn Lookup>) -> GuardedResolver {
        GuardedResolver {
            guard,
            lookup,
            slots: Slots::new(LOOKUPS_PER_TENANT_MAX),
            flights: Flights::default(),
        }
    }

    /// Finds the addresses of a name that may be dialled. `tenant` is who wants to connect.
    pub(crate) fn resolve(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> impl Future<Output = Result<Vec<IpAddr>, PostError>> + use<> {
        let name: Arc<str> = Arc::from(name);
        let flight = self.flight(tenant, &name);
        let guard = self.guard.clone();
        async move {
            let found = flight.await;
            let found = found.map_err(|error| PostError::Resolve(error.to_string()))?;
            reachable(&guard, &name, &found)
        }
    }

    /// Joins the lookup of this name that the tenant has running, or starts one. It runs on when nobody waits any more.
    fn flight(&self, tenant: TenantId, name: &Arc<str>) -> Flight {
        let key = (tenant, Arc::clone(name));
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let landing = Landing {
            flights: Arc::clone(&self.flights),
            key: key.clone(),
        };
        let (slots, lookup) = (self.slots.clone(), Arc::clone(&self.lookup));
        let running = tokio::spawn(async move {
            let _slot = slots.acquire(tenant).await;
            let found = lookup.lookup(Arc::clone(&landing.key.1)).await;
            found.map(Arc::from).map_err(Arc::new)
        });
        let flight = running
            .map(|joined| joined.unwrap_or_else(|error| Err(Arc::new(io::Error::other(error)))))
            .boxed()
            .shared();
        flights.insert(key, flight.clone());
        flight
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let asking = tokio::task::spawn_blocking(move || {
            let found = (&*name, 0_u16).to_socket_addrs()?;
            Ok(found.map(|addr| addr.ip()).collect())
        });
        asking
            .map(|joined| joined.unwrap_or_else(|error| Err(io::Error::other(error))))
            .boxed()
    }
}

/// Takes a lookup off the list of running ones when it has ended, also by a panic.
struct Landing {
    flights: Flights,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

/// The addresses that may be dialled, of all that were found.
fn reachable(guard: &Guard, name: &str, found: &[IpAddr]) -> Result<Vec<IpAddr>, PostError> {
    if found.is_empty() {
        return Err(PostError::Resolve("the name has no address".to_owned()));
    }
    let may_be_dialled = |addr: &IpAddr| guard.check_addr(*addr).is_ok();
    let checked: Vec<IpAddr> = found.iter().copied().filter(may_be_dialled).collect();
    if checked.is_empty() {
        let host = name.to_owned();
        return Err(Refusal::Name { host }.into());
    }
    Ok(checked)
}

#[cfg(test)]
mod tests;
