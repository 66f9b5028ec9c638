//! Pull consumers: what comes after a cursor, acknowledging it, going back.

use std::time::Duration;

use domain::{
    event::Event, filter::EventFilter, ids::TenantId, position::Position, region::Region,
    time::Timestamp,
};
use store::log::{Consumer, ConsumerName, DeliveryState, EventQuery, Order};

use super::{Engine, EngineError};
use crate::tenant::{Acknowledge, Acknowledgement};

/// Events looked at for one page.
const SCAN_MAX: u32 = 50_000;
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Pages looked at for one answer when a status is asked for, and events in each: 50,000 events after the cursor.
const STATUS_PAGES_MAX: usize = 100;
const STATUS_PAGE_EVENTS: u32 = 500;

/// What a consumer asks for.
#[derive(Clone, Debug)]
pub struct InboxQuery {
    /// Who asks.
    pub name: ConsumerName,
    /// At most.
    pub limit: u32,
    /// How long to wait if there is nothing.
    pub wait: Duration,
    /// Only events whose webhook deliveries stand like this.
    pub status: Option<DeliveryState>,
}

/// What a consumer gets.
#[derive(Debug)]
pub struct InboxPage {
    /// Events after the cursor that are not acknowledged, oldest first.
    pub events: Vec<Event>,
    /// Where they live.
    pub region: Region,
    /// The consumer's cursor.
    pub cursor: Position,
}

impl Engine {
    /// What comes next for a consumer. Waits for up to `query.wait` while there is nothing.
    pub async fn inbox(
        &self,
        tenant: TenantId,
        query: &InboxQuery,
    ) -> Result<InboxPage, EngineError> {
        let feed = self.feed(tenant).await?;
        let mut head = feed.watch();
        let deadline = tokio::time::Instant::now() + query.wait;
        loop {
            head.mark_unchanged();
            let page = self.inbox_now(tenant, feed.region(), query).await?;
            if !page.events.is_empty() {
                return Ok(page);
            }
            match tokio::time::timeout_at(deadline, head.changed()).await {
                Ok(Ok(())) => {}
                // The deadline has passed, or the feed is gone: nothing came.
                Ok(Err(_)) | Err(_) => return Ok(page),
            }
        }
    }

    async fn inbox_now(
        &self,
        tenant: TenantId,
        region: Region,
        query: &InboxQuery,
    ) -> Result<InboxPage, EngineError> {
        let log = self.inner.logs.get(region);
        let standing = log.consumer(tenant, &query.name).await?.unwrap_or_default();
        let mut events = Vec::new();
        let mut after = standing.cursor;
        let acked = u32::try_from(standing.acked.len()).unwrap_or(u32::MAX);
        let page_limit = match query.status {
            Some(_) => STATUS_PAGE_EVENTS,
            None => query.limit.saturating_add(acked),
        };
        for _ in 0..STATUS_PAGES_MAX {
            let search = EventQuery {
                filter: EventFilter {
                    workspace: query.name.workspace,
                    ..EventFilter::default()
                },
                after: Some(after),
                before: None,
                order: Order::Ascending,
                limit: page_limit,
                scan_max: SCAN_MAX,
                bytes_max: PAGE_BYTES,
            };
            let page = log.search(tenant, &search).await?;
            let open = page
                .events
                .into_iter()
                .filter(|event| standing.acked.binary_search(&event.position).is_err());
            let found = self
                .with_status(tenant, region, open.collect(), query.status)
                .await?;
            events.extend(found);
            match page.next {
                Some(next) if events.len() < query.limit as usize => after = next,
                Some(_) | None => break,
            }
        }
        events.truncate(query.limit as usize);
        Ok(InboxPage {
            events,
            region,
            cursor: standing.cursor,
        })
    }

    /// Keeps the events whose deliveries stand as asked.
    async fn with_status(
        &self,
        tenant: TenantId,
        region: Region,
        events: Vec<Event>,
        status: Option<DeliveryState>,
    ) -> Result<Vec<Event>, EngineError> {
        let Some(status) = status else {
            return Ok(events);
        };
        let positions: Vec<Position> = events.iter().map(|event| event.position).collect();
        let standings = self
            .inner
            .logs
            .get(region)
            .standings(tenant, &positions)
            .await?;
        let stands = |position: Position| {
            standings
                .iter()
                .find(|(at, _)| *at == position)
                .map_or(DeliveryState::Pending, |(_, state)| *state)
        };
        Ok(events
            .into_iter()
            .filter(|event| stands(event.position) == status)
            .collect())
    }

    /// Acknowledges, or goes to another place in the log. Answers the new standing when it is on disk.
    pub async fn acknowledge(
        &self,
        tenant: TenantId,
        name: ConsumerName,
        what: Acknowledgement,
    ) -> Result<Consumer, EngineError> {
        let message = |reply| Acknowledge { name, what, reply };
        Ok(self.inner.tenants.ask(&tenant, message).await??)
    }

    /// The place in the log right before the first event that was received at or after `time`.
    pub async fn position_before(
        &self,
        tenant: TenantId,
        time: Timestamp,
    ) -> Result<Position, EngineError> {
        let region = self.region_of(tenant).await?;
        Ok(self
            .inner
            .logs
            .get(region)
            .position_before(tenant, time)
            .await?)
    }
}
