//! Where a tenant lives: here, there, or nowhere yet.
//!
//! The answer for a tenant that is held here asks nobody.

use std::sync::Arc;

use domain::ids::TenantId;
use store::control::LeaseKey;
use tokio::time::Instant;

use super::{NotHeld, Place, Shared, Standing, holds::Look, unavailable};

impl Shared {
    /// See [`super::Placement::locate`].
    pub(super) async fn locate(self: &Arc<Self>, tenant: TenantId) -> Result<Place, NotHeld> {
        loop {
            match self.holds.look(tenant) {
                Look::Held(Standing::Held) => return Ok(Place::Here),
                Look::Held(Standing::Unknown) => return Err(NotHeld::NoSession),
                Look::Departing(mut done) => drop(done.changed().await),
                Look::Held(Standing::Lost) | Look::Nothing => {}
            }
            if let Some(there) = self.places.get(tenant, Instant::now()) {
                return Ok(there);
            }
            if self.is_leaving() {
                return self.locate_elsewhere(tenant).await;
            }
            match self.hold(tenant).await {
                Ok(_lingers) => return Ok(Place::Here),
                Err(NotHeld::Elsewhere { session, node }) => {
                    return Ok(Place::There { session, node });
                }
                // It is handed over at this very moment: look again when that is done.
                Err(NotHeld::Leaving) if !self.is_leaving() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// For a node that is leaving: somebody else must do it. If nobody holds the tenant, any other node may take it.
    async fn locate_elsewhere(&self, tenant: TenantId) -> Result<Place, NotHeld> {
        let own = self.session.read().as_ref().map(|session| session.id());
        let key = LeaseKey::Tenant(tenant);
        let owner = self
            .control
            .owner(&key)
            .await
            .map_err(|error| unavailable(&error))?;
        if let Some(owner) = owner.filter(|owner| Some(owner.session) != own) {
            self.places
                .put(tenant, owner.session, &owner.node, Instant::now());
            return Ok(Place::There {
                session: owner.session,
                node: owner.node,
            });
        }
        let successor = self
            .successor()
            .await
            .map_err(|error| unavailable(&error))?;
        successor
            .map(|next| Place::There {
                session: next.id,
                node: next.node,
            })
            .ok_or(NotHeld::Leaving)
    }
}
