//! Several nodes in one process, on one control plane and one log, with a wire between them that loses what it is told to.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::Arbiter;
use bytes::Bytes;
use domain::{
    chain,
    clock::Clock,
    event::{Event, EventType, Fields, NewEvent},
    ids::{TenantId, WorkspaceId},
    plan::{PlanName, Plans},
    position::Position,
    region::Region,
    seal::MasterKey,
    time::Timestamp,
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use outbound::{
    ClientOptions, Guard, WebhookClient,
    bus::{BusError, Handler, Topic},
};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use store::{
    checkpoints::SignedCheckpoints,
    control::{Control, LeaseKey, Owner, SessionId},
    log::{RegionLog, sqlite::SqliteLog},
};
use tempfile::TempDir;
use tokio::{runtime::Handle, sync::broadcast, time::Instant};

use crate::{
    Engine, EngineError, EngineOptions,
    device::{Answering, Peers},
    engine::TenantInput,
    feed::RingLimits,
    placement::{Cluster, Shared, SharedOptions, Wire},
    region::RegionLogs,
    registry::RegistryOptions,
    tenant::{Ingested, Item, TenantTuning},
    webhook::WebhookTuning,
};

/// How long anything may take. Generous: it only turns a hang into a message.
const CAP: Duration = Duration::from_secs(180);

/// Long enough for the slowest machine: tests ask for heartbeats and sweeps when they want one.
const LEASE: Duration = Duration::from_secs(15);

pub(crate) struct Stand {
    folder: TempDir,
    pub(crate) control: Control,
    pub(crate) log: Arc<dyn RegionLog>,
    pub(crate) wire: Arc<LossyWire>,
    pub(crate) peers: Arc<Neighbours>,
}

/// One node.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) shared: Arc<Shared>,
}

/// A tenant, and the workspace that its events go to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Customer {
    pub(crate) id: TenantId,
    pub(crate) workspace: WorkspaceId,
}

/// Loses `lost_percent` of what is told.
pub(crate) struct LossyWire {
    sender: broadcast::Sender<(Topic, Bytes)>,
    random: Mutex<StdRng>,
    pub(crate) lost_percent: AtomicU32,
    connection: AtomicU64,
}

impl Stand {
    pub(crate) async fn open() -> Stand {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("control.db").display());
        let control = Control::open(&url).await.unwrap();
        let log = SqliteLog::open(folder.path(), Region::Au).await.unwrap();
        let wire = LossyWire {
            sender: broadcast::Sender::new(100_000),
            random: Mutex::new(StdRng::seed_from_u64(11)),
            lost_percent: AtomicU32::new(0),
            connection: AtomicU64::new(1),
        };
        Stand {
            folder,
            control,
            log: Arc::new(log),
            wire: Arc::new(wire),
            peers: Arc::default(),
        }
    }

    /// A node that has joined.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let node = self.stranger(name);
        node.engine.wake().await.unwrap();
        node
    }

    /// A node that has not joined: it has no session, and holds nothing.
    pub(crate) fn stranger(&self, name: &str) -> Node {
        let started_at = Instant::now();
        let start = Timestamp::from_micros(1_700_000_000_000_000);
        let clock = Clock::new(start, move || started_at.elapsed());
        let client = WebhookClient::new(ClientOptions {
            guard: Guard::new(Vec::new()),
            connect_timeout: Duration::from_secs(5),
            per_host_in_flight_max: 16,
            pool_idle_per_host_max: 16,
            user_agent: "Trunkline/test".into(),
            extra_roots: Vec::new(),
            clock: clock.clone(),
            runtime: Handle::current(),
        });
        let seed = AtomicU64::new(name.bytes().map(u64::from).sum());
        let logs = HashMap::from([(Region::Au, Arc::clone(&self.log))]);
        let checkpoints = self.folder.path().join(format!("checkpoints-{name}"));
        let engine = Engine::new(EngineOptions {
            clock,
            random: Arc::new(move || StdRng::seed_from_u64(seed.fetch_add(1, Ordering::Relaxed))),
            control: self.control.clone(),
            logs: RegionLogs::new(logs),
            checkpoints: SignedCheckpoints::open(checkpoints).unwrap(),
            arbiters: vec![Arbiter::current()],
            outside: Handle::current(),
            client: client.unwrap(),
            master_key: MasterKey::parse(&"7".repeat(64)).unwrap(),
            plans: Plans::default(),
            cluster: Cluster::Shared(SharedOptions {
                node: name.to_owned(),
                lease: LEASE,
                wire: Some(Arc::clone(&self.wire) as Arc<dyn Wire>),
                peers: Some(Arc::clone(&self.peers) as Arc<dyn Peers>),
            }),
            tenant_registry: RegistryOptions {
                in_flight_max: 4_096,
                ask_timeout: Duration::from_secs(60),
            },
            tenant_tuning: tuning(),
            webhook_tuning: WebhookTuning {
                breaker: Default::default(),
                passivate_after: Duration::from_secs(10),
                gather_for: Duration::ZERO,
                jitter: false,
            },
            retention_every: Duration::from_secs(1_000_000_000),
        });
        let shared = Arc::clone(engine.inner.placement.shared().unwrap());
        Node { engine, shared }
    }

    /// Who holds the tenant, as the control plane says.
    pub(crate) async fn owner(&self, customer: Customer) -> Option<Owner> {
        let key = LeaseKey::Tenant(customer.id);
        self.control.owner(&key).await.unwrap()
    }

    pub(crate) async fn all(&self, customer: Customer) -> Vec<Event> {
        self.log
            .read_after(customer.id, Position::ZERO, 100_000, usize::MAX)
            .await
            .unwrap()
    }

    /// Looks at every event: positions without a hole, and one unbroken chain.
    pub(crate) async fn check_log(&self, customer: Customer) -> Vec<Event> {
        let events = self.all(customer).await;
        let mut prev = domain::event::Hash::default();
        for (number, event) in (1..).zip(&events) {
            assert_eq!((event.position.get(), event.seq.get()), (number, number));
            assert_eq!(event.prev_hash, prev, "at {number}");
            assert_eq!(chain::hash_event(customer.id, event), event.hash);
            prev = event.hash;
        }
        events
    }
}

impl Node {
    pub(crate) async fn customer(&self, slug: &str) -> Customer {
        let input = TenantInput {
            name: slug.to_owned(),
            slug: slug.to_owned(),
            plan: PlanName::Enterprise,
            region: Region::Au,
        };
        let made = self.engine.create_tenant(input).await.unwrap();
        Customer {
            id: made.tenant.id,
            workspace: made.workspace,
        }
    }

    /// Ingests one event, and answers it as it was accepted.
    pub(crate) async fn ingest(&self, customer: Customer) -> Result<Arc<Event>, EngineError> {
        let event = NewEvent {
            workspace: customer.workspace,
            kind: EventType::new("order.paid").unwrap(),
            fields: Fields::default(),
            payload: Bytes::from_static(b"{\"total\":1}"),
        };
        match self.engine.ingest(customer.id, vec![event], None).await? {
            Ingested::Items(items, _) => match &items[0] {
                Item::Accepted(event) => Ok(Arc::clone(event)),
                other @ (Item::Duplicate { .. } | Item::Rejected(_) | Item::NoWorkspace) => {
                    panic!("{other:?}")
                }
            },
            Ingested::Replayed(answer) => panic!("nobody asked for a replay: {answer:?}"),
        }
    }

    /// Sends a heartbeat now.
    pub(crate) fn beat(&self) {
        self.shared.beat_now.notify_one();
    }

    pub(crate) fn session(&self) -> store::control::SessionId {
        self.shared.own_session().expect("the node has joined")
    }
}

impl Wire for LossyWire {
    fn publish(&self, topic: &Topic, body: Bytes) {
        let percent = self.random.lock().random_range(0..100);
        if percent >= self.lost_percent.load(Ordering::Relaxed) {
            // Nobody may listen.
            self.sender.send((*topic, body)).ok();
        }
    }

    fn subscribe(&self, topic: &Topic) -> BoxStream<'static, Bytes> {
        let wanted = *topic;
        let listening = (self.sender.subscribe(), wanted);
        futures_util::stream::unfold(listening, |(mut receiver, wanted)| async move {
            loop {
                match receiver.recv().await {
                    Ok((topic, body)) if topic == wanted => {
                        return Some((body, (receiver, wanted)));
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }

    fn connection(&self) -> Option<u64> {
        Some(self.connection.load(Ordering::Relaxed))
    }
}

/// Brings questions to nodes in the same process.
#[derive(Default)]
pub(crate) struct Neighbours {
    handlers: Arc<Mutex<HashMap<SessionId, Handler>>>,
}

struct Neighbour {
    handlers: Arc<Mutex<HashMap<SessionId, Handler>>>,
    session: SessionId,
}

impl Answering for Neighbour {}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.handlers.lock().remove(&self.session);
    }
}

impl Peers for Neighbours {
    fn ask(
        &self,
        session: SessionId,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, BusError>> {
        let handler = self.handlers.lock().get(&session).map(Arc::clone);
        async move {
            let handler = handler.ok_or(BusError::NoResponder)?;
            let answer = tokio::time::timeout(within, handler(body)).await;
            answer.map_err(|_elapsed| BusError::TimedOut)
        }
        .boxed()
    }

    fn serve(
        &self,
        session: SessionId,
        handler: Handler,
    ) -> BoxFuture<'_, Result<Box<dyn Answering>, BusError>> {
        self.handlers.lock().insert(session, handler);
        let handlers = Arc::clone(&self.handlers);
        let serving = Neighbour { handlers, session };
        std::future::ready(Ok(Box::new(serving) as Box<dyn Answering>)).boxed()
    }
}

/// Waits for something that comes by itself: these tests run on the real clock, which nobody can move on.
pub(crate) async fn until(mut is_there: impl AsyncFnMut() -> bool) {
    let give_up_at = Instant::now() + CAP;
    while !is_there().await {
        assert!(Instant::now() < give_up_at, "waited {CAP:?} in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn tuning() -> TenantTuning {
    TenantTuning {
        passivate_after: Duration::from_secs(3_600),
        ring: RingLimits {
            events_max: 32,
            bytes_max: 1 << 20,
        },
        dedup_capacity: 1_000,
        mark_every: Duration::from_millis(20),
    }
}
