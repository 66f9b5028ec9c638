//! Which node works for which tenant.
//!
//! A tenant is held by one node at a time, under a lease in the control plane that names the node's session (see
//! `docs/decisions/`). This value claims leases when a tenant is needed, keeps them while anything uses them, and says where
//! a tenant lives that is held elsewhere. It starts and stops no actor: it tells the engine, which does.
//!
//! A node that nobody shares its stores with is **alone**: it holds every tenant, for ever, and none of this costs anything.

pub(crate) mod changes;
mod follower;
mod hand_over;
mod heartbeat;
mod holds;
mod locating;
pub(crate) mod log_message;
mod places;
mod readers;
mod session;
mod sweep;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::ids::TenantId;
use parking_lot::{Mutex, RwLock};
use rand::rngs::StdRng;
use store::control::{Control, LeaseKey, SessionId};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{device::Peers, webhook_board::WebhookBoard};
pub(crate) use follower::Followers;
pub(crate) use hand_over::Settler;
pub use holds::Hold;
use holds::Holds;
pub use places::Place;
use places::Places;
use readers::Readers;
pub(crate) use readers::{ReaderNews, SAID_EVERY};
use session::Session;
pub use session::Standing;
pub(crate) use sweep::Workshop;
pub use wire::Wire;

/// The part of the lease time for which a tenant stays held that nothing uses any more: whoever comes back within it needs no
/// claim.
const LINGER: u32 = 8;
/// What those are told whose tenant cannot be worked for now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether a node shares its stores with others.
#[derive(Clone, Default)]
pub enum Cluster {
    /// It has them for itself.
    #[default]
    Alone,
    /// Others may work on them too.
    Shared(SharedOptions),
}

/// What a node needs among others.
#[derive(Clone)]
pub struct SharedOptions {
    /// The node's name, as operators know it.
    pub node: String,
    /// How long a node that is not heard of keeps what it holds.
    pub lease: Duration,
    /// Carries news between nodes. Without one the stores alone say what has changed.
    pub wire: Option<Arc<dyn Wire>>,
    /// Brings questions about devices to other nodes. Without it devices whose tenant lives elsewhere cannot send anything.
    pub peers: Option<Arc<dyn Peers>>,
}

/// Why this node does not hold a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeld {
    /// Another node does.
    #[error("the tenant is held by node {node}")]
    Elsewhere {
        /// Under this session.
        session: SessionId,
        /// The node's name.
        node: String,
    },
    /// It is not certain that this node may work at all: the control plane has not confirmed its session lately.
    #[error("the control plane has not confirmed this node's session lately")]
    NoSession,
    /// The tenant, or all tenants, are being handed over.
    #[error("the tenant is being handed over to another node")]
    Leaving,
    /// The control plane does not answer.
    #[error("the control plane did not say who holds the tenant: {0}")]
    Unavailable(String),
}

impl NotHeld {
    /// When it is worth to try again.
    pub fn retry_after(&self) -> Duration {
        RETRY_AFTER
    }
}

/// How a node stands among others.
#[derive(Clone, Debug)]
pub struct ClusterHealth {
    /// Its name.
    pub node: String,
    /// Its session.
    pub session: Option<SessionId>,
    /// How that stands.
    pub standing: Standing,
    /// Whether news come and go; `None` without a wire.
    pub is_connected: Option<bool>,
    /// Tenants that it holds.
    pub held: usize,
}

/// What placement asks of the engine around it.
pub(crate) trait Household: Send + Sync + 'static {
    /// Stops every actor of these tenants at once (of all tenants if `None`): they are not this node's any more.
    fn evict(&self, tenant: Option<TenantId>);
    /// Nothing here holds the tenant any more: its readers need a follower.
    fn unheld(&self, tenant: TenantId);
    /// The session is certain again: whoever paused goes on.
    fn revive(&self);
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Placement {
    mode: Mode,
}

#[derive(Clone)]
enum Mode {
    Alone,
    Shared(Arc<Shared>),
}

/// A node among others.
pub(crate) struct Shared {
    control: Control,
    node: String,
    ttl: Duration,
    wire: Option<Arc<dyn Wire>>,
    peers: Option<Arc<dyn Peers>>,
    runtime: tokio::runtime::Handle,
    random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    board: Arc<WebhookBoard>,
    /// Names this process in its own news, so that it does not act on them.
    boot: String,
    session: RwLock<Option<Arc<Session>>>,
    session_told: watch::Sender<Option<SessionId>>,
    holds: Holds,
    places: Places,
    readers: Readers,
    /// Tenants of which the control plane may have a lease of ours that we know nothing of.
    doubtful: Mutex<HashSet<TenantId>>,
    /// Set once: the node takes nothing more.
    is_leaving: AtomicBool,
    /// The heartbeat is wanted now.
    beat_now: Notify,
    /// Free tenants are to be looked for now.
    sweep_now: Notify,
    household: OnceLock<Weak<dyn Household>>,
}

impl Placement {
    /// Holds every tenant, for ever.
    pub fn alone() -> Placement {
        Placement { mode: Mode::Alone }
    }

    /// A placement as the options say. One among others holds nothing before [`Placement::begin`].
    pub(crate) fn new(cluster: Cluster, around: Around) -> Placement {
        let options = match cluster {
            Cluster::Alone => return Placement::alone(),
            Cluster::Shared(options) => options,
        };
        let shared = Shared {
            control: around.control,
            node: options.node,
            ttl: options.lease,
            wire: options.wire,
            peers: options.peers,
            runtime: around.runtime,
            random: around.random,
            board: around.board,
            boot: around.boot,
            session: RwLock::default(),
            session_told: watch::Sender::new(None),
            holds: Holds::default(),
            places: Places::default(),
            readers: Readers::default(),
            doubtful: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            beat_now: Notify::new(),
            sweep_now: Notify::new(),
            household: OnceLock::new(),
        };
        Placement {
            mode: Mode::Shared(Arc::new(shared)),
        }
    }

    /// Says whom to tell of what is lost.
    pub(crate) fn attach(&self, household: Weak<dyn Household>) {
        if let Mode::Shared(shared) = &self.mode {
            // Attached once, by the engine that made it.
            drop(shared.household.set(household));
        }
    }

    pub(crate) fn shared(&self) -> Option<&Arc<Shared>> {
        match &self.mode {
            Mode::Alone => None,
            Mode::Shared(shared) => Some(shared),
        }
    }

    /// The way to ask other nodes about devices.
    pub(crate) fn peers(&self) -> Option<&Arc<dyn Peers>> {
        self.shared()?.peers.as_ref()
    }

    /// Whether other nodes may work on the same stores.
    pub fn is_shared(&self) -> bool {
        self.shared().is_some()
    }

    /// Holds the tenant from now on, for as long as any clone of the answer lives. Claims it if nobody holds it.
    pub async fn hold(&self, tenant: TenantId) -> Result<Hold, NotHeld> {
        match &self.mode {
            Mode::Alone => Ok(Hold::alone()),
            Mode::Shared(shared) => shared.hold(tenant).await,
        }
    }

    /// Where the tenant lives. One that nobody holds is claimed, unless this node is leaving. Asks no store if the tenant is
    /// held here.
    pub async fn locate(&self, tenant: TenantId) -> Result<Place, NotHeld> {
        match &self.mode {
            Mode::Alone => Ok(Place::Here),
            Mode::Shared(shared) => shared.locate(tenant).await,
        }
    }

    /// The place was wrong: the next look asks the control plane.
    pub fn forget(&self, tenant: TenantId) {
        if let Mode::Shared(shared) = &self.mode {
            shared.places.forget(tenant);
        }
    }

    /// All places may be wrong.
    pub(crate) fn forget_all(&self) {
        if let Mode::Shared(shared) = &self.mode {
            shared.places.forget_all();
        }
    }

    /// A node says that it gives up what it has.
    pub(crate) fn node_leaves(&self, session: &str) {
        if let (Mode::Shared(shared), Ok(session)) = (&self.mode, session.parse()) {
            shared.places.forget_session(session);
        }
    }

    /// A node says that it has gone: what it held is free.
    pub(crate) fn node_left(&self, session: &str) {
        self.node_leaves(session);
        if let Mode::Shared(shared) = &self.mode {
            shared.sweep_now.notify_one();
        }
    }

    /// The number of the wire's connection.
    pub(crate) fn connection(&self) -> Option<u64> {
        self.shared()?.wire.as_ref()?.connection()
    }

    /// Whether the tenant is held here, in use or not.
    pub fn is_held(&self, tenant: TenantId) -> bool {
        match &self.mode {
            Mode::Alone => true,
            Mode::Shared(shared) => shared.holds.fence(tenant).is_some(),
        }
    }

    /// The fence under which the tenant is held here among others.
    pub fn fence(&self, tenant: TenantId) -> Option<domain::fence::Fence> {
        self.shared()?.holds.fence(tenant)
    }

    /// This node's name among others.
    pub fn node(&self) -> Option<&str> {
        self.shared().map(|shared| shared.node.as_str())
    }

    /// This node's session, now and whenever it changes. Never one for a node that is alone.
    pub fn session(&self) -> watch::Receiver<Option<SessionId>> {
        match &self.mode {
            Mode::Alone => watch::channel(None).1,
            Mode::Shared(shared) => shared.session_told.subscribe(),
        }
    }

    /// How the node stands among others; `None` if it is alone.
    pub fn health(&self) -> Option<ClusterHealth> {
        let shared = self.shared()?;
        let session = shared.session.read().clone();
        Some(ClusterHealth {
            node: shared.node.clone(),
            session: session.as_ref().map(|session| session.id()),
            standing: session.map_or(Standing::Lost, |s| s.standing(Instant::now())),
            is_connected: shared.wire.as_ref().map(|wire| wire.connection().is_some()),
            held: shared.holds.len(),
        })
    }

    /// Whether this node is the one that does a job which one node does for all. It stays so until it ends.
    pub(crate) async fn takes_job(&self, job: &str) -> bool {
        let Mode::Shared(shared) = &self.mode else {
            return true;
        };
        let Some(session) = shared.live_session() else {
            return false;
        };
        let key = LeaseKey::Job(job.to_owned());
        match shared.control.claim(session.id(), &key).await {
            Ok(store::control::Claim::Granted { .. }) => true,
            Ok(store::control::Claim::Held { .. } | store::control::Claim::SessionGone) => false,
            Err(error) => {
                tracing::warn!(job, %error, "it was not found out who does {job}: {error}");
                false
            }
        }
    }
}

impl Shared {
    /// The session, if it is certain that it stands.
    fn live_session(&self) -> Option<Arc<Session>> {
        let session = self.session.read().clone()?;
        (session.standing(Instant::now()) == Standing::Held).then_some(session)
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Acquire)
    }

    fn household(&self) -> Option<Arc<dyn Household>> {
        self.household.get()?.upgrade()
    }
}

fn unavailable(error: &store::StoreError) -> NotHeld {
    NotHeld::Unavailable(error.to_string())
}

/// What a placement has around it.
pub(crate) struct Around {
    pub(crate) control: Control,
    /// A runtime without actors.
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    pub(crate) board: Arc<WebhookBoard>,
    pub(crate) boot: String,
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mode {
            Mode::Alone => f.write_str("Alone"),
            Mode::Shared(shared) => write!(f, "Shared({})", shared.node),
        }
    }
}
