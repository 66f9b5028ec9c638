//! An engine with one tenant, and a clock that the test moves.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::Arbiter;
use domain::{
    breaker::BreakerPolicy,
    clock::Clock,
    event::{EventType, Fields, NewEvent},
    ids::{TenantId, WebhookId, WorkspaceId},
    plan::{PlanName, Plans},
    region::Region,
    seal::MasterKey,
    time::Timestamp,
    webhook::WebhookInput,
};
use outbound::{ClientOptions, Guard, WebhookClient};
use rand::{SeedableRng as _, rngs::StdRng};
use store::{
    checkpoints::SignedCheckpoints,
    control::{Control, Tenant},
    log::{RegionLog, sqlite::SqliteLog},
};
use tempfile::TempDir;
use tokio::{runtime::Handle, time::Instant};

use super::samples::LIMITS;
use crate::{
    Engine, EngineOptions,
    engine::{TenantInput, WebhookView},
    region::RegionLogs,
    registry::RegistryOptions,
    tenant::TenantTuning,
    webhook::{WebhookStatus, WebhookTuning},
};

/// Holds tokio's clock still: a running blocking task stops a paused clock from advancing by itself.
struct HeldClock {
    /// The task ends when this is dropped.
    _release: std::sync::mpsc::Sender<()>,
}

impl HeldClock {
    fn pause() -> HeldClock {
        tokio::time::pause();
        let (release, held) = std::sync::mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || held.recv().ok()));
        HeldClock { _release: release }
    }
}

/// What the first engine's randomness begins with.
const FIRST_SEED: u64 = 7;

/// See the module.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) tenant: Tenant,
    pub(crate) workspace: WorkspaceId,
    pub(crate) log: Arc<dyn RegionLog>,
    pub(crate) control: Control,
    master: String,
    folder: Arc<TempDir>,
    seed: u64,
    /// The same for every engine on these stores, as wall time is.
    time: Clock,
    _clock: Arc<HeldClock>,
}

impl House {
    pub(crate) async fn open() -> House {
        let clock = Arc::new(HeldClock::pause());
        let folder = Arc::new(TempDir::new().unwrap());
        let master = MasterKey::generate().to_hex().to_string();
        let started = Instant::now();
        let epoch = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let time = Clock::new(epoch, move || started.elapsed());
        let (engine, log, control) = engine(&folder, &master, &time, FIRST_SEED).await;
        let input = TenantInput {
            name: "Test".into(),
            slug: "test".into(),
            plan: PlanName::Enterprise,
            region: Region::Au,
        };
        let made = engine.create_tenant(input).await.unwrap();
        House {
            engine,
            tenant: made.tenant,
            workspace: made.workspace,
            log,
            control,
            master,
            folder,
            seed: FIRST_SEED,
            time,
            _clock: clock,
        }
    }

    pub(crate) fn id(&self) -> TenantId {
        self.tenant.id
    }

    /// Where it is remembered what was signed last of the workspace.
    pub(crate) fn signed(&self) -> std::path::PathBuf {
        let folder = self.folder.path().join("checkpoints");
        let name = format!("{}.json", self.workspace);
        folder.join(self.tenant.region.name()).join(name)
    }

    /// Ends the engine as a kill would, seen from its stores, and starts another one on them.
    pub(crate) async fn kill_and_restart(self) -> House {
        self.log.close().await;
        self.control.close().await;
        // Its actors still live on this thread: they must not send any more. Even a deadline of now needs a clock that moves.
        let moment = tokio::time::advance(Duration::from_millis(2));
        tokio::join!(self.engine.shut_down(Duration::ZERO), moment);
        // Another process has another name.
        let seed = self.seed + 1_000_000;
        let (engine, log, control) = engine(&self.folder, &self.master, &self.time, seed).await;
        engine.wake().await.unwrap();
        House {
            seed,
            engine,
            log,
            control,
            ..self
        }
    }

    /// Makes a webhook from the members that the test cares for.
    pub(crate) async fn webhook(&self, url: &str, members: &str) -> WebhookId {
        let body = format!(r#"{{"url":"{url}"{members}}}"#);
        let input = WebhookInput::parse(body.as_bytes()).unwrap();
        let made = self
            .engine
            .create_webhook(&self.tenant, None, input)
            .await
            .unwrap();
        made.webhook.id
    }

    /// Ingests one event of each kind; a kind may be followed by `/` and an ordering key.
    pub(crate) async fn ingest(&self, kinds: &[&str]) {
        let events = kinds.iter().map(|kind| {
            let (kind, key) = kind
                .split_once('/')
                .map_or((*kind, None), |(k, o)| (k, Some(o)));
            NewEvent {
                workspace: self.workspace,
                kind: EventType::new(kind).unwrap(),
                fields: Fields {
                    ordering_key: key.map(Into::into),
                    ..Fields::default()
                },
                payload: "{}".into(),
            }
        });
        let events = events.collect();
        self.engine.ingest(self.id(), events, None).await.unwrap();
    }

    /// Ingests so many events of one kind.
    pub(crate) async fn ingest_many(&self, kind: &str, count: usize) {
        self.ingest(&vec![kind; count]).await;
    }

    pub(crate) async fn view(&self, webhook: WebhookId) -> WebhookView {
        self.engine.webhook(self.id(), None, webhook).await.unwrap()
    }

    /// Waits until the webhook stands as the test wants.
    pub(crate) async fn until(
        &self,
        webhook: WebhookId,
        is_there: impl Fn(&WebhookView) -> bool,
    ) -> WebhookView {
        loop {
            let view = self.view(webhook).await;
            if is_there(&view) {
                return view;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the webhook's running actor stands as the test wants.
    pub(crate) async fn until_status(
        &self,
        webhook: WebhookId,
        is_there: impl Fn(&WebhookStatus) -> bool,
    ) {
        self.until(webhook, |view| view.status.as_ref().is_some_and(&is_there))
            .await;
    }

    /// Waits until everything up to `cursor` is settled, on disk, and nothing is on its way.
    pub(crate) async fn settled(&self, webhook: WebhookId, cursor: u64) {
        self.until_status(webhook, |status| {
            status.in_flight == 0 && status.cursor.get() >= cursor
        })
        .await;
    }

    /// Moves the clock.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }

    /// How many attempts each delivery of the webhook has had, and how it stands, oldest event first.
    pub(crate) async fn deliveries(&self, webhook: WebhookId) -> Vec<(u64, u32, String)> {
        let all = self
            .engine
            .deliveries(self.id(), None, webhook, (None, None, 500));
        let mut all: Vec<_> = all
            .await
            .unwrap()
            .into_iter()
            .map(|view| view.delivery)
            .collect();
        all.reverse();
        let short = |state| format!("{state:?}").to_lowercase();
        all.iter()
            .map(|one| (one.position.get(), one.attempts, short(one.state)))
            .collect()
    }
}

async fn engine(
    folder: &TempDir,
    master: &str,
    clock: &Clock,
    seed: u64,
) -> (Engine, Arc<dyn RegionLog>, Control) {
    let path = |name: &str| folder.path().join(name);
    let url = format!("sqlite:{}", path("control.db").display());
    let control = Control::open(&url).await.unwrap();
    let log = SqliteLog::open(folder.path(), Region::Au).await.unwrap();
    let log: Arc<dyn RegionLog> = Arc::new(log);
    let client = WebhookClient::new(ClientOptions {
        guard: Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
        connect_timeout: Duration::from_secs(5),
        per_host_in_flight_max: 256,
        pool_idle_per_host_max: 256,
        user_agent: "Trunkline/test".into(),
        extra_roots: Vec::new(),
        clock: clock.clone(),
        runtime: Handle::current(),
    });
    let seeds = AtomicU64::new(seed);
    let engine = Engine::new(EngineOptions {
        clock: clock.clone(),
        random: Arc::new(move || StdRng::seed_from_u64(seeds.fetch_add(1, Ordering::Relaxed))),
        control: control.clone(),
        logs: RegionLogs::new(HashMap::from([(Region::Au, Arc::clone(&log))])),
        checkpoints: SignedCheckpoints::open(path("checkpoints")).unwrap(),
        arbiters: vec![Arbiter::current()],
        outside: Handle::current(),
        client: client.unwrap(),
        master_key: MasterKey::parse(master).unwrap(),
        plans: Plans::default(),
        cluster: crate::placement::Cluster::Alone,
        tenant_registry: RegistryOptions {
            in_flight_max: 64,
            ask_timeout: Duration::from_secs(30),
        },
        tenant_tuning: TenantTuning {
            passivate_after: Duration::from_secs(7 * 24 * 60 * 60),
            ring: LIMITS,
            dedup_capacity: 1_000,
            mark_every: Duration::from_millis(50),
        },
        webhook_tuning: WebhookTuning {
            breaker: BreakerPolicy {
                failures_max: 3,
                ..BreakerPolicy::default()
            },
            passivate_after: Duration::from_secs(10),
            gather_for: Duration::ZERO,
            jitter: false,
        },
        retention_every: Duration::from_secs(1_000_000_000),
    });
    (engine, log, control)
}
