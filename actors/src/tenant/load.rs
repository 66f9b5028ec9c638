//! What a tenant's actor needs from the stores: at its start, after a failure, and when a chain is not in memory.
//!
//! Nothing here decides; every function reads, and reports back to the actor as a message to itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use domain::{
    dedup::{DedupWindow, Loaded, WINDOW},
    ids::{EventId, TenantId, WorkspaceId},
    merkle::{Fetch, Frontier, frontier_needs},
    position::{Position, Seq},
    rate::{Bucket, Limit},
    region::Region,
    time::Timestamp,
};
use store::{
    StoreError,
    log::{DedupEntry, Dispatch, RegionLog, Write, WriteError},
};
use tracing::{info, warn};

use super::{
    LoadError, Ready, Stage, TenantActor, TenantContext,
    batches::Pending,
    chains::{Chain, Chains},
    consumers::Consumers,
    dispatch::{Dispatcher, Hook},
    ingest::DedupKey,
};
use crate::{
    placement::{Hold, NotHeld},
    region::Enqueue,
    webhook_board::WebhookKey,
};

/// Events that one page holds when a log is matched at the start.
const SCAN_EVENTS: u32 = 1_000;
const SCAN_BYTES: usize = 4 * 1024 * 1024;
/// How long the actor waits before it asks a store again that did not answer.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What was fetched for an ingest.
pub(super) struct Fetched {
    pub(super) chains: Vec<(WorkspaceId, Option<Chain>)>,
    pub(super) dedup: Vec<(DedupKey, Option<(EventId, Timestamp)>)>,
}

impl TenantActor {
    /// Loads the state and then handles what has come meanwhile.
    pub(super) fn load(&mut self, ctx: &mut Context<Self>) {
        self.epoch += 1;
        let load = load(
            Arc::clone(&self.shared),
            self.tenant,
            self.lifeline.follows_a_death(),
        );
        ctx.spawn(load.into_actor(self).map(|loaded, actor, ctx| {
            match loaded {
                Ok(Some(ready)) => {
                    actor.stage = Stage::Ready(Box::new(ready));
                    actor.start_work(ctx);
                }
                Ok(None) => {
                    actor.stage = Stage::Gone;
                    actor.release(ctx);
                }
                Err(error) => {
                    warn!(tenant.id = %actor.tenant, %error, "tenant {} could not be loaded: {error}", actor.tenant);
                    actor.give_up(&error, ctx);
                }
            }
        }));
    }

    fn start_work(&mut self, ctx: &mut Context<Self>) {
        if let Stage::Ready(ready) = &mut self.stage {
            ready.dispatcher.poke(&self.shared.webhooks);
        }
        self.mark_later(ctx);
        self.release(ctx);
    }

    /// Reads the tenant's plan anew.
    pub(super) fn reload_tenant(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.stage, Stage::Gone) {
            self.stage = Stage::Loading;
            self.load(ctx);
            return;
        }
        let (shared, tenant) = (Arc::clone(&self.shared), self.tenant);
        let read = async move { shared.control.tenant(tenant).await };
        ctx.spawn(read.into_actor(self).map(|found, actor, _| {
            if let (Stage::Ready(ready), Ok(Some(tenant))) = (&mut actor.stage, found) {
                ready.events_per_minute = actor.shared.plans.get(tenant.plan).events_per_minute;
            }
        }));
    }

    /// After a failed append, when nothing is in flight any more: begins again where the store says the log ends.
    pub(super) fn recover(&mut self, ctx: &mut Context<Self>) {
        let Some(ready) = self.ready() else { return };
        let (shared, tenant, region) = (Arc::clone(&self.shared), self.tenant, ready.region);
        let hold = ready.hold.clone();
        let read = async move {
            let_land(&shared, tenant, region, &hold).await?;
            Ok(shared.logs.get(region).head(tenant).await?)
        };
        ctx.spawn(read.into_actor(self).map(|head, actor, ctx| match head {
            Ok(head) => actor.recovered(head, ctx),
            Err(error @ LoadError::NotHeld(_)) => {
                actor.stage = Stage::Loading;
                actor.give_up(&error, ctx);
            }
            Err(LoadError::Store(error)) => {
                warn!(tenant.id = %actor.tenant, %error, "the head of {} cannot be read: {error}", actor.tenant);
                ctx.run_later(AGAIN_AFTER, Self::recover);
            }
        }));
    }

    fn recovered(&mut self, head: Position, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        if ready.is_behind(head) {
            // Written by somebody else, or by a commit that reported failure: it must be matched and shown all the same.
            // A fresh load does both.
            self.stage = Stage::Loading;
            self.load(ctx);
            return;
        }
        info!(tenant.id = %self.tenant, %head, "tenant {} goes on after position {head}", self.tenant);
        ready.numbered = head;
        ready.chains.clear();
        self.epoch += 1;
        ready.failing = None;
        self.release(ctx);
    }
}

async fn load(
    shared: Arc<TenantContext>,
    tenant: TenantId,
    follows_a_death: bool,
) -> Result<Option<Ready>, LoadError> {
    let Some(found) = shared.control.tenant(tenant).await? else {
        return Ok(None);
    };
    let hold = shared.placement.hold(tenant).await?;
    let log = shared.logs.get(found.region);
    if follows_a_death || hold.is_leased() {
        let_land(&shared, tenant, found.region, &hold).await?;
    }
    let head = log.head(tenant).await?;
    let now = shared.clock.now();
    let dedup = load_dedup(&shared, &*log, tenant, now).await?;
    let dispatcher = load_dispatcher(&shared, &*log, tenant, head).await?;
    let feed = shared.feeds.get(tenant, found.region, shared.tuning.ring);
    feed.set_head(head);
    let last = match head {
        Position::ZERO => None,
        head => log.read_at(tenant, head).await?,
    };
    Ok(Some(Ready {
        region: found.region,
        feed,
        events_per_minute: shared.plans.get(found.plan).events_per_minute,
        bucket: Bucket::full(Limit::per_minute(0)),
        numbered: head,
        received_last: last.map_or(Timestamp::default(), |event| event.received_at),
        chains: Chains::default(),
        dedup,
        answers_in_flight: HashSet::new(),
        pending: Pending::default(),
        flying: std::collections::VecDeque::new(),
        flights: 0,
        dispatcher,
        consumers: Consumers::default(),
        replaced: super::devices::Replaced::default(),
        failing: None,
        hold,
    }))
}

/// Waits until whatever the region's writer was given before is written or has failed: an append that was reported lost, or
/// whose actor died, may still be on its way. Whether the empty mark that waits behind it is written does not matter; that
/// a writer has dealt with it does, so this goes on until there is one.
///
/// Among several nodes it must be written, too: from then on the store refuses whatever the owner before still has on its way,
/// except for appends, which the log's head decides about.
async fn let_land(
    shared: &TenantContext,
    tenant: TenantId,
    region: Region,
    hold: &Hold,
) -> Result<(), LoadError> {
    loop {
        let part = Write::Dispatch(Dispatch {
            tenant,
            fence: hold.fence(),
            position: Position::ZERO,
            woken: Vec::new(),
            rested: Vec::new(),
        });
        let offer = part.into();
        let posted = shared
            .regions
            .post(&region, |reply| Enqueue { offer, reply });
        if let Ok(answer) = posted
            && let Ok(outcome) = answer.await
        {
            return match outcome {
                Err(WriteError::Fenced { held }) => {
                    hold.is_fenced(held);
                    Err(NotHeld::Leaving.into())
                }
                Err(WriteError::Store(error)) if hold.is_leased() => Err(error.into()),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn load_dedup(
    shared: &TenantContext,
    log: &dyn RegionLog,
    tenant: TenantId,
    now: Timestamp,
) -> Result<DedupWindow, StoreError> {
    let capacity = shared.tuning.dedup_capacity;
    let limit = u32::try_from(capacity / 2).unwrap_or(u32::MAX);
    let recent = log
        .recent_dedup_ids(tenant, now.minus(WINDOW), limit)
        .await?;
    let is_complete = recent.len() < capacity / 2;
    let entries = recent.into_iter().map(|entry| Loaded {
        workspace: entry.workspace,
        dedup_id: entry.dedup_id,
        event: entry.event,
        received_at: entry.received_at,
    });
    Ok(DedupWindow::load(capacity, entries, is_complete, now))
}

/// Matches what was appended after the last mark, so that no webhook misses it.
async fn load_dispatcher(
    shared: &TenantContext,
    log: &dyn RegionLog,
    tenant: TenantId,
    head: Position,
) -> Result<Dispatcher, StoreError> {
    let marked = log.dispatched(tenant).await?.unwrap_or(Position::ZERO);
    let mut dispatcher = Dispatcher::at(marked);
    let progress = log.webhook_progress(tenant).await?;
    let cursors: HashMap<_, _> = progress
        .iter()
        .map(|progress| (progress.webhook, progress.cursor))
        .collect();
    for webhook in shared.control.all_webhooks(tenant).await? {
        let no = store::log::WebhookNo(webhook.no);
        let cursor = cursors.get(&no).copied().unwrap_or(Position::ZERO);
        dispatcher.put(Hook {
            key: WebhookKey::new(tenant, webhook.no, webhook.id),
            workspace: webhook.workspace,
            events: webhook.events,
            after: webhook.starts_after.max(cursor),
        });
    }
    for progress in progress.iter().filter(|progress| progress.has_work) {
        dispatcher.restore(progress, &shared.board);
    }
    if dispatcher.is_empty() {
        dispatcher.skip_to(head);
    }
    while dispatcher.dispatched() < head {
        let page = log
            .read_after(tenant, dispatcher.dispatched(), SCAN_EVENTS, SCAN_BYTES)
            .await?;
        if page.is_empty() {
            // Retention took the rest.
            dispatcher.skip_to(head);
        }
        for event in &page {
            dispatcher.dispatch(event, &shared.board);
        }
    }
    Ok(dispatcher)
}

/// Fetches the chains of workspaces and looks for dedup ids.
pub(super) async fn fetch(
    shared: Arc<TenantContext>,
    tenant: TenantId,
    region: Region,
    workspaces: Vec<WorkspaceId>,
    wanted: Vec<DedupKey>,
) -> Result<Fetched, StoreError> {
    let log = shared.logs.get(region);
    let mut chains = Vec::with_capacity(workspaces.len());
    for workspace in workspaces {
        chains.push((workspace, chain(&shared, &*log, tenant, workspace).await?));
    }
    let mut dedup = Vec::with_capacity(wanted.len());
    if !wanted.is_empty() {
        let since = shared.clock.now().minus(WINDOW);
        let found = log.find_dedup_ids(tenant, &wanted, since).await?;
        for key in wanted {
            let is_it = |entry: &&DedupEntry| entry.workspace == key.0 && entry.dedup_id == key.1;
            let found = found
                .iter()
                .find(is_it)
                .map(|entry| (entry.event, entry.received_at));
            dedup.push((key, found));
        }
    }
    Ok(Fetched { chains, dedup })
}

async fn chain(
    shared: &TenantContext,
    log: &dyn RegionLog,
    tenant: TenantId,
    workspace: WorkspaceId,
) -> Result<Option<Chain>, StoreError> {
    let Some(found) = shared.control.workspace(tenant, workspace).await? else {
        return Ok(None);
    };
    let chain = match log.chain_end(tenant, workspace).await? {
        None => Chain::new(
            domain::event::Hash::default(),
            Frontier::new(),
            found.template,
        ),
        Some(end) => {
            let frontier = frontier(log, tenant, workspace, end.seq.get()).await?;
            Chain::new(end.hash, frontier, found.template)
        }
    };
    Ok(Some(chain))
}

/// Rebuilds the Merkle frontier of a chain of `size` events from what the store keeps.
pub(crate) async fn frontier(
    log: &dyn RegionLog,
    tenant: TenantId,
    workspace: WorkspaceId,
    size: u64,
) -> Result<Frontier, StoreError> {
    let fetched = hashes(log, tenant, workspace, &frontier_needs(size)).await?;
    Frontier::rebuild(size, &fetched)
        .map_err(|error| StoreError::Corrupt(format!("the tree of {workspace}: {error}")))
}

/// Reads the ranges of leaves and inner nodes that a proof or a frontier needs.
pub(crate) async fn hashes(
    log: &dyn RegionLog,
    tenant: TenantId,
    workspace: WorkspaceId,
    needs: &[Fetch],
) -> Result<Vec<Vec<domain::event::Hash>>, StoreError> {
    let mut fetched = Vec::with_capacity(needs.len());
    for need in needs {
        fetched.push(match need.level {
            0 => {
                // Leaves count from 0 and seqs from 1; `to` is the index after the last one.
                let (from, to) = (Seq::new(need.from + 1), Seq::new(need.to));
                log.leaf_hashes(tenant, workspace, from, to).await?
            }
            level => {
                log.tree_nodes(tenant, workspace, level, need.from, need.to - 1)
                    .await?
            }
        });
    }
    Ok(fetched)
}
