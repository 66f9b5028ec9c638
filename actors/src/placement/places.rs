//! Remembers which other node holds a tenant, for a short while.
//!
//! Only a memory: whoever finds a place wrong forgets it and looks again. Knows nothing of what is held here.

use std::{collections::HashMap, time::Duration};

use domain::ids::TenantId;
use parking_lot::Mutex;
use store::control::SessionId;
use tokio::time::Instant;

/// How long a place is believed without being asked for again. A wrong one costs a detour, not more.
const BELIEVED_FOR: Duration = Duration::from_secs(10);
/// Places that are remembered.
const PLACES_MAX: usize = 65_536;

/// Where a tenant lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this node.
    Here,
    /// On another one.
    There {
        /// The session that it is held under: the other node is asked by this name.
        session: SessionId,
        /// That node's name, as operators know it.
        node: String,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_tenant: Mutex<HashMap<TenantId, Known>>,
}

#[derive(Debug)]
struct Known {
    session: SessionId,
    node: String,
    until: Instant,
}

impl Places {
    pub(super) fn get(&self, tenant: TenantId, now: Instant) -> Option<Place> {
        let places = self.by_tenant.lock();
        let known = places.get(&tenant).filter(|known| now < known.until)?;
        Some(Place::There {
            session: known.session,
            node: known.node.clone(),
        })
    }

    pub(super) fn put(&self, tenant: TenantId, session: SessionId, node: &str, now: Instant) {
        let mut places = self.by_tenant.lock();
        if places.len() >= PLACES_MAX && !places.contains_key(&tenant) {
            places.retain(|_, known| now < known.until);
            if places.len() >= PLACES_MAX {
                places.clear();
            }
        }
        let node = node.to_owned();
        let until = now + BELIEVED_FOR;
        places.insert(
            tenant,
            Known {
                session,
                node,
                until,
            },
        );
    }

    pub(super) fn forget(&self, tenant: TenantId) {
        self.by_tenant.lock().remove(&tenant);
    }

    /// A session has ended: nobody lives there any more.
    pub(super) fn forget_session(&self, session: SessionId) {
        let mut places = self.by_tenant.lock();
        places.retain(|_, known| known.session != session);
    }

    pub(super) fn forget_all(&self) {
        self.by_tenant.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    fn session(number: u128) -> SessionId {
        Uuid::from_u128(number).to_string().parse().unwrap()
    }

    #[test]
    fn a_place_is_believed_for_a_while_and_forgotten_on_demand() {
        let (places, now) = (Places::default(), Instant::now());
        places.put(tenant(1), session(7), "b", now);
        let there = Place::There {
            session: session(7),
            node: "b".into(),
        };
        assert_eq!(places.get(tenant(1), now), Some(there));
        assert_eq!(places.get(tenant(1), now + BELIEVED_FOR), None);
        places.forget(tenant(1));
        assert_eq!(places.get(tenant(1), now), None);
    }

    #[test]
    fn a_session_that_ends_takes_its_places_with_it() {
        let (places, now) = (Places::default(), Instant::now());
        places.put(tenant(1), session(7), "b", now);
        places.put(tenant(2), session(8), "c", now);
        places.forget_session(session(7));
        assert_eq!(places.get(tenant(1), now), None);
        assert!(places.get(tenant(2), now).is_some());
    }
}
