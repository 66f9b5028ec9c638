//! Drops months in which nobody has anything to keep.
//!
//! A month is looked through twice: before its deliveries and messages go, and right before it goes itself, by what tenants' plans
//! and workspaces say then. The store looks once more whether it holds what was found here.

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Duration,
};

use domain::{ids::TenantId, retention::Retention, time::Timestamp};
use store::{
    StoreError,
    log::{Cut, DropOutcome, InMonth, MonthSum, PastMonth},
};
use tracing::{debug, info, warn};

use super::{PAUSE, Work};

/// Workspaces that are looked at by one question.
const WORKSPACES_AT_ONCE: u32 = 500;
/// How often a month is tried that others are at work on, and how long it is left alone in between.
const TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A month in which nobody has anything to keep.
struct Past {
    sum: MonthSum,
    /// The last event of each tenant in it.
    cuts: HashMap<TenantId, Cut>,
}

impl Work<'_> {
    /// Drops what can be dropped of the months that ended before a time. Answers how many events went with them. One that cannot be
    /// dropped holds up nothing: what has to go of it goes piece by piece.
    pub(super) async fn drop_months(&self, before: Timestamp) -> u64 {
        let region = self.region.name();
        let months = match self.log.past_months(before).await {
            Ok(months) => months,
            Err(error) => {
                warn!(region, %error, "it was not found out which months of {region} are past: {error}");
                return 0;
            }
        };
        let mut removed = 0;
        for month in months {
            match self.drop_if_past(&month).await {
                Ok(events) => removed += events,
                Err(error) => {
                    let name = &month.name;
                    warn!(region, month = %name, %error, "{name} of {region} was not dropped: {error}");
                }
            }
        }
        removed
    }

    /// Drops a month if nobody has anything to keep in it. Answers how many events went with it.
    async fn drop_if_past(&self, month: &PastMonth) -> Result<u64, StoreError> {
        let Some(past) = self.look_through(month).await? else {
            return Ok(0);
        };
        for (tenant, cut) in &past.cuts {
            while self.log.forget_up_to(*tenant, *cut).await? > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let Some(past) = self.look_through(month).await? else {
            return Ok(0);
        };
        if !self.drop_month(month, past.sum).await? {
            return Ok(0);
        }
        for (tenant, cut) in past.cuts {
            self.gone(tenant, cut, 0);
        }
        metrics::counter!("retention_events_removed_total").increment(past.sum.events);
        metrics::counter!("retention_partitions_dropped_total").increment(1);
        Ok(past.sum.events)
    }

    /// What is in a month, if all of it may go.
    async fn look_through(&self, month: &PastMonth) -> Result<Option<Past>, StoreError> {
        let mut retentions: HashMap<TenantId, Option<Retention>> = HashMap::new();
        let mut past = Past {
            sum: MonthSum::default(),
            cuts: HashMap::new(),
        };
        let at = month.ends_at.minus(Duration::from_micros(1));
        let mut after = None;
        loop {
            let page = self
                .log
                .month_page(month, after, WORKSPACES_AT_ONCE)
                .await?;
            for found in &page.found {
                let tenant = found.tenant;
                let retention = match retentions.entry(tenant) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => {
                        unknown.insert(self.engine.retention_of(tenant).await?)
                    }
                };
                let may_go = retention
                    .as_ref()
                    .is_some_and(|retention| may_go(found, retention, month.ends_at, self.now));
                if !may_go || self.unsigned.contains(&tenant) {
                    let name = &month.name;
                    debug!(month = %name, tenant.id = %tenant, "{name} holds something to keep");
                    return Ok(None);
                }
                past.sum.add(found);
                let cut = past.cuts.entry(tenant).or_insert(Cut {
                    upto: found.upto,
                    at,
                });
                cut.upto = cut.upto.max(found.upto);
            }
            after = page.next;
            if after.is_none() {
                return Ok(Some(past));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn drop_month(&self, month: &PastMonth, sum: MonthSum) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            match self.log.drop_month(month, sum).await? {
                DropOutcome::Gone => return Ok(true),
                DropOutcome::Changed => break,
                DropOutcome::Busy => tokio::time::sleep(TRY_AGAIN_AFTER).await,
            }
        }
        let (region, name) = (self.region.name(), &month.name);
        info!(region, month = %name, "{name} of {region} stays for now: others are at work on it");
        Ok(false)
    }
}

/// Whether all that a workspace has in a month may go, which ended at a time: it has outlived its retention, and nothing older is
/// kept in the tenant's log, in whatever month. An event waits for those before it.
fn may_go(found: &InMonth, retention: &Retention, ended_at: Timestamp, now: Timestamp) -> bool {
    found.begins_here && !retention.keeps(found.workspace, ended_at, now)
}

#[cfg(test)]
mod tests {
    use domain::{
        ids::WorkspaceId,
        position::{Position, Seq},
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_month_goes_when_its_last_event_has_outlived_its_time_and_nothing_older_is_kept() {
        let ended_at = Timestamp::parse("2026-02-01T00:00:00Z").unwrap();
        let day = Duration::from_secs(24 * 60 * 60);
        let found = |begins_here| InMonth {
            tenant: TenantId::from_uuid(Uuid::nil()),
            workspace: WorkspaceId::from_uuid(Uuid::nil()),
            first: Seq::new(1),
            last: Seq::new(9),
            upto: Position::new(9),
            begins_here,
        };
        let retention = Retention::new(Some(30), []);
        let over = ended_at.plus(day * 30);
        assert!(may_go(&found(true), &retention, ended_at, over));
        assert!(!may_go(&found(false), &retention, ended_at, over));
        let before = over.minus(Duration::from_micros(1));
        assert!(!may_go(&found(true), &retention, ended_at, before));
        let for_ever = Retention::default();
        assert!(!may_go(&found(true), &for_ever, ended_at, over));
    }
}
