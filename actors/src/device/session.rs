//! One session of a device as its connection knows it, and what can go wrong with it.
//!
//! Holds no connection and decides nothing: whether a session still may write is the store's to say, under its fence. What
//! is remembered here spares the asking.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};

use super::{DeviceKey, link::Link};
use crate::engine::EngineError;

/// How a device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The gateway protocol.
    WebSocket,
    /// MQTT.
    Mqtt,
}

/// What it takes to open a session.
#[derive(Debug)]
pub struct OpenSession {
    /// Whose device.
    pub tenant: TenantId,
    /// Which one.
    pub device: DeviceId,
    /// What the gateway calls itself.
    pub gateway: Option<String>,
    /// How it is connected.
    pub transport: Transport,
    /// The way to the connection.
    pub link: Link,
}

/// A session that was opened. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    /// Whose device.
    pub tenant: TenantId,
    /// Which one.
    pub device: DeviceId,
    /// Where its events go.
    pub workspace: WorkspaceId,
    /// What every write of the session carries.
    pub fence: Fence,
    pub(crate) known: Arc<Known>,
}

/// What is known of a session without asking anybody.
#[derive(Debug)]
pub(crate) struct Known {
    is_over: AtomicBool,
    /// When the connection was heard of last, in microseconds.
    seen_at: AtomicI64,
    /// What of that was written down.
    noted_at: AtomicI64,
}

/// Why a session was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such device.
    #[error("there is no such device")]
    NotFound,
    /// The device has opened too many sessions lately.
    #[error("the device opened too many sessions: try again in {retry_after:?}")]
    Flapping {
        /// When to come back.
        retry_after: Duration,
    },
    /// The engine cannot do it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why something that a session wanted was not done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The session is over: another one took its place, or it was ended.
    #[error("the device's session is over")]
    Replaced,
    /// The plan's events a minute are spent.
    #[error("the plan's events per minute are spent")]
    RateLimited {
        /// When to come back.
        retry_after: Duration,
    },
    /// The engine cannot do it now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Transport {
    /// The name that metrics show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::WebSocket => "websocket",
            Transport::Mqtt => "mqtt",
        }
    }
}

impl Session {
    pub(super) fn begun(
        key: &DeviceKey,
        workspace: WorkspaceId,
        fence: Fence,
        now: Timestamp,
    ) -> Session {
        Session {
            tenant: key.tenant,
            device: key.device,
            workspace,
            fence,
            known: Arc::new(Known {
                is_over: AtomicBool::new(false),
                seen_at: AtomicI64::new(now.micros()),
                noted_at: AtomicI64::new(now.micros()),
            }),
        }
    }

    /// Whether a newer session is known to have taken its place. One of which nothing is known may be over all the same.
    pub fn is_over(&self) -> bool {
        self.known.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.known.is_over.store(true, Ordering::Release);
    }

    pub(crate) fn key(&self) -> DeviceKey {
        DeviceKey {
            tenant: self.tenant,
            device: self.device,
        }
    }
}

impl Known {
    pub(crate) fn seen(&self, now: Timestamp) {
        self.seen_at.store(now.micros(), Ordering::Relaxed);
    }

    /// When the connection was heard of last, if that has not been taken before.
    pub(crate) fn take_seen(&self) -> Option<Timestamp> {
        let seen_at = self.seen_at.load(Ordering::Relaxed);
        let noted_at = self.noted_at.swap(seen_at, Ordering::Relaxed);
        (noted_at != seen_at).then(|| Timestamp::from_micros(seen_at))
    }
}

impl SessionError {
    /// Whether the same may succeed later, so that it is worth to try it again.
    pub fn is_passing(&self) -> bool {
        match self {
            SessionError::Replaced => false,
            SessionError::RateLimited { .. } => true,
            SessionError::Engine(error) => is_passing(error),
        }
    }
}

fn is_passing(error: &EngineError) -> bool {
    match error {
        EngineError::RateLimited { .. }
        | EngineError::Overloaded(_)
        | EngineError::StorageFull
        | EngineError::OwnerUnreachable { .. }
        | EngineError::Unavailable(_) => true,
        EngineError::NotFound(_)
        | EngineError::Invalid { .. }
        | EngineError::Conflict(_)
        | EngineError::VersionMismatch
        | EngineError::PlanRequired(_)
        | EngineError::IdempotencyInFlight
        | EngineError::IdempotencyMismatch
        | EngineError::Internal(_) => false,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} under {})", self.device, self.fence)
    }
}
