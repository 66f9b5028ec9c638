//! What a tenant's actor knows of the sessions that events of devices come through.
//!
//! The store decides whether a session may still write. What it would refuse is refused here at once, as far as it is known:
//! from whoever opens a session, else from the store's first refusal. So a device that was replaced spoils no batch of others.

use std::collections::{HashMap, HashSet};

use domain::{
    device::{MessageKey, MessageStep},
    event::Event,
    fence::Fence,
    ids::DeviceId,
};
use store::{
    StoreError,
    log::{MessageMark, WriteError},
};

use super::{Ingest, IngestError, TenantActor};
use crate::region::again;

/// Devices that are remembered. One that is forgotten costs a batch, not more.
const REMEMBERED_MAX: usize = 4_096;

/// Devices whose sessions were replaced, and the highest fence that is known of each.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    held: HashMap<DeviceId, Fence>,
}

/// What an append says of devices.
#[derive(Debug, Default)]
pub(super) struct Spoken {
    /// Sessions that its events came through.
    pub(super) sessions: HashSet<(DeviceId, Fence)>,
    /// What its events do to messages.
    pub(super) messages: Vec<MessageMark>,
}

impl Replaced {
    /// Takes note if a write was refused because of a device.
    pub(super) fn note(&mut self, error: &WriteError) {
        if let WriteError::DeviceFenced { device, held } = error {
            self.raise(*device, *held);
        }
    }

    /// Takes note that a fence was given out.
    pub(super) fn raise(&mut self, device: DeviceId, held: Fence) {
        if self.held.len() >= REMEMBERED_MAX && !self.held.contains_key(&device) {
            self.held.clear();
        }
        let known = self.held.entry(device).or_insert(held);
        *known = (*known).max(held);
    }

    /// What those are told whose append failed: `cause`, or that their own session has been replaced.
    pub(super) fn told(
        &self,
        session: Option<(DeviceId, Fence)>,
        cause: &StoreError,
    ) -> IngestError {
        match session.and_then(|(device, fence)| self.above(device, fence)) {
            Some(held) => IngestError::DeviceFenced { held },
            None => again(cause).into(),
        }
    }

    fn above(&self, device: DeviceId, fence: Fence) -> Option<Fence> {
        self.held.get(&device).copied().filter(|held| *held > fence)
    }
}

impl Spoken {
    /// Takes what an event does to a message.
    pub(super) fn add(&mut self, event: &Event, step: Option<(MessageKey, MessageStep)>) {
        if let (Some((key, step)), Some(device)) = (step, event.fields.device) {
            self.messages.push(MessageMark {
                device,
                key,
                step,
                event: event.id,
                position: event.position,
                at: event.fields.occurred_at.unwrap_or(event.received_at),
            });
        }
    }
}

impl TenantActor {
    /// The fence of the newer session, if the one that these events came through is known to have been replaced.
    pub(super) fn is_replaced(&self, message: &Ingest) -> Option<Fence> {
        let from = message.from.as_ref()?;
        self.ready()?.replaced.above(from.device, from.fence)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_sessions_older_than_the_one_that_wrote_are_refused() {
        let device = DeviceId::from_uuid(Uuid::from_u128(1));
        let mut replaced = Replaced::default();
        for held in [3, 2] {
            let held = Fence::new(held);
            replaced.note(&WriteError::DeviceFenced { device, held });
        }
        replaced.raise(device, Fence::new(1));
        let told = |fence| replaced.told(Some((device, Fence::new(fence))), &StoreError::Full);
        assert!(matches!(told(2), IngestError::DeviceFenced { held } if held == Fence::new(3)));
        assert!(matches!(told(3), IngestError::Store(StoreError::Full)));
        let nobody = replaced.told(None, &StoreError::Full);
        assert!(matches!(nobody, IngestError::Store(StoreError::Full)));
    }
}
