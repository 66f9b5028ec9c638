//! Resolves host names for the client and hands back only addresses that the guard lets through.
//!
//! What is handed back is what is dialled, so a name that changes its mind between a check and the connection gains
//! nothing. Nothing is cached: lookups of one name that run at the same moment share their result, and no more.

use std::{
    collections::HashMap, io, net::IpAddr, net::SocketAddr, net::ToSocketAddrs as _, sync::Arc,
};

use domain::ids::TenantId;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    guard::{Guard, Refusal},
    slots::Slots,
};

tokio::task_local! {
    /// On whose behalf the present task connects; set around each post.
    pub(crate) static TENANT: TenantId;
}

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
    slots: Slots<Option<TenantId>>,
    flights: Flights,
}

type Key = (Option<TenantId>, Arc<str>);
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

    /// Joins the lookup of this name that the tenant has running, or starts one. It runs on when nobody waits any more.
    fn flight(&self, name: &Arc<str>) -> Flight {
        let tenant = TENANT.try_with(|tenant| *tenant).ok();
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

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name: Arc<str> = Arc::from(name.as_str());
        let flight = self.flight(&name);
        let guard = self.guard.clone();
        async move {
            let found = flight.await?;
            let checked = reachable(&guard, &name, &found)?;
            Ok(Box::new(checked.into_iter()) as Addrs)
        }
        .boxed()
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

/// The addresses that may be dialled, of all that were found. The port is the client's to fill in.
fn reachable(
    guard: &Guard,
    name: &str,
    found: &[IpAddr],
) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err("the name has no address".into());
    }
    let checked: Vec<SocketAddr> = found
        .iter()
        .filter(|addr| guard.check_addr(**addr).is_ok())
        .map(|addr| SocketAddr::new(*addr, 0))
        .collect();
    if checked.is_empty() {
        let host = name.to_owned();
        return Err(Refusal::Name { host }.into());
    }
    Ok(checked)
}

#[cfg(test)]
mod tests;
