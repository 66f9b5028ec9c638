//! Reads one exported event back.
//!
//! Strict, because the hash is computed from what was read and not from the text: a value written in another way than exports
//! write it, an unknown member, or a member given twice is refused. White space between members and their order do not matter.
//! `payload`, `actor` and `target` stay exact bytes.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Place;
use crate::{
    event::{Event, EventType, Fields, Hash, Party, Seed},
    ids::WorkspaceId,
    position::{POSITION_MAX, Position, Seq},
    region::Region,
    time::Timestamp,
};

/// An event as an export holds it.
pub(super) struct Exported {
    pub(super) event: Event,
    pub(super) region: Region,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    workspace: Cow<'a, str>,
    position: Position,
    seq: Seq,
    #[serde(borrow)]
    received_at: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: Option<Cow<'a, str>>,
    category: Option<Box<str>>,
    project: Option<Box<str>>,
    dedup_id: Option<Box<str>>,
    ordering_key: Option<Box<str>>,
    trace_id: Option<Box<str>>,
    #[serde(borrow)]
    actor: Option<&'a RawValue>,
    #[serde(borrow)]
    target: Option<&'a RawValue>,
    #[serde(borrow)]
    device: Option<Cow<'a, str>>,
    #[serde(borrow)]
    region: Cow<'a, str>,
    #[serde(borrow)]
    prev_hash: Cow<'a, str>,
    #[serde(borrow)]
    hash: Cow<'a, str>,
    #[serde(rename = "archived")]
    _archived: bool,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    seed: Cow<'a, str>,
}

/// The members that name an event's place, whatever else there is.
#[derive(Deserialize)]
struct Where {
    workspace: WorkspaceId,
    seq: Seq,
    position: Position,
}

/// Where an entry says that it stands, even if the rest of it is no event.
pub(super) fn place(entry: u64, json: &[u8]) -> Option<Place> {
    let found: Where = serde_json::from_slice(json).ok()?;
    let seq_max = Seq::new(POSITION_MAX.get());
    (found.seq <= seq_max).then_some(Place {
        entry,
        workspace: found.workspace,
        seq: found.seq,
        position: found.position,
    })
}

impl Exported {
    /// Reads one JSON object; the error says what is wrong with it.
    pub(super) fn parse(json: &[u8]) -> Result<Exported, String> {
        let members: Members<'_> =
            serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let is_place = |number: u64| (1..=POSITION_MAX.get()).contains(&number);
        if !is_place(members.position.get()) || !is_place(members.seq.get()) {
            return Err(format!("position and seq: expected 1 to {POSITION_MAX}"));
        }
        let party = |raw: &RawValue| Party {
            json: Bytes::copy_from_slice(raw.get().as_bytes()),
            id: None,
        };
        let occurred_at = members.occurred_at.map(|text| time("occurred_at", &text));
        let device = members.device.map(|text| exact("device", &text));
        let seed: Hash = exact("seed", &members.seed)?;
        Ok(Exported {
            event: Event {
                position: members.position,
                seq: members.seq,
                id: exact("id", &members.id)?,
                workspace: exact("workspace", &members.workspace)?,
                received_at: time("received_at", &members.received_at)?,
                kind: EventType::new(&members.kind).map_err(|error| format!("type: {error}"))?,
                fields: Fields {
                    occurred_at: occurred_at.transpose()?,
                    category: members.category,
                    project: members.project,
                    actor: members.actor.map(party),
                    target: members.target.map(party),
                    dedup_id: members.dedup_id,
                    ordering_key: members.ordering_key,
                    trace_id: members.trace_id,
                    device: device.transpose()?,
                },
                payload: Bytes::copy_from_slice(members.payload.get().as_bytes()),
                seed: Seed(seed.0),
                prev_hash: exact("prev_hash", &members.prev_hash)?,
                hash: exact("hash", &members.hash)?,
            },
            region: exact("region", &members.region)?,
        })
    }
}

/// Reads a value that has one spelling.
fn exact<T>(member: &str, text: &str) -> Result<T, String>
where
    T: FromStr + Display,
    T::Err: Display,
{
    let value: T = text.parse().map_err(|error| format!("{member}: {error}"))?;
    if value.to_string() == text {
        Ok(value)
    } else {
        Err(format!("{member}: expected `{value}`"))
    }
}

fn time(member: &str, text: &str) -> Result<Timestamp, String> {
    let value = Timestamp::parse(text).map_err(|error| format!("{member}: {error}"))?;
    if value.to_rfc3339() == text.as_bytes() {
        Ok(value)
    } else {
        Err(format!("{member}: expected `{value}`"))
    }
}
