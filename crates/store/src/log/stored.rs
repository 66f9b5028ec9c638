//! What both databases store alike: places, bodies of events, numbers.
//!
//! Columns of an event are what a filter asks for. Everything else is in `body`: a version byte, id, seed, previous hash and
//! hash at fixed places, then the optional parts, each as a tag, its length (four bytes, big-endian) and its bytes.

use bytes::Bytes;
use domain::{
    event::{Event, EventType, Fields, Hash, Party, Seed},
    ids::{DeviceId, EventId, WorkspaceId},
    position::{POSITION_MAX, Position, Seq},
    time::Timestamp,
};
use uuid::Uuid;

use super::{Attempt, Delivery, DeliveryState, Exception, ReplayState, WebhookNo};
use crate::StoreError;

const VERSION: u8 = 1;
const ID_AT: usize = 1;
const SEED_AT: usize = 17;
const PREV_HASH_AT: usize = 49;
const HASH_AT: usize = 81;
const PARTS_AT: usize = 113;

const OCCURRED_AT: u8 = 1;
const ACTOR: u8 = 2;
const TARGET: u8 = 3;
const TARGET_ID: u8 = 4;
const ORDERING_KEY: u8 = 5;
const TRACE_ID: u8 = 6;

/// How many bits of a place hold the position.
const POSITION_BITS: u32 = 40;

/// The primary key of the event at a position.
pub(in crate::log) fn place(tenant_no: i64, position: Position) -> i64 {
    let position = i64::try_from(position.min(POSITION_MAX).get()).expect("40 bits");
    (tenant_no << POSITION_BITS) | position
}

/// The position that a place holds.
pub(in crate::log) fn position_of(place: i64) -> Position {
    let low = place & ((1 << POSITION_BITS) - 1);
    Position::new(u64::try_from(low).expect("40 bits"))
}

/// The columns of an event, as either database hands them out.
pub(in crate::log) struct Columns<'r> {
    pub(in crate::log) place: i64,
    pub(in crate::log) workspace: Uuid,
    pub(in crate::log) seq: i64,
    pub(in crate::log) received_at: i64,
    pub(in crate::log) kind: &'r str,
    pub(in crate::log) category: Option<Box<str>>,
    pub(in crate::log) project: Option<Box<str>>,
    pub(in crate::log) actor_id: Option<Box<str>>,
    pub(in crate::log) dedup_id: Option<Box<str>>,
    pub(in crate::log) device: Option<Uuid>,
    pub(in crate::log) body: &'r [u8],
    pub(in crate::log) payload: Bytes,
}

impl Columns<'_> {
    /// Puts the event together.
    pub(in crate::log) fn into_event(self) -> Result<Event, StoreError> {
        let parts = Parts::of(self.body)?;
        let actor_id = self.actor_id;
        let fields = Fields {
            occurred_at: parts.occurred_at,
            category: self.category,
            project: self.project,
            actor: parts.actor.map(|json| Party { json, id: actor_id }),
            target: parts.target.map(|json| Party {
                json,
                id: parts.target_id,
            }),
            dedup_id: self.dedup_id,
            ordering_key: parts.ordering_key,
            trace_id: parts.trace_id,
            device: self.device.map(DeviceId::from_uuid),
        };
        Ok(Event {
            position: position_of(self.place),
            seq: Seq::new(unsigned(self.seq)?),
            id: EventId::from_uuid(parts.id),
            workspace: WorkspaceId::from_uuid(self.workspace),
            received_at: Timestamp::from_micros(self.received_at),
            kind: EventType::new(self.kind).map_err(|_bad| corrupt("a malformed event type"))?,
            fields,
            payload: self.payload,
            seed: Seed(parts.seed),
            prev_hash: Hash(parts.prev_hash),
            hash: Hash(parts.hash),
        })
    }
}

/// Reads 16 bytes.
pub(in crate::log) fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_length| corrupt("an id that has not 16 bytes"))
}

/// Reads 32 bytes.
pub(in crate::log) fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_length| corrupt("a hash that has not 32 bytes"))?;
    Ok(Hash(bytes))
}

/// Says that a row cannot be read.
pub(in crate::log) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a row of the log has {what}"))
}

/// A number that must not be negative.
pub(in crate::log) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_negative| corrupt("a count below zero"))
}

/// A number that must fit a smaller type.
pub(in crate::log) fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_too_large| corrupt("a number out of its range"))
}

/// A number as SQL counts.
pub(in crate::log) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The state that a number stands for; see the migrations.
pub(in crate::log) fn state(number: i64) -> Result<DeliveryState, StoreError> {
    Ok(match number {
        0 => DeliveryState::Pending,
        1 => DeliveryState::Retrying,
        2 => DeliveryState::Delivered,
        3 => DeliveryState::Dead,
        _unknown => return Err(corrupt("a delivery in an unknown state")),
    })
}

/// Reads a position.
pub(in crate::log) fn position(number: i64) -> Result<Position, StoreError> {
    unsigned(number).map(Position::new)
}

/// Positions as they are stored: eight bytes each, big-endian.
pub(in crate::log) fn write_positions(positions: &[Position]) -> Vec<u8> {
    let positions = positions.iter();
    positions
        .flat_map(|position| position.get().to_be_bytes())
        .collect()
}

/// Reads a list of positions.
pub(in crate::log) fn read_positions(bytes: &[u8]) -> Result<Vec<Position>, StoreError> {
    let (chunks, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(corrupt("a list of positions that is cut off"));
    }
    let positions = chunks.iter();
    Ok(positions
        .map(|bytes| Position::new(u64::from_be_bytes(*bytes)))
        .collect())
}

/// The state of a replay that a number stands for; see the migrations.
pub(in crate::log) fn replay_state(number: i64) -> Result<ReplayState, StoreError> {
    Ok(match number {
        0 => ReplayState::Running,
        1 => ReplayState::Completed,
        2 => ReplayState::Cancelled,
        _unknown => return Err(corrupt("a replay in an unknown state")),
    })
}

/// Reads JSON.
pub(in crate::log) fn from_json<T: serde::de::DeserializeOwned>(
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt(format!("a row of the log has bad JSON: {error}")))
}

/// A delivery from its last attempt and its exception; the exception knows better where it stands.
pub(in crate::log) fn sum_up(
    webhook: WebhookNo,
    position: Position,
    last: Option<&Attempt>,
    exception: Option<Exception>,
) -> Option<Delivery> {
    match (last, exception) {
        (None, None) => None,
        (Some(last), None) => Some(Delivery {
            webhook,
            position,
            state: last.state,
            attempts: last.attempt,
            last_at: last.at,
            last_status: last.status,
            next_at: None,
        }),
        (last, Some(exception)) => Some(Delivery {
            webhook,
            position,
            state: exception.state,
            attempts: exception.attempts,
            last_at: last.map_or(exception.at, |last| last.at),
            last_status: exception.last_status,
            next_at: (exception.state == DeliveryState::Retrying).then_some(exception.at),
        }),
    }
}

/// What an event is beside its columns.
pub(in crate::log) fn body(event: &Event) -> Vec<u8> {
    let fields = &event.fields;
    let occurred_at = fields.occurred_at.map(|time| time.micros().to_be_bytes());
    let json = |party: &'_ Option<Party>| party.as_ref().map(|party| party.json.clone());
    let (actor, target) = (json(&fields.actor), json(&fields.target));
    let target_id = fields.target.as_ref().and_then(|party| party.id.as_ref());
    let text =
        |text: Option<&'_ Box<str>>| text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let parts = [
        (
            OCCURRED_AT,
            occurred_at.map(|time| Bytes::copy_from_slice(&time)),
        ),
        (ACTOR, actor),
        (TARGET, target),
        (TARGET_ID, text(target_id)),
        (ORDERING_KEY, text(fields.ordering_key.as_ref())),
        (TRACE_ID, text(fields.trace_id.as_ref())),
    ];
    let length: usize = parts
        .iter()
        .flat_map(|(_, part)| part)
        .map(|part| part.len() + 5)
        .sum();

    let mut body = Vec::with_capacity(PARTS_AT + length);
    body.push(VERSION);
    body.extend_from_slice(event.id.as_bytes());
    body.extend_from_slice(&event.seed.0);
    body.extend_from_slice(&event.prev_hash.0);
    body.extend_from_slice(&event.hash.0);
    for (tag, part) in parts {
        if let Some(part) = part {
            let length = u32::try_from(part.len()).expect("parts are checked where they come in");
            body.push(tag);
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(&part);
        }
    }
    body
}

/// What a body holds.
#[derive(Default)]
struct Parts {
    id: Uuid,
    seed: [u8; 32],
    prev_hash: [u8; 32],
    hash: [u8; 32],
    occurred_at: Option<Timestamp>,
    actor: Option<Bytes>,
    target: Option<Bytes>,
    target_id: Option<Box<str>>,
    ordering_key: Option<Box<str>>,
    trace_id: Option<Box<str>>,
}

impl Parts {
    fn of(body: &[u8]) -> Result<Parts, StoreError> {
        if body.len() < PARTS_AT || body[0] != VERSION {
            return Err(corrupt("a body of an unknown form"));
        }
        let mut parts = Parts {
            id: uuid(&body[ID_AT..SEED_AT])?,
            seed: hash(&body[SEED_AT..PREV_HASH_AT])?.0,
            prev_hash: hash(&body[PREV_HASH_AT..HASH_AT])?.0,
            hash: hash(&body[HASH_AT..PARTS_AT])?.0,
            ..Parts::default()
        };
        let mut rest = &body[PARTS_AT..];
        while let Some((&[tag, a, b, c, d], after)) = rest.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            let (part, after) = after
                .split_at_checked(length)
                .ok_or_else(|| corrupt("a body that is cut off"))?;
            parts.take(tag, part)?;
            rest = after;
        }
        if rest.is_empty() {
            Ok(parts)
        } else {
            Err(corrupt("a body that is cut off"))
        }
    }

    fn take(&mut self, tag: u8, part: &[u8]) -> Result<(), StoreError> {
        let text = || {
            std::str::from_utf8(part)
                .map(Box::from)
                .map_err(|_not_text| corrupt("a text that is not UTF-8"))
        };
        match tag {
            OCCURRED_AT => {
                let micros = part
                    .try_into()
                    .map_err(|_length| corrupt("a time that has not 8 bytes"))?;
                self.occurred_at = Some(Timestamp::from_micros(i64::from_be_bytes(micros)));
            }
            ACTOR => self.actor = Some(Bytes::copy_from_slice(part)),
            TARGET => self.target = Some(Bytes::copy_from_slice(part)),
            TARGET_ID => self.target_id = Some(text()?),
            ORDERING_KEY => self.ordering_key = Some(text()?),
            TRACE_ID => self.trace_id = Some(text()?),
            _unknown => return Err(corrupt("a body with a part of an unknown kind")),
        }
        Ok(())
    }
}
