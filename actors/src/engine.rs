//! The engine as the edge sees it: one value, with a method for whatever can be asked of it.
//!
//! A call that needs an actor's state goes through a registry; a plain read of stored data is answered from the store.
//! Translates nothing from or to HTTP.

mod actors;
mod cluster;
mod devices;
mod error;
mod events;
mod health;
mod housekeeping;
mod idempotency;
mod inbox;
mod keys;
mod proofs;
mod readers;
mod retention;
pub(crate) mod secrets;
mod tenants;
mod webhooks;
mod workspaces;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use ::actix::ArbiterHandle;
use domain::{
    checkpoint::NoteSigner, clock::Clock, ids::TenantId, plan::Plans, region::Region,
    seal::MasterKey,
};
use outbound::WebhookClient;
use rand::{RngExt as _, rngs::StdRng};
use store::{StoreError, checkpoints::SignedCheckpoints, control::Control};

use crate::{
    auth::Authenticator,
    feed::{Feeds, RingLimits},
    placement::{Around, Cluster, Followers, Household, Placement},
    region::{RegionActor, RegionLogs},
    registry::{Registry, RegistryOptions},
    tenant::{TenantActor, TenantContext, TenantTuning},
    webhook::{WebhookActor, WebhookContext, WebhookTuning},
    webhook_board::WebhookBoard,
};

pub use actors::ActorKind;
pub use devices::*;
pub use error::EngineError;
pub use events::{EventPage, Receipt};
pub use health::{Readiness, RegionHealth};
pub use idempotency::Begun;
pub use inbox::{InboxPage, InboxQuery};
pub use keys::{GRACE_MAX, KeyInput, MadeKey};
pub use proofs::{Checkpointed, Proof};
pub use tenants::{MadeTenant, TenantInput};
pub use webhooks::*;
pub use workspaces::WorkspaceInput;

/// What an engine is made of.
pub struct EngineOptions {
    /// The one source of time.
    pub clock: Clock,
    /// Makes each actor's own generator of randomness.
    pub random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    /// The control plane, opened.
    pub control: Control,
    /// The regions' logs, opened.
    pub logs: RegionLogs,
    /// Where the last signed checkpoints are remembered, outside of the databases.
    pub checkpoints: SignedCheckpoints,
    /// The threads that actors live on.
    pub arbiters: Vec<ArbiterHandle>,
    /// A runtime without actors: requests to others run here.
    pub outside: tokio::runtime::Handle,
    /// Sends to webhooks.
    pub client: WebhookClient,
    /// Everything secret is derived from it or sealed under it.
    pub master_key: MasterKey,
    /// What plans allow.
    pub plans: Plans,
    /// Whether other nodes work on the same stores.
    pub cluster: Cluster,
    /// Messages in flight to one tenant's actor, and how long an answer may take.
    pub tenant_registry: RegistryOptions,
    /// Sizes and pauses of tenants' actors.
    pub tenant_tuning: TenantTuning,
    /// Sizes and pauses of webhooks' actors.
    pub webhook_tuning: WebhookTuning,
    /// How often it is looked for events that have outlived their retention.
    pub retention_every: Duration,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Clock,
    /// Names this process among all that ever ran on these stores.
    pub(crate) boot: String,
    pub(crate) random: Arc<dyn Fn() -> StdRng + Send + Sync>,
    pub(crate) control: Control,
    pub(crate) logs: RegionLogs,
    pub(crate) checkpoints: SignedCheckpoints,
    pub(crate) regions: Registry<RegionActor>,
    pub(crate) tenants: Registry<TenantActor>,
    pub(crate) webhooks: Registry<WebhookActor>,
    pub(crate) board: Arc<WebhookBoard>,
    pub(crate) devices: devices::Devices,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) placement: Placement,
    pub(crate) followers: Followers,
    /// What a feed's ring may hold.
    pub(crate) ring: RingLimits,
    pub(crate) auth: Authenticator,
    pub(crate) secrets: Arc<secrets::Secrets>,
    pub(crate) plans: Plans,
    pub(crate) client: WebhookClient,
    pub(crate) outside: tokio::runtime::Handle,
    retention_every: Duration,
}

/// Asks that regions' writers may have in flight: every tenant may have two appends and a mark, every webhook one settle.
const REGION_IN_FLIGHT_MAX: usize = 1_000_000;
/// Messages in flight to one webhook's actor: all of them are from operators.
const WEBHOOK_IN_FLIGHT_MAX: usize = 64;

impl Engine {
    /// Puts the engine together. Nothing runs yet: see [`Engine::wake`].
    pub fn new(mut options: EngineOptions) -> Engine {
        let control = options.control.clone();
        let boot = format!("{:032x}", (options.random)().random::<u128>());
        let board = Arc::new(WebhookBoard::default());
        let around = Around {
            control: control.clone(),
            runtime: options.outside.clone(),
            random: Arc::clone(&options.random),
            board: Arc::clone(&board),
            boot: boot.clone(),
        };
        let placement = Placement::new(std::mem::take(&mut options.cluster), around);
        let followers = Followers::new(
            placement.clone(),
            options.logs.clone(),
            options.outside.clone(),
        );
        let secrets = Arc::new(secrets::Secrets::new(
            options.master_key.clone(),
            control.clone(),
        ));
        let actors = Actors::new(&options, &secrets, &placement, board);
        let devices = devices::Devices::new(&options, &actors, &placement, &boot);
        let auth = Authenticator::new(control.clone(), secrets.pepper(), options.clock.clone());
        let inner = Inner {
            clock: options.clock,
            boot,
            random: options.random,
            control,
            logs: options.logs,
            checkpoints: options.checkpoints,
            regions: actors.regions,
            tenants: actors.tenants,
            webhooks: actors.webhooks,
            board: actors.board,
            devices,
            feeds: actors.feeds,
            placement,
            followers,
            ring: options.tenant_tuning.ring,
            auth,
            secrets,
            plans: options.plans,
            client: options.client,
            outside: options.outside,
            retention_every: options.retention_every,
        };
        let inner = Arc::new(inner);
        let household: Weak<dyn Household> = Arc::<Inner>::downgrade(&inner);
        inner.placement.attach(household);
        Engine { inner }
    }

    /// Starts what must run unasked: tenants with deliveries to make, and housekeeping.
    pub async fn wake(&self) -> Result<(), StoreError> {
        housekeeping::start(self);
        retention::start(self);
        if self.inner.placement.is_shared() {
            return self.join().await;
        }
        // Whoever held a device's session in this folder before is no more.
        let boot = &self.inner.boot;
        self.inner
            .control
            .end_device_sessions_of_other_boots(boot)
            .await?;
        for region in self.inner.logs.regions() {
            let log = self.inner.logs.get(region);
            for tenant in log.tenants_with_work().await? {
                self.inner.tenants.poke(&tenant);
            }
        }
        Ok(())
    }

    /// The one source of time.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Keys and callers.
    pub fn auth(&self) -> &Authenticator {
        &self.inner.auth
    }

    /// What plans allow.
    pub fn plans(&self) -> &Plans {
        &self.inner.plans
    }

    /// The control plane, for plain reads and for what only the control plane knows.
    pub fn control(&self) -> &Control {
        &self.inner.control
    }

    /// Signs what a region states.
    pub fn signer(&self, region: Region) -> NoteSigner {
        self.inner.secrets.signer(region)
    }

    /// Lets everything that is in flight come to its end, writes what is owed, and closes the stores.
    pub async fn shut_down(&self, within: Duration) {
        housekeeping::shut_down(self, within).await;
    }

    async fn region_of(&self, tenant: TenantId) -> Result<Region, EngineError> {
        let found = self.inner.control.tenant(tenant).await?;
        found
            .map(|tenant| tenant.region)
            .ok_or(EngineError::NotFound("tenant"))
    }
}

/// The registries, and the board that two of them share.
struct Actors {
    regions: Registry<RegionActor>,
    tenants: Registry<TenantActor>,
    webhooks: Registry<WebhookActor>,
    board: Arc<WebhookBoard>,
    feeds: Arc<Feeds>,
}

impl Actors {
    fn new(
        options: &EngineOptions,
        secrets: &Arc<secrets::Secrets>,
        placement: &Placement,
        board: Arc<WebhookBoard>,
    ) -> Actors {
        let regions = region_registry(options);
        let feeds = Arc::new(Feeds::default());
        let webhooks = webhook_registry(
            options,
            WebhookContext {
                clock: options.clock.clone(),
                random: Arc::clone(&options.random),
                control: options.control.clone(),
                logs: options.logs.clone(),
                regions: regions.clone(),
                feeds: Arc::clone(&feeds),
                board: Arc::clone(&board),
                placement: placement.clone(),
                client: options.client.clone(),
                outside: options.outside.clone(),
                secrets: Arc::clone(secrets),
                ring: options.tenant_tuning.ring,
                tuning: options.webhook_tuning,
            },
        );
        let random = Arc::clone(&options.random);
        let tenants = tenant_registry(
            options,
            TenantContext {
                clock: options.clock.clone(),
                random: Box::new(move || random()),
                control: options.control.clone(),
                logs: options.logs.clone(),
                regions: regions.clone(),
                placement: placement.clone(),
                webhooks: webhooks.clone(),
                board: Arc::clone(&board),
                feeds: Arc::clone(&feeds),
                plans: options.plans,
                tuning: options.tenant_tuning,
            },
        );
        Actors {
            regions,
            tenants,
            webhooks,
            board,
            feeds,
        }
    }
}

fn region_registry(options: &EngineOptions) -> Registry<RegionActor> {
    let logs = options.logs.clone();
    let bounds = RegistryOptions {
        in_flight_max: REGION_IN_FLIGHT_MAX,
        ..options.tenant_registry
    };
    let (arbiters, runtime) = (options.arbiters.clone(), options.outside.clone());
    Registry::new(arbiters, runtime, bounds, move |region, lifeline| {
        RegionActor::new(region, logs.get(region), lifeline)
    })
}

fn webhook_registry(options: &EngineOptions, context: WebhookContext) -> Registry<WebhookActor> {
    let bounds = RegistryOptions {
        in_flight_max: WEBHOOK_IN_FLIGHT_MAX,
        ..options.tenant_registry
    };
    let context = Arc::new(context);
    let (arbiters, runtime) = (options.arbiters.clone(), options.outside.clone());
    Registry::new(arbiters, runtime, bounds, move |key, lifeline| {
        WebhookActor::new(key, Arc::clone(&context), lifeline)
    })
}

fn tenant_registry(options: &EngineOptions, context: TenantContext) -> Registry<TenantActor> {
    let bounds = options.tenant_registry;
    let context = Arc::new(context);
    let (arbiters, runtime) = (options.arbiters.clone(), options.outside.clone());
    Registry::new(arbiters, runtime, bounds, move |tenant, lifeline| {
        TenantActor::new(tenant, Arc::clone(&context), lifeline)
    })
}
