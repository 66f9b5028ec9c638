//! Puts a node together from its configuration: the data folder, the stores, the threads, the engine.
//!
//! Decides nothing that the configuration leaves open. Listens to nobody: that is the server's.

mod data_folder;
mod error;

use std::{collections::HashMap, io, num::NonZeroUsize, sync::Arc, time::Duration};

use actix_rt::{Arbiter, ArbiterHandle};
use actix_web::web::{self, ServiceConfig};
use actors::{
    Engine, EngineOptions, feed::RingLimits, region::RegionLogs, registry::RegistryOptions,
    tenant::TenantTuning, webhook::WebhookTuning,
};
use domain::{breaker::BreakerPolicy, clock::Clock, new_event, region::Region, seal::MasterKey};
use ipnet::IpNet;
use outbound::{ClientError, ClientOptions, Guard, Outside, WebhookClient};
use rand::rngs::StdRng;
use store::{
    checkpoints::SignedCheckpoints,
    control::Control,
    log::{RegionLog, sqlite::SqliteLog},
};

use crate::{
    config::{self, Database, Settings},
    http::{limits::KeyLimits, workspace_names::WorkspaceNames},
};

pub(crate) use data_folder::{DataFolder, FolderLock, KeyOrigin};
pub(crate) use error::AssembleError;

/// How soon the mark of what was dispatched follows the head of a log.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// How long a webhook's actor stays without work: it comes back as cheaply as it goes.
const WEBHOOK_IDLE_FOR: Duration = Duration::from_secs(10);
/// How long name look-ups in progress may hold up the end.
const OUTSIDE_ENDS_WITHIN: Duration = Duration::from_secs(1);
/// Tenants that are looked at in one step.
const TENANTS_PAGE: u32 = 500;

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
    /// Where the master key comes from.
    pub(crate) key_origin: KeyOrigin,
    arbiters: Vec<Arbiter>,
    outside: Outside,
    _lock: FolderLock,
}

/// What commands of operators work on; see [`control_plane`].
pub(crate) struct ControlPlane {
    /// The engine, without events.
    pub(crate) engine: Engine,
    /// Where everything is kept.
    pub(crate) folder: DataFolder,
    _outside: Outside,
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HandlerState {
    engine: web::Data<Engine>,
    settings: web::Data<Settings>,
    limits: web::Data<new_event::Limits>,
    key_limits: web::Data<KeyLimits>,
    workspace_names: web::Data<WorkspaceNames>,
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
        let Database::Embedded = settings.storage.database_url;
        let folder = DataFolder::make(&settings.storage.data_dir)?;
        let lock = folder.lock()?;
        let (master_key, key_origin) = folder.master_key(&settings.security.master_key)?;
        let control = open_control(&folder).await?;
        check(&folder, &control, &master_key, &settings.regions.enabled).await?;
        let logs = open_logs(&folder, &settings.regions.enabled).await?;
        let checkpoints = open_checkpoints(&folder)?;
        let outside = start_outside(settings)?;
        let arbiters = (0..config::threads(settings.engine.arbiters))
            .map(|_| Arbiter::try_new())
            .collect::<Result<Vec<Arbiter>, io::Error>>()
            .map_err(AssembleError::Thread)?;
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        let parts = Parts {
            control,
            logs,
            checkpoints,
            master_key,
        };
        let engine = engine(given, parts, handles, &outside)?;
        Ok(Node {
            engine,
            folder,
            key_origin,
            arbiters,
            outside,
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
            workspace_names: web::Data::default(),
        }
    }

    /// Ends the threads, after the engine was shut down.
    pub(crate) fn end(self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        self.outside.shutdown(OUTSIDE_ENDS_WITHIN);
    }
}

impl HandlerState {
    /// Gives it to the handlers of one worker.
    pub(crate) fn add_to(&self, app: &mut ServiceConfig) {
        app.app_data(self.engine.clone())
            .app_data(self.settings.clone())
            .app_data(self.limits.clone())
            .app_data(self.key_limits.clone())
            .app_data(self.workspace_names.clone());
    }
}

/// An engine for commands that read and change the control plane, beside a running server or without one. Events cannot
/// be asked for: their logs stay closed, because only one process may have them. Runs within an actix system.
pub(crate) async fn control_plane(given: &Given) -> Result<ControlPlane, AssembleError> {
    let settings = &given.settings;
    let Database::Embedded = settings.storage.database_url;
    let folder = DataFolder::existing(&settings.storage.data_dir)?;
    let master_key = folder.kept_master_key(&settings.security.master_key)?;
    let control = open_control(&folder).await?;
    check(&folder, &control, &master_key, &settings.regions.enabled).await?;
    let outside = start_outside(settings)?;
    let parts = Parts {
        control,
        logs: RegionLogs::closed(&settings.regions.enabled),
        checkpoints: open_checkpoints(&folder)?,
        master_key,
    };
    let engine = engine(given, parts, vec![Arbiter::current()], &outside)?;
    Ok(ControlPlane {
        engine,
        folder,
        _outside: outside,
    })
}

struct Parts {
    control: Control,
    logs: RegionLogs,
    checkpoints: SignedCheckpoints,
    master_key: MasterKey,
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
        tenant_registry: RegistryOptions {
            in_flight_max: settings.engine.tenant_in_flight_max.get(),
            ask_timeout: Duration::from_millis(settings.engine.ask_timeout_ms.get()),
        },
        tenant_tuning: tenant_tuning(settings),
        webhook_tuning: webhook_tuning(settings),
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
        jitter: true,
    }
}

async fn open_control(folder: &DataFolder) -> Result<Control, AssembleError> {
    let path = folder.control_path();
    let opened = Control::open(&format!("sqlite:{}", path.display())).await;
    opened.map_err(|source| AssembleError::Store {
        what: path.display().to_string(),
        source,
    })
}

async fn open_logs(folder: &DataFolder, regions: &[Region]) -> Result<RegionLogs, AssembleError> {
    let mut logs: HashMap<Region, Arc<dyn RegionLog>> = HashMap::new();
    for &region in regions {
        let opened = SqliteLog::open(folder.path(), region).await;
        let log = opened.map_err(|source| AssembleError::Store {
            what: format!("the log of region {region} in {}", folder.path().display()),
            source,
        })?;
        logs.insert(region, Arc::new(log));
    }
    Ok(RegionLogs::new(logs))
}

fn open_checkpoints(folder: &DataFolder) -> Result<SignedCheckpoints, AssembleError> {
    let path = folder.checkpoints_path();
    let what = path.display().to_string();
    SignedCheckpoints::open(path).map_err(|source| AssembleError::Store { what, source })
}

/// Refuses a master key or a list of regions that the stored tenants do not fit.
async fn check(
    folder: &DataFolder,
    control: &Control,
    master_key: &MasterKey,
    served: &[Region],
) -> Result<(), AssembleError> {
    let failed = |source| AssembleError::Store {
        what: "the list of tenants".to_owned(),
        source,
    };
    let mut page = control.tenants(None, 1).await.map_err(failed)?;
    if let Some(first) = page.first()
        && master_key.unwrap_key(&first.wrapped_key, first.id).is_err()
    {
        return Err(AssembleError::OtherMasterKey {
            path: folder.path().to_owned(),
        });
    }
    // Tenants can live only where there is a log, and most often there is none beside those that are served.
    let is_left_out = |region: &Region| folder.has_log_of(*region) && !served.contains(region);
    if !Region::ALL.iter().any(is_left_out) {
        return Ok(());
    }
    loop {
        if let Some(tenant) = page.iter().find(|tenant| !served.contains(&tenant.region)) {
            let tenant_name = tenant.slug.clone();
            return Err(AssembleError::RegionLeftOut {
                region: tenant.region,
                tenant: tenant_name,
            });
        }
        let Some(last) = page.last() else {
            return Ok(());
        };
        page = control
            .tenants(Some(last.id), TENANTS_PAGE)
            .await
            .map_err(failed)?;
    }
}
