//! The engine as the edge sees it: one value, with a method for whatever can be asked of it.
//!
//! A call that needs an actor's state goes through a registry; a plain read of stored data is answered from the store.
//! Translates nothing from or to HTTP.

mod actors;
mod error;
mod events;
mod health;
mod housekeeping;
mod idempotency;
mod inbox;
mod keys;
mod proofs;
pub(crate) mod secrets;
mod tenants;
mod webhooks;
mod workspaces;

use std::{sync::Arc, time::Duration};

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
    feed::Feeds,
    region::{RegionActor, RegionLogs},
    registry::{Registry, RegistryOptions},
    tenant::{TenantActor, TenantContext, TenantTuning},
    webhook::{WebhookActor, WebhookContext, WebhookTuning},
    webhook_board::WebhookBoard,
};

pub use actors::ActorKind;
pub use error::EngineError;
pub use events::{EventPage, Receipt};
pub use idempotency::Begun;
pub use health::{Readiness, RegionHealth};
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
    /// Messages in flight to one tenant's actor, and how long an answer may take.
    pub tenant_registry: RegistryOptions,
    /// Sizes and pauses of tenants' actors.
    pub tenant_tuning: TenantTuning,
    /// Sizes and pauses of webhooks' actors.
    pub webhook_tuning: WebhookTuning,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
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
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) auth: Authenticator,
    pub(crate) secrets: Arc<secrets::Secrets>,
    pub(crate) plans: Plans,
    pub(crate) client: WebhookClient,
    pub(crate) outside: tokio::runtime::Handle,
    pub(crate) tenant_tuning: TenantTuning,
    pub(crate) passivated_in: Duration,
}

/// Asks that regions' writers may have in flight: every tenant may have two appends and a mark, every webhook one settle.
const REGION_IN_FLIGHT_MAX: usize = 1_000_000;
/// Messages in flight to one webhook's actor: all of them are from operators.
const WEBHOOK_IN_FLIGHT_MAX: usize = 64;

impl Engine {
    /// Puts the engine together. Nothing runs yet: see [`Engine::wake`].
    pub fn new(options: EngineOptions) -> Engine {
        let EngineOptions {
            clock,
            random,
            control,
            logs,
            checkpoints,
            arbiters,
            outside,
            client,
            master_key,
            plans,
            tenant_registry,
            tenant_tuning,
            webhook_tuning,
        } = options;
        let regions = region_registry(&arbiters, &outside, &logs, tenant_registry.ask_timeout);
        let board = Arc::new(WebhookBoard::default());
        let feeds = Arc::new(Feeds::default());
        let secrets = Arc::new(secrets::Secrets::new(master_key, control.clone()));
        let webhook_context = Arc::new(WebhookContext {
            clock: clock.clone(),
            random: Arc::clone(&random),
            control: control.clone(),
            logs: logs.clone(),
            regions: regions.clone(),
            feeds: Arc::clone(&feeds),
            board: Arc::clone(&board),
            client: client.clone(),
            outside: outside.clone(),
            secrets: Arc::clone(&secrets),
            ring: tenant_tuning.ring,
            tuning: webhook_tuning,
        });
        let webhooks = Registry::new(
            arbiters.clone(),
            outside.clone(),
            RegistryOptions {
                in_flight_max: WEBHOOK_IN_FLIGHT_MAX,
                ask_timeout: tenant_registry.ask_timeout,
            },
            move |key, lifeline| WebhookActor::new(key, Arc::clone(&webhook_context), lifeline),
        );
        let actor_random = Arc::clone(&random);
        let tenant_context = Arc::new(TenantContext {
            clock: clock.clone(),
            random: Box::new(move || actor_random()),
            control: control.clone(),
            logs: logs.clone(),
            regions: regions.clone(),
            webhooks: webhooks.clone(),
            board: Arc::clone(&board),
            feeds: Arc::clone(&feeds),
            plans: plans.clone(),
            tuning: tenant_tuning,
        });
        let tenants = Registry::new(
            arbiters,
            outside.clone(),
            tenant_registry,
            move |tenant, lifeline| TenantActor::new(tenant, Arc::clone(&tenant_context), lifeline),
        );
        let auth = Authenticator::new(control.clone(), secrets.pepper(), clock.clone());
        let boot = format!("{:032x}", random().random::<u128>());
        let inner = Inner {
            clock,
            boot,
            random,
            control,
            logs,
            checkpoints,
            regions,
            tenants,
            webhooks,
            board,
            feeds,
            auth,
            secrets,
            plans,
            client,
            outside,
            tenant_tuning,
            passivated_in: tenant_tuning.passivate_after,
        };
        Engine {
            inner: Arc::new(inner),
        }
    }

    /// Starts what must run unasked: tenants with deliveries to make, and housekeeping.
    pub async fn wake(&self) -> Result<(), StoreError> {
        for region in self.inner.logs.regions() {
            let log = self.inner.logs.get(region);
            for tenant in log.tenants_with_work().await? {
                self.inner.tenants.poke(&tenant);
            }
        }
        housekeeping::start(self);
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

fn region_registry(
    arbiters: &[ArbiterHandle],
    outside: &tokio::runtime::Handle,
    logs: &RegionLogs,
    ask_timeout: Duration,
) -> Registry<RegionActor> {
    let logs = logs.clone();
    let options = RegistryOptions {
        in_flight_max: REGION_IN_FLIGHT_MAX,
        ask_timeout,
    };
    Registry::new(
        arbiters.to_vec(),
        outside.clone(),
        options,
        move |region, lifeline| RegionActor::new(region, logs.get(region), lifeline),
    )
}
