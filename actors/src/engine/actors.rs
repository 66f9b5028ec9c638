//! What runs where, for operators; and faults on purpose, for tests of supervision.

use std::str::FromStr;

use super::Engine;
use crate::{device::DeviceKey, registry::ActorInfo, webhook_board::WebhookKey};

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// One per tenant in use.
    Tenant,
    /// One per webhook with work.
    Webhook,
    /// One per region.
    Region,
    /// One per connected device.
    Device,
}

impl FromStr for ActorKind {
    type Err = ();

    fn from_str(text: &str) -> Result<ActorKind, ()> {
        match text {
            "tenant" => Ok(ActorKind::Tenant),
            "webhook" => Ok(ActorKind::Webhook),
            "region" => Ok(ActorKind::Region),
            "device" => Ok(ActorKind::Device),
            _ => Err(()),
        }
    }
}

impl Engine {
    /// Running actors, at most `limit` of each kind.
    pub fn actors(&self, limit: usize) -> Vec<ActorInfo> {
        let inner = &self.inner;
        let fence_of = |tenant| inner.placement.fence(tenant);
        let mut infos = inner.regions.infos(limit, |_| None);
        infos.extend(inner.tenants.infos(limit, |tenant| fence_of(*tenant)));
        infos.extend(inner.webhooks.infos(limit, |key| fence_of(key.tenant)));
        let devices = &inner.devices;
        infos.extend(devices.actors.infos(limit, |key| devices.board.fence(key)));
        infos
    }

    /// How many actors run, by kind.
    pub fn actor_counts(&self) -> [(&'static str, usize); 4] {
        [
            ("region", self.inner.regions.len()),
            ("tenant", self.inner.tenants.len()),
            ("webhook", self.inner.webhooks.len()),
            ("device", self.inner.devices.actors.len()),
        ]
    }

    /// Makes a running actor panic, to show that its neighbours live on and that it comes back. Answers whether there was
    /// one. The edge offers it only where faults are enabled.
    pub fn inject_panic(&self, kind: ActorKind, key: &str) -> bool {
        match kind {
            ActorKind::Region => key
                .parse()
                .is_ok_and(|region| self.inner.regions.inject_panic(&region)),
            ActorKind::Tenant => key
                .parse()
                .is_ok_and(|tenant| self.inner.tenants.inject_panic(&tenant)),
            ActorKind::Device => {
                let devices = &self.inner.devices.actors;
                let is_it = |device: &DeviceKey| device.to_string() == key;
                let found = devices.keys().into_iter().find(is_it);
                found.is_some_and(|device| devices.inject_panic(&device))
            }
            ActorKind::Webhook => self
                .inner
                .webhooks
                .keys()
                .into_iter()
                .find(|webhook: &WebhookKey| webhook.id.to_string() == key)
                .is_some_and(|webhook| self.inner.webhooks.inject_panic(&webhook)),
        }
    }
}
