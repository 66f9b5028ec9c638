//! Plain values for tests.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    event::{Event, EventType, Fields, Hash, Seed},
    event_id::event_id,
    ids::{ReplayId, TenantId, WebhookId, WorkspaceId},
    position::{Position, Seq},
    region::Region,
    signature::WebhookSecret,
    time::Timestamp,
    webhook::{Birth, Webhook, WebhookInput},
};
use store::log::{Replay, ReplayState, WebhookNo};
use uuid::Uuid;

use crate::{
    feed::{Feeds, RingLimits},
    webhook::parcel::Parcel,
};

pub(crate) const LIMITS: RingLimits = RingLimits {
    events_max: 64,
    bytes_max: 1 << 20,
};

pub(crate) fn webhook(url: &str) -> Webhook {
    let birth = Birth {
        id: WebhookId::from_uuid(Uuid::from_u128(3)),
        tenant: TenantId::from_uuid(Uuid::from_u128(1)),
        workspace: None,
        secret: WebhookSecret::from_random(&[1; 32]),
        starts_after: Position::ZERO,
        now: Timestamp::default(),
    };
    Webhook::create(WebhookInput::of_url(url.to_owned()), birth)
}

pub(crate) fn event(position: u64, kind: &str) -> Event {
    let position = Position::new(position);
    Event {
        position,
        seq: Seq::new(position.get()),
        id: event_id(Timestamp::default(), position, 7),
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(2)),
        received_at: Timestamp::default(),
        kind: EventType::new(kind).unwrap(),
        fields: Fields::default(),
        payload: Bytes::from_static(b"{}"),
        seed: Seed([0; 32]),
        prev_hash: Hash::default(),
        hash: Hash::default(),
    }
}

pub(in crate::webhook) fn parcel(position: u64) -> Parcel {
    let tenant = TenantId::from_uuid(Uuid::from_u128(1));
    let feed = Feeds::default().get(tenant, Region::Au, LIMITS);
    Parcel::live(Arc::clone(&feed.frame(event(position, "a.b"))))
}

pub(crate) fn replay(from: u64, to: u64) -> Replay {
    Replay {
        id: ReplayId::from_uuid(Uuid::from_u128(9)),
        webhook: WebhookNo(1),
        from: Position::new(from),
        to: Position::new(to),
        types: Vec::new(),
        only_failed: false,
        cursor: Position::new(from).prev(),
        total: 0,
        done: 0,
        failed: 0,
        state: ReplayState::Running,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}
