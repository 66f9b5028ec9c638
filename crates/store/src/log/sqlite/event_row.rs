//! How an event becomes a row, and a row an event again.
//!
//! Columns are what a filter asks for. Everything else is in `body`: a version byte, id, seed, previous hash and hash at
//! fixed places, then the optional parts, each as a tag, its length (four bytes, big-endian) and its bytes.

use bytes::Bytes;
use domain::{
    event::{Event, EventType, Fields, Hash, Party, Seed},
    ids::{DeviceId, EventId, WorkspaceId},
    position::{POSITION_MAX, Position, Seq},
    time::Timestamp,
};
use sqlx::{Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use super::{batch::Row, failure::store_error};
use crate::StoreError;

/// The columns of an event as [`read`] wants them, for a query `FROM events AS e CROSS JOIN streams AS s`.
macro_rules! event_columns {
    () => {
        "e.place, s.id, e.seq, e.received_at, e.kind, e.category, e.project, e.actor_id, e.dedup_id,
         e.device, e.body, e.payload"
    };
}
pub(super) use event_columns;

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

/// The hash in a body, for SQL, whose `substr` counts from 1.
macro_rules! hash_in_body {
    () => {
        "substr(body, 82, 32)"
    };
}
pub(super) use hash_in_body;

/// The id in a body, for SQL.
macro_rules! id_in_body {
    () => {
        "substr(body, 2, 16)"
    };
}
pub(super) use id_in_body;

/// How many bits of a place hold the position.
const POSITION_BITS: u32 = 40;

/// The primary key of the event at a position.
pub(super) fn place(tenant_no: i64, position: Position) -> i64 {
    let position = i64::try_from(position.min(POSITION_MAX).get()).expect("40 bits");
    (tenant_no << POSITION_BITS) | position
}

/// The position that a place holds.
pub(super) fn position_of(place: i64) -> Position {
    let low = place & ((1 << POSITION_BITS) - 1);
    Position::new(u64::try_from(low).expect("40 bits"))
}

/// Adds an event's columns to a row.
pub(super) fn write(row: &mut Row, event: &Event, tenant_no: i64, stream_no: i64) {
    let fields = &event.fields;
    let actor_id = fields.actor.as_ref().and_then(|actor| actor.id.as_deref());
    row.int(place(tenant_no, event.position))
        .int(stream_no)
        .count(event.seq.get())
        .int(event.received_at.micros())
        .text(event.kind.as_str())
        .maybe_text(fields.category.as_deref())
        .maybe_text(fields.project.as_deref())
        .maybe_text(actor_id)
        .maybe_text(fields.dedup_id.as_deref())
        .maybe_bytes(fields.device.as_ref().map(|device| &device.as_bytes()[..]))
        .owned_bytes(body(event))
        .bytes(&event.payload);
}

/// Reads the event of a row that was selected with [`event_columns`].
pub(super) fn read(row: &SqliteRow) -> Result<Event, StoreError> {
    let parts = Parts::of(row.try_get(10).map_err(store_error)?)?;
    let kind: &str = row.try_get(4).map_err(store_error)?;
    let seq: i64 = row.try_get(2).map_err(store_error)?;
    let payload: Vec<u8> = row.try_get(11).map_err(store_error)?;
    let device: Option<&[u8]> = row.try_get(9).map_err(store_error)?;
    let actor_id = maybe_text(row, 7)?;
    let fields = Fields {
        occurred_at: parts.occurred_at,
        category: maybe_text(row, 5)?,
        project: maybe_text(row, 6)?,
        actor: parts.actor.map(|json| Party { json, id: actor_id }),
        target: parts.target.map(|json| Party {
            json,
            id: parts.target_id,
        }),
        dedup_id: maybe_text(row, 8)?,
        ordering_key: parts.ordering_key,
        trace_id: parts.trace_id,
        device: device.map(uuid).transpose()?.map(DeviceId::from_uuid),
    };
    Ok(Event {
        position: position_of(row.try_get(0).map_err(store_error)?),
        seq: Seq::new(u64::try_from(seq).map_err(|_negative| corrupt("a negative seq"))?),
        id: EventId::from_uuid(parts.id),
        workspace: WorkspaceId::from_uuid(uuid(row.try_get(1).map_err(store_error)?)?),
        received_at: Timestamp::from_micros(row.try_get(3).map_err(store_error)?),
        kind: EventType::new(kind).map_err(|_bad| corrupt("a malformed event type"))?,
        fields,
        payload: payload.into(),
        seed: Seed(parts.seed),
        prev_hash: Hash(parts.prev_hash),
        hash: Hash(parts.hash),
    })
}

/// Reads 16 bytes.
pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_length| corrupt("an id that has not 16 bytes"))
}

/// Reads 32 bytes.
pub(super) fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    let bytes = bytes
        .try_into()
        .map_err(|_length| corrupt("a hash that has not 32 bytes"))?;
    Ok(Hash(bytes))
}

/// Says that a row cannot be read.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("a row of the log has {what}"))
}

fn maybe_text(row: &SqliteRow, column: usize) -> Result<Option<Box<str>>, StoreError> {
    let text: Option<&str> = row.try_get(column).map_err(store_error)?;
    Ok(text.map(Box::from))
}

fn body(event: &Event) -> Vec<u8> {
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
