//! Deliveries as they are shown: the log's rows with public names.

use std::collections::HashMap;

use domain::{
    event::{Event, EventType},
    ids::{DeliveryId, EventId, TenantId, WebhookId, WorkspaceId},
    position::Position,
    time::Timestamp,
    webhook::{delivery_id, delivery_place},
};
use store::log::{Attempt, Delivery, DeliveryQuery, DeliveryState, RegionLog, WebhookNo};

use super::{Engine, EngineError};

/// One delivery with its public names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    /// Its id.
    pub id: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Of which event; `None` if that is no longer kept.
    pub event: Option<(EventId, EventType)>,
    /// How it stands.
    pub delivery: Delivery,
}

impl Engine {
    /// Deliveries of a webhook that were attempted, newest position first, those below `before` only.
    pub async fn deliveries(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        webhook: WebhookId,
        query: (Option<Position>, Option<DeliveryState>, u32),
    ) -> Result<Vec<DeliveryView>, EngineError> {
        let found = self.open_webhook(tenant, confined_to, webhook).await?;
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let (before, state, limit) = query;
        let query = DeliveryQuery {
            webhook: WebhookNo(found.no),
            before,
            state,
            limit,
        };
        let deliveries = log.deliveries(tenant, &query).await?;
        let positions = deliveries.iter().map(|delivery| delivery.position);
        let events = events_at(&*log, tenant, positions.collect()).await?;
        let view = |delivery: Delivery| {
            let event = events.get(&delivery.position);
            view(webhook, delivery, event)
        };
        Ok(deliveries.into_iter().map(view).collect())
    }

    /// One delivery with all its attempts.
    pub async fn delivery(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeliveryId,
    ) -> Result<(DeliveryView, Vec<Attempt>), EngineError> {
        const NONE: EngineError = EngineError::NotFound("delivery");
        let (no, position) = delivery_place(id).ok_or(NONE)?;
        let no = WebhookNo(no);
        let webhook = match self.webhook_by_no(tenant, confined_to, no).await {
            Err(EngineError::NotFound(_)) => return Err(NONE),
            found => found?,
        };
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let (delivery, attempts) = log.delivery(tenant, no, position).await?.ok_or(NONE)?;
        let event = log.read_at(tenant, position).await?;
        let view = view(webhook.id, delivery, event.as_ref());
        if view.id != id {
            return Err(NONE);
        }
        Ok((view, attempts))
    }
}

/// The events at some positions.
pub(super) async fn events_at(
    log: &dyn RegionLog,
    tenant: TenantId,
    mut positions: Vec<Position>,
) -> Result<HashMap<Position, Event>, EngineError> {
    positions.sort_unstable();
    positions.dedup();
    let events = log.read_many(tenant, &positions).await?;
    Ok(events
        .into_iter()
        .map(|event| (event.position, event))
        .collect())
}

fn view(webhook: WebhookId, delivery: Delivery, event: Option<&Event>) -> DeliveryView {
    DeliveryView {
        id: id_of(delivery.webhook, delivery.position, event),
        webhook,
        event: event.map(|event| (event.id, event.kind.clone())),
        delivery,
    }
}

/// The id of a delivery. Without its event, which gave it its time, it can be shown and not be found.
pub(super) fn id_of(no: WebhookNo, position: Position, event: Option<&Event>) -> DeliveryId {
    let received_at = event.map_or(Timestamp::default(), |event| event.received_at);
    delivery_id(no.0, position, received_at)
}
