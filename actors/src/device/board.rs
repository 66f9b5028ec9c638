//! What is known on this node of devices' sessions without asking an actor: which are open, when they were heard of, and which
//! devices flap.
//!
//! A memory only: it survives an actor's death, which is why the breaker against flapping is here. Nothing in it is the truth
//! about who may write.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use domain::{
    device::{Flapping, RetryAfter},
    fence::Fence,
    ids::{DeviceId, TenantId},
    time::Timestamp,
};
use parking_lot::Mutex;

use super::{
    DeviceKey,
    habits::Habits,
    session::{Session, Transport},
};
use crate::engine::{Habit, Keeper};

/// See the module.
#[derive(Default)]
pub(crate) struct DeviceBoard {
    open: Mutex<HashMap<DeviceKey, Session>>,
    flapping: Mutex<HashMap<DeviceKey, Flapping>>,
    habits: Mutex<Habits>,
    /// Actors that still have something to write.
    owing: AtomicUsize,
}

/// One actor that still has something to write, for as long as this lives.
pub(super) struct Owing(Arc<DeviceBoard>);

/// An open session's place on the board and in the metrics. Dropping it takes it off.
pub(super) struct Place {
    board: Arc<DeviceBoard>,
    key: DeviceKey,
    fence: Fence,
    transport: Transport,
}

impl DeviceBoard {
    /// Admits one more session, and counts it.
    pub(super) fn admit(&self, key: DeviceKey, now: Timestamp) -> Result<(), RetryAfter> {
        self.flapping.lock().entry(key).or_default().admit(now)
    }

    /// Whether one more session would be admitted. Counts nothing.
    pub(crate) fn would_admit(&self, key: &DeviceKey, now: Timestamp) -> Result<(), RetryAfter> {
        match self.flapping.lock().get(key) {
            Some(flapping) => flapping.clone().admit(now),
            None => Ok(()),
        }
    }

    /// Forgets which devices opened sessions long ago.
    pub(crate) fn calm_down(&self, now: Timestamp) {
        self.flapping
            .lock()
            .retain(|_, flapping| !flapping.is_calm(now));
    }

    /// Whether somebody else did this last, as far as is known here.
    pub(crate) fn is_news(&self, key: DeviceKey, what: Habit, by: Keeper) -> bool {
        self.habits.lock().is_news(key, what, by)
    }

    #[cfg(test)]
    pub(super) fn forget_flapping(&self) {
        self.flapping.lock().clear();
    }

    /// Puts a session on the board.
    pub(super) fn put(self: &Arc<Self>, session: &Session, transport: Transport) -> Place {
        let key = session.key();
        self.open.lock().insert(key, session.clone());
        let transport_name = transport.as_str();
        metrics::gauge!("device_sessions", "transport" => transport_name).increment(1.0);
        metrics::counter!("device_sessions_opened_total", "transport" => transport_name)
            .increment(1);
        Place {
            board: Arc::clone(self),
            key,
            fence: session.fence,
            transport,
        }
    }

    /// Whether the device has a session on this node.
    pub(crate) fn has(&self, key: &DeviceKey) -> bool {
        self.open.lock().contains_key(key)
    }

    /// The fence of the session that the device has on this node.
    pub(crate) fn fence(&self, key: &DeviceKey) -> Option<Fence> {
        self.open.lock().get(key).map(|session| session.fence)
    }

    /// How many devices have a session on this node.
    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// Devices that have a session on this node.
    pub(crate) fn keys(&self) -> Vec<DeviceKey> {
        self.open.lock().keys().copied().collect()
    }

    /// Says that an actor has something to write.
    pub(super) fn owe(self: &Arc<Self>) -> Owing {
        self.owing.fetch_add(1, Ordering::AcqRel);
        Owing(Arc::clone(self))
    }

    /// Whether no actor has anything to write.
    pub(crate) fn owes_nothing(&self) -> bool {
        self.owing.load(Ordering::Acquire) == 0
    }

    /// Whether no session is open, and all is written.
    pub(crate) fn is_quiet(&self) -> bool {
        self.len() == 0 && self.owes_nothing()
    }

    /// Sessions that were heard of since this was asked last.
    pub(crate) fn take_seen(&self) -> Vec<(TenantId, DeviceId, Fence, Timestamp)> {
        let open = self.open.lock();
        let seen = open.values().filter_map(|session| {
            let at = session.known.take_seen()?;
            Some((session.tenant, session.device, session.fence, at))
        });
        seen.collect()
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        self.0.owing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("device_sessions", "transport" => self.transport.as_str()).decrement(1.0);
        let mut open = self.board.open.lock();
        // A newer session of the same device may stand there by now.
        if open
            .get(&self.key)
            .is_some_and(|session| session.fence == self.fence)
        {
            open.remove(&self.key);
        }
    }
}
