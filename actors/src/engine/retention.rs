//! Removes what has outlived its retention, region by region, piece by piece.
//!
//! What goes is decided in [`domain::retention`], how it goes by the stores. Here is only when, and in which order: months that are
//! everybody's past first, as wholes; then tenant by tenant, with pauses, because commits come first. Whatever is interrupted is
//! found again the next time. Nothing goes of a workspace whose last signed checkpoint cannot be continued: what would show that its
//! log was changed must not be removed by us.

mod months;
mod signed;

use std::{collections::HashSet, sync::Arc, time::Duration};

use domain::{
    ids::TenantId,
    position::Position,
    region::Region,
    retention::{Retention, keeps_all_since},
    time::Timestamp,
};
use store::{
    StoreError,
    control::Keeping,
    log::{Cut, Oldest, RegionLog},
};
use tracing::{info, warn};

use super::{Engine, EngineError};

/// After a start others have more to do.
const FIRST_AFTER_MAX: Duration = Duration::from_secs(5 * 60);
/// Between two pieces.
const PAUSE: Duration = Duration::from_millis(20);
/// Tenants whose oldest events are looked at by one question.
const TENANTS_AT_ONCE: u32 = 500;
/// When so many in a row have failed, it is asked whether the store does.
const FAILURES_MAX: u32 = 5;
/// Events that go at once when more of them take longer than a statement may.
const FEW_EVENTS: u64 = 100;
/// A clock that is so far ahead of the database's is taken for wrong.
const AHEAD_MAX: Duration = Duration::from_secs(60 * 60);

/// Starts it, on the runtime without actors. It ends when the engine is dropped. Each region has its own: one that does not answer
/// holds up no other.
pub(super) fn start(engine: &Engine) {
    let every = engine.inner.retention_every;
    for region in engine.inner.logs.regions() {
        let weak = Arc::downgrade(&engine.inner);
        engine.inner.outside.spawn(async move {
            let mut pause = every.min(FIRST_AFTER_MAX);
            loop {
                tokio::time::sleep(pause).await;
                pause = every;
                let Some(inner) = weak.upgrade() else { return };
                Engine { inner }.remove_outlived_in(region).await;
            }
        });
    }
}

/// One region's work, with what it has to know.
struct Work<'a> {
    engine: &'a Engine,
    region: Region,
    log: &'a dyn RegionLog,
    now: Timestamp,
    /// Tenants of which nothing goes, because a checkpoint of theirs cannot be continued.
    unsigned: HashSet<TenantId>,
}

impl Engine {
    /// Removes what has outlived its retention, in one region.
    pub(crate) async fn remove_outlived_in(&self, region: Region) {
        match self.remove_outlived_of(region).await {
            Ok(0) => {}
            Ok(removed) => {
                info!(
                    region = region.name(),
                    events = removed,
                    "removed {removed} events that had outlived their retention"
                );
            }
            Err(error) => {
                warn!(region = region.name(), %error, "what has outlived its retention was not removed: {error}");
            }
        }
    }

    async fn remove_outlived_of(&self, region: Region) -> Result<u64, EngineError> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let plans = inner.plans.all().into_iter();
        let days = plans.filter_map(|plan| plan.retention_days);
        let own = inner.control.shortest_own_retention().await?;
        let Some(before) = keeps_all_since(days.chain(own), now) else {
            return Ok(0);
        };
        let log = inner.logs.get(region);
        // On every node: each remembers what it has signed itself.
        let unsigned = self.continue_checkpoints(region, &*log).await?;
        let job = format!("retention/{}", region.name());
        if !inner.placement.takes_job(&job).await {
            return Ok(0);
        }
        if let Some(theirs) = log.database_now().await?
            && now.minus(AHEAD_MAX) > theirs
        {
            warn!(
                region = region.name(),
                "nothing is removed: this node's clock, {now}, is ahead of the database's, {theirs}"
            );
            return Ok(0);
        }
        let work = Work {
            engine: self,
            region,
            log: &*log,
            now,
            unsigned,
        };
        let months = work.drop_months(before).await;
        Ok(months + work.trim_all(before).await?)
    }

    /// For how long a tenant's events are kept; `None` for a tenant that nobody knows, whose events stay.
    async fn retention_of(&self, tenant: TenantId) -> Result<Option<Retention>, StoreError> {
        let mut found = self.inner.control.keepings(&[tenant]).await?;
        Ok(found.remove(&tenant).map(|keeping| self.retention(keeping)))
    }

    fn retention(&self, keeping: Keeping) -> Retention {
        let plan = self.inner.plans.get(keeping.plan);
        Retention::new(plan.retention_days, keeping.own)
    }
}

impl Work<'_> {
    /// Goes through all tenants whose oldest event may have outlived its time.
    async fn trim_all(&self, before: Timestamp) -> Result<u64, EngineError> {
        let (mut removed, mut failures, mut after) = (0, 0, None);
        loop {
            let page = self
                .log
                .oldest_events(after, before, TENANTS_AT_ONCE)
                .await?;
            for tenant in self.with_something_to_lose(&page.found).await? {
                match self.trim(tenant).await {
                    Ok(events) => {
                        removed += events;
                        failures = 0;
                    }
                    Err(error) => {
                        warn!(tenant.id = %tenant, %error, "what {tenant} has to lose was not removed: {error}");
                        failures += 1;
                        if failures % FAILURES_MAX == 0 {
                            answers(self.log).await?;
                        }
                    }
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(removed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Those whose oldest event has outlived its time.
    async fn with_something_to_lose(&self, found: &[Oldest]) -> Result<Vec<TenantId>, StoreError> {
        let tenants: Vec<TenantId> = found.iter().map(|oldest| oldest.tenant).collect();
        let mut keepings = self.engine.inner.control.keepings(&tenants).await?;
        let mut tenants = Vec::new();
        for oldest in found {
            let Some(keeping) = keepings.remove(&oldest.tenant) else {
                continue;
            };
            let retention = self.engine.retention(keeping);
            let keeps = retention.keeps(oldest.workspace, oldest.received_at, self.now);
            if !keeps && !self.unsigned.contains(&oldest.tenant) {
                tenants.push(oldest.tenant);
            }
        }
        Ok(tenants)
    }

    /// Counts events that have gone, and has nobody find them in this node's memory.
    fn gone(&self, tenant: TenantId, cut: Cut, events: u64) {
        metrics::counter!("retention_events_removed_total").increment(events);
        if let Some(feed) = self.engine.inner.feeds.find(tenant) {
            feed.forget_up_to(cut.upto);
        }
    }

    /// Removes what one tenant has to lose. What decides is read anew for each piece: somebody may have changed the plan.
    async fn trim(&self, tenant: TenantId) -> Result<u64, StoreError> {
        let (mut removed, mut at_once) = (0, u64::MAX);
        while let Some(retention) = self.engine.retention_of(tenant).await?
            && let Some(mut cut) = self.log.outlived(tenant, &retention, self.now).await?
            && let Some(oldest) = self.log.oldest(tenant).await?
        {
            while self.log.forget_up_to(tenant, cut).await? > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let last = oldest.prev().get().saturating_add(at_once);
            cut.upto = cut.upto.min(Position::new(last));
            let events = match self.log.remove_up_to(tenant, cut).await {
                // It may have taken too long, and would the next time, too.
                Err(StoreError::Unavailable(_)) if at_once > FEW_EVENTS => {
                    at_once = FEW_EVENTS;
                    continue;
                }
                outcome => outcome?,
            };
            self.gone(tenant, cut, events);
            removed += events;
            if events == 0 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(removed)
    }
}

/// Whether the store answers at all: if it does, what fails is not its fault.
async fn answers(log: &dyn RegionLog) -> Result<(), StoreError> {
    log.oldest_events(None, Timestamp::default(), 1).await?;
    Ok(())
}
