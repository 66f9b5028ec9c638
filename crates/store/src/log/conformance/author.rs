//! Writes valid events: numbered without holes, chained by workspace, received one second apart.

use std::{collections::HashMap, sync::Arc, time::Duration};

use domain::{
    chain,
    event::{Event, EventType, Fields, Hash, Party, Seed},
    event_id::event_id,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use uuid::Uuid;

use crate::log::{Append, RegionLog, Write, WriteError};

/// One tenant and the state of its log.
#[derive(Clone)]
pub struct Author {
    /// Whose log it writes.
    pub tenant: TenantId,
    head: Position,
    chains: HashMap<WorkspaceId, (Seq, Hash)>,
}

/// When the event at a position was received.
pub fn received_at(position: u64) -> Timestamp {
    let start = Timestamp::parse("2026-03-01T00:00:00Z").expect("a well-formed time");
    start.plus(Duration::from_secs(position))
}

/// A tenant by number.
pub fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

/// A workspace by number.
pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(0xabc0_0000 + number))
}

/// A device by number.
pub fn device(number: u128) -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(0xde00_0000 + number))
}

impl Author {
    /// Starts an empty log.
    pub fn new(number: u128) -> Author {
        Author {
            tenant: tenant(number),
            head: Position::ZERO,
            chains: HashMap::new(),
        }
    }

    /// Where its log ends, as far as it knows.
    pub fn head(&self) -> Position {
        self.head
    }

    /// The next event, in the first workspace.
    pub fn event(&mut self) -> Event {
        self.event_with(workspace(1), "order.created", Fields::default())
    }

    /// The next event.
    pub fn event_with(&mut self, workspace: WorkspaceId, kind: &str, fields: Fields) -> Event {
        self.head = self.head.next();
        let (seq, prev_hash) = self.chains.get(&workspace).copied().unwrap_or_default();
        let position = self.head;
        let received_at = received_at(position.get());
        let number = u8::try_from(position.get() % 251).expect("below 251");
        let mut event = Event {
            position,
            seq: seq.next(),
            id: event_id(received_at, position, u64::from(number)),
            workspace,
            received_at,
            kind: EventType::new(kind).expect("a well-formed type"),
            fields,
            payload: format!(r#"{{"number":{position}}}"#).into(),
            seed: Seed([number; 32]),
            prev_hash,
            hash: Hash::default(),
        };
        chain::link(self.tenant, &mut event, prev_hash);
        self.chains.insert(workspace, (event.seq, event.hash));
        event
    }

    /// The next events, in the first workspace.
    pub fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.event()).collect()
    }

    /// An append of events onto the head before the first of them.
    pub fn append(&self, events: Vec<Event>) -> Append {
        Append {
            tenant: self.tenant,
            expected_head: events
                .first()
                .map_or(self.head, |event| event.position.prev()),
            events: events.into_iter().map(Arc::new).collect(),
            nodes: Vec::new(),
            answers: Vec::new(),
            sessions: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Writes so many further events and hands them back.
    pub async fn write(&mut self, log: &dyn RegionLog, count: usize) -> Vec<Event> {
        let events = self.events(count);
        commit_one(log, Write::Append(self.append(events.clone()))).await;
        events
    }
}

/// Every field that an event can have, with the awkward values that are allowed.
pub fn all_fields() -> Fields {
    Fields {
        occurred_at: Some(Timestamp::from_micros(-1)),
        category: Some("auth".into()),
        project: Some("prøject 🦀".into()),
        actor: Some(Party {
            json: r#"{"id":"u-1", "name":"A \u0000 B"}"#.into(),
            id: Some("u-1".into()),
        }),
        target: Some(Party {
            json: r#"{ "type" : "order" }"#.into(),
            id: None,
        }),
        dedup_id: Some("dedup".into()),
        ordering_key: Some(String::new().into()),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        device: Some(device(1)),
    }
}

/// Commits and answers the outcome of each part.
pub async fn commit(log: &dyn RegionLog, parts: &[Write]) -> Vec<Result<(), WriteError>> {
    log.commit(parts).await.expect("the commit goes through")
}

/// Commits one part that must go through.
pub async fn commit_one(log: &dyn RegionLog, part: Write) {
    let outcomes = commit(log, &[part]).await;
    assert!(matches!(outcomes[..], [Ok(())]), "{outcomes:?}");
}

/// The head that a part failed for.
pub fn moved_head(outcome: &Result<(), WriteError>) -> Option<Position> {
    match outcome {
        Err(WriteError::HeadMoved { head }) => Some(*head),
        Ok(())
        | Err(
            WriteError::AnswerTaken
            | WriteError::Fenced { .. }
            | WriteError::DeviceFenced { .. }
            | WriteError::Store(_),
        ) => None,
    }
}

/// All events of a tenant.
pub async fn read_all(log: &dyn RegionLog, tenant: TenantId) -> Vec<Event> {
    log.read_after(tenant, Position::ZERO, u32::MAX, usize::MAX)
        .await
        .expect("events can be read")
}

/// Their positions.
pub fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}
