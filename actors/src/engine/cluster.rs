//! The engine among others: where tenants live, what to forget when others change something, and how tenants come and go.
//!
//! Does what [`crate::placement`] decides: stops, starts and settles actors. On a node that is alone every tenant is here.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use domain::ids::TenantId;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, join_all},
};
use outbound::bus::Topic;
use store::control::{LeaseKey, NodeSession, SessionId};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use super::{Engine, EngineError, Inner, readers};
use crate::{
    device::DeviceKey,
    placement::{
        Household, NotHeld, Place, Settler, Workshop,
        changes::{NodeNews, SharedChange},
    },
    region::RegionLogs,
    tenant::{Change, Depart},
    webhook::Drain,
    webhook_board::WebhookKey,
};

/// How often it is looked whether the wire was broken meanwhile.
const WIRE_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether actors have gone, or a tenant has come.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const MOVE_LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a tenant's actors have to come to rest when an operator moves it, and how long the move may take in all.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
const MOVE_WITHIN: Duration = Duration::from_secs(10);
/// How often the owner is asked for it.
const MOVE_ASK_EVERY: Duration = Duration::from_secs(1);
/// Actors that are told at the same time that they may have missed something.
const TOLD_AT_ONCE: usize = 16;

impl Engine {
    /// Where the tenant lives. One that nobody holds is claimed. Asks no store if the tenant is held here.
    pub async fn locate(&self, tenant: TenantId) -> Result<Place, EngineError> {
        Ok(self.inner.placement.locate(tenant).await?)
    }

    /// The place was wrong: the next look asks the control plane.
    pub fn forget_place(&self, tenant: TenantId) {
        self.inner.placement.forget(tenant);
    }

    /// Whether the tenant's actors run on this node. Always so for a node that is alone.
    pub fn is_here(&self, tenant: TenantId) -> bool {
        self.inner.placement.is_held(tenant)
    }

    /// The session under which this node works, now and whenever it changes. Never one for a node that is alone.
    pub fn session(&self) -> watch::Receiver<Option<SessionId>> {
        self.inner.placement.session()
    }

    /// This node's name among others; `None` if it is alone.
    pub fn node(&self) -> Option<&str> {
        self.inner.placement.node()
    }

    /// Takes no further tenant and no further device, because this node is about to end, and tells the gateways that are
    /// connected, one after the other, to connect elsewhere. See [`Engine::shut_down`].
    pub fn leave(&self) {
        self.inner.placement.leave();
        self.end_device_sessions();
    }

    /// Moves a tenant to another node, and answers when it lives there.
    pub async fn move_tenant(
        &self,
        tenant: TenantId,
        to: &str,
    ) -> Result<NodeSession, EngineError> {
        self.region_of(tenant).await?;
        if !self.inner.placement.is_shared() {
            let alone = "this node is the only one: it shares its stores with no other";
            return Err(EngineError::Conflict(alone.into()));
        }
        let sessions = self.inner.control.live_sessions().await?;
        let named = sessions.into_iter().filter(|session| session.node == to);
        let Some(target) = named.max_by_key(|session| session.started_at) else {
            return Err(EngineError::Invalid {
                pointer: "/to".into(),
                detail: format!("there is no live node {to}"),
            });
        };
        let until = Instant::now() + MOVE_WITHIN;
        let mut ask_at = Instant::now();
        while Instant::now() < until {
            // What was said may have been lost.
            if ask_at <= Instant::now() {
                self.begin_move(tenant, target.id).await?;
                ask_at = Instant::now() + MOVE_ASK_EVERY;
            }
            let key = LeaseKey::Tenant(tenant);
            let owner = self.inner.control.owner(&key).await?;
            if owner.is_some_and(|owner| owner.session == target.id) {
                self.forget_place(tenant);
                return Ok(target);
            }
            tokio::time::sleep(MOVE_LOOK_EVERY).await;
        }
        Err(NotHeld::Leaving.into())
    }

    async fn begin_move(&self, tenant: TenantId, target: SessionId) -> Result<(), EngineError> {
        let placement = &self.inner.placement;
        let own = *placement.session().borrow();
        let key = LeaseKey::Tenant(tenant);
        let to = target.to_string();
        match self.inner.control.owner(&key).await? {
            Some(owner) if owner.session == target => {}
            Some(owner) if Some(owner.session) == own => {
                // Goes on to its end even if whoever asked for it has gone away: half given, deliveries would stay stopped.
                let engine = self.clone();
                let giving = async move { engine.give(tenant, target).await };
                let given = self.inner.outside.spawn(giving).await;
                given.map_err(|error| EngineError::Unavailable(error.to_string()))??;
            }
            Some(_) => placement.tell_nodes(NodeNews::Wanted { tenant, by: to }),
            None if Some(target) == own => {
                placement.hold(tenant).await?;
            }
            None => placement.tell_nodes(NodeNews::Given { tenant, to }),
        }
        Ok(())
    }

    /// Gives a tenant that is this node's, in use or not, to another one.
    async fn give(&self, tenant: TenantId, to: SessionId) -> Result<(), NotHeld> {
        let placement = &self.inner.placement;
        // It may have been given to this node only now.
        drop(placement.hold(tenant).await?);
        let until = Instant::now() + SETTLE_WITHIN;
        placement.give(tenant, to, &*self.inner, until).await
    }

    /// Joins the others: begins a session, listens to them, and takes a share of what nobody works for.
    pub(super) async fn join(&self) -> Result<(), store::StoreError> {
        let inner = &self.inner;
        let Some(shared) = inner.placement.shared() else {
            return Ok(());
        };
        let weak = Arc::downgrade(inner);
        let mut changes = shared.hear::<SharedChange>(&Topic::Changes);
        inner.outside.spawn(async move {
            while let Some(change) = changes.next().await {
                let Some(inner) = weak.upgrade() else { return };
                Engine { inner }.heard_of(change).await;
            }
        });
        let weak = Arc::downgrade(inner);
        let mut news = shared.hear::<NodeNews>(&Topic::Nodes);
        inner.outside.spawn(async move {
            while let Some(news) = news.next().await {
                let Some(inner) = weak.upgrade() else { return };
                Engine { inner }.heard_from(news);
            }
        });
        readers::begin(inner, shared);
        inner.outside.spawn(watch_wire(Arc::downgrade(inner)));
        self.answer_about_devices();
        inner.placement.begin().await?;
        let workshop: Weak<dyn Workshop> = Arc::<Inner>::downgrade(inner);
        inner.placement.sweep_for(workshop);
        Ok(())
    }

    /// Another node has changed something in the control plane that may be remembered here.
    async fn heard_of(&self, change: SharedChange) {
        match change {
            SharedChange::Keys(tenant) => self.inner.auth.forget(tenant),
            SharedChange::Tenant(tenant) => {
                self.inner.auth.forget(tenant);
                self.tell_tenant_here(tenant, Change::Tenant).await;
            }
            SharedChange::Workspace(tenant, workspace) => {
                let what = Change::Workspace(workspace);
                self.tell_tenant_here(tenant, what).await;
            }
            SharedChange::Webhook { tenant, id, no } => {
                self.reload_webhook(WebhookKey::new(tenant, no, id)).await;
            }
            SharedChange::Place(tenant) => self.inner.placement.forget(tenant),
            SharedChange::DeviceTaken {
                tenant,
                device,
                fence,
            } => self.device_taken(DeviceKey { tenant, device }, fence),
        }
    }

    /// Tells the actors that run here how a webhook is now.
    async fn reload_webhook(&self, key: WebhookKey) {
        if !self.inner.placement.is_held(key.tenant) {
            return;
        }
        let read = async {
            let found = self.inner.control.webhook(key.tenant, key.id).await?;
            let Some(sealed) = found else {
                self.tell_tenant_here(key.tenant, Change::WebhookGone(key))
                    .await;
                return self.tell_webhook(&key, None).await;
            };
            let webhook = Arc::new(self.inner.secrets.open_webhook(sealed).await?);
            let what = Change::Webhook(Arc::clone(&webhook));
            self.tell_tenant_here(key.tenant, what).await;
            self.tell_webhook(&key, Some(webhook)).await
        };
        if let Err(error) = read.await {
            warn!(webhook.id = %key, %error, "a change of {key} was not taken over: {error}");
        }
    }

    fn heard_from(&self, news: NodeNews) {
        let placement = &self.inner.placement;
        let own = placement.session().borrow().map(|id| id.to_string());
        match news {
            NodeNews::Leaving { session } => placement.node_leaves(&session),
            NodeNews::Left { session } => placement.node_left(&session),
            NodeNews::Given { tenant, to } => {
                placement.forget(tenant);
                if Some(to) == own {
                    self.inner.tenants.poke(&tenant);
                }
            }
            NodeNews::Wanted { tenant, by } => {
                let Ok(to) = by.parse() else { return };
                if Some(by) == own {
                    return;
                }
                let engine = self.clone();
                self.inner.outside.spawn(async move {
                    match engine.give(tenant, to).await {
                        // It is for its owner to give it.
                        Ok(()) | Err(NotHeld::Elsewhere { .. }) => {}
                        Err(error) => {
                            warn!(tenant.id = %tenant, %error, "{tenant} was not given away: {error}");
                        }
                    }
                });
            }
        }
    }

    /// News may have been lost: whatever is remembered of the control plane is asked for anew.
    async fn forget_all(&self) {
        info!("the wire between the nodes is there again: what is remembered is asked for anew");
        self.inner.auth.forget_all();
        self.inner.placement.forget_all();
        self.inner.followers.announce();
        let tenants = self.inner.tenants.keys();
        futures_util::stream::iter(tenants)
            .for_each_concurrent(TOLD_AT_ONCE, |tenant| {
                self.tell_tenant_here(tenant, Change::Tenant)
            })
            .await;
    }
}

/// Looks whether the connection between the nodes was made anew, and then forgets what may be out of date.
async fn watch_wire(weak: Weak<Inner>) {
    let mut known = None;
    loop {
        let Some(inner) = weak.upgrade() else { return };
        if let Some(connection) = inner.placement.connection()
            && let Some(known) = known.replace(connection)
            && known != connection
        {
            Engine { inner }.forget_all().await;
        }
        tokio::time::sleep(WIRE_LOOK_EVERY).await;
    }
}

impl Household for Inner {
    fn evict(&self, tenant: Option<TenantId>) {
        let is_meant = |other: TenantId| tenant.is_none_or(|tenant| tenant == other);
        let webhooks = self.webhooks.evict(|key| is_meant(key.tenant));
        let tenants = self.tenants.evict(|key| is_meant(*key));
        if tenant.is_none() {
            self.end_sessions_of_lost_node();
        }
        debug!(
            tenants,
            webhooks, "stopped {tenants} tenants and {webhooks} webhooks"
        );
    }

    fn unheld(&self, tenant: TenantId) {
        if let Some(feed) = self.feeds.find(tenant) {
            self.followers.follow(&feed);
        }
    }

    fn revive(&self) {
        for key in self.webhooks.keys() {
            self.webhooks.poke(&key);
        }
    }
}

impl Workshop for Inner {
    fn logs(&self) -> RegionLogs {
        self.logs.clone()
    }

    fn start(&self, tenant: TenantId) {
        // A tenant whose webhooks are at work needs no actor of its own for that. What the board says of one that is not held is
        // left from when it was: its webhooks' actors were stopped.
        if self.tenants.is_running(&tenant)
            || !self.board.has_tenant(tenant)
            || !self.placement.is_held(tenant)
        {
            self.tenants.poke(&tenant);
        }
    }
}

impl Inner {
    /// Lets a tenant's deliveries that are in flight end. Answers whether they have.
    async fn drain(&self, tenant: TenantId, until: Instant) -> bool {
        let keys = self.webhooks.keys().into_iter();
        let draining = keys
            .filter(|key| key.tenant == tenant)
            .map(|key| async move { self.webhooks.ask(&key, |reply| Drain { reply }).await });
        let drained = join_all(draining.collect::<Vec<_>>());
        tokio::time::timeout_at(until, drained).await.is_ok()
    }
}

impl Settler for Inner {
    fn calm(&self, tenant: TenantId, until: Instant) -> BoxFuture<'_, ()> {
        self.drain(tenant, until).map(drop).boxed()
    }

    fn settle(&self, tenant: TenantId, until: Instant) -> BoxFuture<'_, ()> {
        async move {
            if self.tenants.is_running(&tenant) {
                let asked = self.tenants.ask(&tenant, |reply| Depart { reply });
                // An actor that does not answer is stopped.
                let mut is_departing = matches!(tokio::time::timeout_at(until, asked).await, Ok(Ok(())));
                while is_departing && self.tenants.is_running(&tenant) {
                    tokio::time::sleep(LOOK_EVERY).await;
                    is_departing = Instant::now() < until;
                }
            }
            self.tenants.evict(|key| *key == tenant);
            if !self.drain(tenant, until).await {
                warn!(tenant.id = %tenant, "deliveries of {tenant} were still in flight: they will be made again");
            }
            self.webhooks.evict(|key| key.tenant == tenant);
        }
        .boxed()
    }

    fn has_work(&self, tenant: TenantId) -> bool {
        self.board.has_tenant(tenant)
    }
}
