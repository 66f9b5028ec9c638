//! Puts a node together from its configuration: the data folder, the stores, the threads, the engine.
//!
//! Decides nothing that the configuration leaves open. Listens to nobody: that is the server's.

mod cluster;
mod data_folder;
mod error;
mod migration;
mod stores;

use std::{io, num::NonZeroUsize, sync::Arc, time::Duration};

use actix_rt::{Arbiter, ArbiterHandle};
use actix_web::web::{self, ServiceConfig};
use actors::{
    Engine, EngineOptions, feed::RingLimits, placement::Cluster, region::RegionLogs,
    registry::RegistryOptions, tenant::TenantTuning, webhook::WebhookTuning,
};
use domain::{breaker::BreakerPolicy, clock::Clock, new_event, seal::MasterKey};
use ipnet::IpNet;
use outbound::{Bus, ClientError, ClientOptions, Guard, Outside, WebhookClient};
use rand::rngs::StdRng;
use store::{checkpoints::SignedCheckpoints, control::Control};

use crate::{
    config::{self, Settings},
    devices::sessions::Sessions,
    http::{
        limits::{KeyLimits, SignupLimits},
        workspace_names::WorkspaceNames,
    },
};

pub(crate) use data_folder::{DataFolder, FolderLock, KeyOrigin};
pub(crate) use error::AssembleError;
pub(crate) use migration::{MigratedDatabase, migrations};
use stores::StoreRuntime;

/// How soon the mark of what was dispatched follows the head of a log.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// How long a webhook's actor stays without work: it comes back as cheaply as it goes.
const WEBHOOK_IDLE_FOR: Duration = Duration::from_secs(10);
/// How long outcomes of deliveries wait for each other: a few times as long as a write takes.
const OUTCOMES_GATHER_FOR: Duration = Duration::from_millis(5);
/// How long name look-ups in progress may hold up the end.
const OUTSIDE_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Makes generators of randomness.
pub(crate) type Random = Arc<dyn Fn() -> StdRng + Send + Sync>;

/// What is given to a node from outside.
#[derive(Clone)]
pub(crate) struct Given {
    /// The settings in force.
    pub(crate) settings: Arc<Settings>,
    /// The one source of time.
    pub(crate) clock: Clock,
    /// The one source of randomness.
    pub(crate) random: Random,
}

/// A node whose engine can be asked, and that nobody listens for yet.
pub(crate) struct Node {
    /// The engine.
    pub(crate) engine: Engine,
    /// Where everything is kept.
    pub(crate) folder: DataFolder,
    /// Where the control plane is: that folder, or a server.
    pub(crate) place: String,
    /// Where the master key comes from.
    pub(crate) key_origin: KeyOrigin,
    /// The way to the other nodes, if there are any.
    pub(crate) bus: Option<Bus>,
    /// The devices that are connected to this node.
    pub(crate) sessions: Sessions,
    arbiters: Vec<Arbiter>,
    outside: Outside,
    store_runtime: StoreRuntime,
    _lock: FolderLock,
}

/// What commands of operators work on; see [`control_plane`].
pub(crate) struct ControlPlane {
    /// The engine, without events.
    pub(crate) engine: Engine,
    /// Where everything is kept.
    pub(crate) folder: DataFolder,
    _outside: Outside,
    _store_runtime: StoreRuntime,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HandlerState {
    engine: web::Data<Engine>,
    settings: web::Data<Settings>,
    limits: web::Data<new_event::Limits>,
    key_limits: web::Data<KeyLimits>,
    signup_limits: web::Data<SignupLimits>,
    workspace_names: web::Data<WorkspaceNames>,
    sessions: web::Data<Sessions>,
}

impl Given {
    /// The settings, with the machine's clock and randomness.
    pub(crate) fn new(settings: Settings) -> Given {
        Given {
            settings: Arc::new(settings),
            clock: crate::clock::system(),
            random: Arc::new(rand::make_rng::<StdRng>),
        }
    }
}

impl Node {
    /// Opens everything in the data folder, and makes what is not there yet. Runs within an actix system.
    pub(crate) async fn open(given: &Given) -> Result<Node, AssembleError> {
        let settings = &given.settings;
        let folder = DataFolder::make(&settings.storage.data_dir)?;
        let lock = folder.lock()?;
        let key = stores::master_key(settings, &folder)?;
        let store_runtime = StoreRuntime::start(settings)?;
        let opened = stores::open_control(settings, &folder, &store_runtime, key).await?;
        let logs = stores::open_logs(settings, &folder, &store_runtime).await?;
        let checkpoints = stores::open_checkpoints(&folder)?;
        let outside = start_outside(settings)?;
        let arbiters = (0..config::threads(settings.engine.arbiters))
            .map(|_| Arbiter::try_new())
            .collect::<Result<Vec<Arbiter>, io::Error>>()
            .map_err(AssembleError::Thread)?;
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        let (cluster, bus) = cluster::cluster(settings, &outside)?;
        let key_origin = opened.key_origin;
        let parts = Parts {
            control: opened.control,
            logs,
            checkpoints,
            master_key: opened.master_key,
            cluster,
        };
        let engine = engine(given, parts, handles, &outside)?;
        Ok(Node {
            engine,
            place: stores::place(settings, &folder),
            folder,
            key_origin,
            bus,
            sessions: Sessions::default(),
            arbiters,
            outside,
            store_runtime,
            _lock: lock,
        })
    }

    /// What handlers share.
    pub(crate) fn handler_state(&self, settings: &Arc<Settings>) -> HandlerState {
        let ingest = &settings.ingest;
        HandlerState {
            engine: web::Data::new(self.engine.clone()),
            settings: web::Data::from(Arc::clone(settings)),
            limits: web::Data::new(new_event::Limits {
                payload_bytes_max: ingest.payload_bytes_max.get(),
                batch_events_max: ingest.batch_events_max.get(),
                depth_max: ingest.depth_max.get(),
            }),
            key_limits: web::Data::default(),
            signup_limits: web::Data::default(),
            workspace_names: web::Data::default(),
            sessions: web::Data::new(self.sessions.clone()),
        }
    }

    /// Ends the threads, after the engine was shut down.
    pub(crate) fn end(self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.outside.shutdown(OUTSIDE_ENDS_WITHIN);
        self.store_runtime.end();
    }
}

impl HandlerState {
    /// Gives it to the handlers of one worker.
    pub(crate) fn add_to(&self, app: &mut ServiceConfig) {
        app.app_data(self.engine.clone())
            .app_data(self.settings.clone())
            .app_data(self.limits.clone())
            .app_data(self.key_limits.clone())
            .app_data(self.signup_limits.clone())
            .app_data(self.workspace_names.clone())
            .app_data(self.sessions.clone());
    }
}

/// An engine for commands that read and change the control plane, beside a running server or without one. Events cannot
/// be asked for: their logs stay closed, because only one process may have them. Runs within an actix system.
pub(crate) async fn control_plane(given: &Given) -> Result<ControlPlane, AssembleError> {
    let settings = &given.settings;
    let folder = stores_folder(settings)?;
    let key = stores::kept_master_key(settings, &folder)?;
    let store_runtime = StoreRuntime::start(settings)?;
    let opened = stores::open_control(settings, &folder, &store_runtime, key).await?;
    let outside = start_outside(settings)?;
    let parts = Parts {
        control: opened.control,
        logs: RegionLogs::closed(&settings.regions.enabled),
        checkpoints: stores::open_checkpoints(&folder)?,
        master_key: opened.master_key,
        // It works for no tenant.
        cluster: Cluster::Alone,
    };
    let engine = engine(given, parts, vec![Arbiter::current()], &outside)?;
    Ok(ControlPlane {
        engine,
        folder,
        _outside: outside,
        _store_runtime: store_runtime,
    })
}

/// The folder of a store that is there. What lies on a server is there without any folder.
fn stores_folder(settings: &Settings) -> Result<DataFolder, AssembleError> {
    let path = &settings.storage.data_dir;
    if settings.storage.database_url.is_shared() {
        DataFolder::make(path)
    } else {
        DataFolder::existing(path)
    }
}

struct Parts {
    control: Control,
    logs: RegionLogs,
    checkpoints: SignedCheckpoints,
    master_key: MasterKey,
    cluster: Cluster,
}

fn engine(
    given: &Given,
    parts: Parts,
    arbiters: Vec<ArbiterHandle>,
    outside: &Outside,
) -> Result<Engine, AssembleError> {
    let Given {
        settings,
        clock,
        random,
    } = given;
    let client = client(settings, &settings.outbound.allow, clock, outside)?;
    let Parts {
        control,
        logs,
        checkpoints,
        master_key,
        cluster,
    } = parts;
    Ok(Engine::new(EngineOptions {
        clock: clock.clone(),
        random: Arc::clone(random),
        control,
        logs,
        checkpoints,
        arbiters,
        outside: outside.handle(),
        client,
        master_key,
        plans: settings.plans,
        cluster,
        tenant_registry: RegistryOptions {
            in_flight_max: settings.engine.tenant_in_flight_max.get(),
            ask_timeout: Duration::from_millis(settings.engine.ask_timeout_ms.get()),
        },
        tenant_tuning: tenant_tuning(settings),
        webhook_tuning: webhook_tuning(settings),
        retention_every: Duration::from_secs(settings.engine.retention_every_seconds.get()),
    }))
}

/// The client that posts to webhooks, which reaches private networks only within `allow`.
pub(crate) fn client(
    settings: &Settings,
    allow: &[IpNet],
    clock: &Clock,
    outside: &Outside,
) -> Result<WebhookClient, ClientError> {
    let webhooks = &settings.webhooks;
    WebhookClient::new(ClientOptions {
        guard: Guard::new(allow.to_vec()),
        connect_timeout: Duration::from_millis(webhooks.connect_timeout_ms.get()),
        per_host_in_flight_max: webhooks.per_host_in_flight_max.get(),
        pool_idle_per_host_max: webhooks.idle_per_host_max,
        user_agent: concat!("Trunkline/", env!("CARGO_PKG_VERSION")).to_owned(),
        extra_roots: Vec::new(),
        clock: clock.clone(),
        runtime: outside.handle(),
    })
}

/// The runtime for requests to others.
pub(crate) fn start_outside(settings: &Settings) -> Result<Outside, AssembleError> {
    let threads: NonZeroUsize = settings.outbound.threads;
    Outside::start(threads.get()).map_err(AssembleError::Thread)
}

fn tenant_tuning(settings: &Settings) -> TenantTuning {
    let engine = &settings.engine;
    TenantTuning {
        passivate_after: Duration::from_secs(engine.passivate_after_seconds.get()),
        ring: RingLimits {
            events_max: engine.ring_events_max.get(),
            bytes_max: engine.ring_bytes_max.get(),
        },
        dedup_capacity: engine.dedup_ids_max.get(),
        mark_every: MARK_EVERY,
    }
}

fn webhook_tuning(settings: &Settings) -> WebhookTuning {
    let webhooks = &settings.webhooks;
    WebhookTuning {
        breaker: BreakerPolicy {
            failures_max: webhooks.breaker_failures_max.get(),
            open_for: Duration::from_secs(webhooks.breaker_open_seconds.get()),
            openings_max: webhooks.breaker_openings_max.get(),
        },
        passivate_after: WEBHOOK_IDLE_FOR,
        gather_for: OUTCOMES_GATHER_FOR,
        jitter: true,
    }
}
