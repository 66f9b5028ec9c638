//! Events in and out of the engine.

use std::sync::Arc;

use domain::{
    event::{Event, NewEvent},
    event_id::position_in,
    ids::{EventId, TenantId},
    position::Position,
    region::Region,
};
use store::log::{EventQuery, Page};

use super::{Engine, EngineError};
use crate::{
    feed::Feed,
    tenant::{IdempotentRequest, Ingest, Ingested, LoadError, Subscribe},
};

/// What became of an ingest. See [`Ingested`].
pub type Receipt = Ingested;

/// One page of a search, and where its events live.
#[derive(Debug)]
pub struct EventPage {
    /// The page.
    pub page: Page,
    /// Where the events live.
    pub region: Region,
}

impl Engine {
    /// Puts events at the end of the tenant's log, all or none. Answers when they are on disk.
    pub async fn ingest(
        &self,
        tenant: TenantId,
        events: Vec<NewEvent>,
        idempotent: Option<IdempotentRequest>,
    ) -> Result<Receipt, EngineError> {
        let message = |reply| Ingest {
            events,
            idempotent,
            from: None,
            reply,
        };
        Ok(self.inner.tenants.ask(&tenant, message).await??)
    }

    /// One event, by id.
    pub async fn event(
        &self,
        tenant: TenantId,
        id: EventId,
    ) -> Result<(Event, Region), EngineError> {
        let region = self.region_of(tenant).await?;
        let log = self.inner.logs.get(region);
        let found = log.read_at(tenant, position_in(id)).await?;
        match found {
            Some(event) if event.id == id => Ok((event, region)),
            Some(_) | None => Err(EngineError::NotFound("event")),
        }
    }

    /// One page of a search.
    pub async fn search(
        &self,
        tenant: TenantId,
        region: Region,
        query: &EventQuery,
    ) -> Result<EventPage, EngineError> {
        let page = self.inner.logs.get(region).search(tenant, query).await?;
        Ok(EventPage { page, region })
    }

    /// The oldest position that is still kept; the next one to come if nothing is.
    pub async fn oldest(&self, tenant: TenantId, region: Region) -> Result<Position, EngineError> {
        let log = self.inner.logs.get(region);
        // Asked for first: what is appended in between would seem to be gone.
        let head = log.head(tenant).await?;
        let oldest = log.oldest(tenant).await?;
        Ok(oldest.unwrap_or(head.next()))
    }

    /// The readers' side of the tenant's log: its head, and its newest events in memory. On a node that does not hold the
    /// tenant it follows what its owner tells.
    pub async fn feed(&self, tenant: TenantId) -> Result<Arc<Feed>, EngineError> {
        if !self.inner.placement.is_held(tenant) {
            return self.follow(tenant).await;
        }
        let asked = self.inner.tenants.ask(&tenant, |reply| Subscribe { reply });
        match asked.await? {
            Ok(feed) => feed.ok_or(EngineError::NotFound("tenant")),
            // It has just gone elsewhere.
            Err(LoadError::NotHeld(_)) => self.follow(tenant).await,
            Err(LoadError::Store(error)) => Err(error.into()),
        }
    }

    async fn follow(&self, tenant: TenantId) -> Result<Arc<Feed>, EngineError> {
        let inner = &self.inner;
        let region = self.region_of(tenant).await?;
        let feed = inner.feeds.get(tenant, region, inner.ring);
        inner.followers.follow(&feed);
        inner.followers.catch_up(&feed).await?;
        Ok(feed)
    }
}
