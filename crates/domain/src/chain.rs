//! Decides what the hash of an event covers, byte by byte (DESIGN §9).
//!
//! An event is split into *units* (`core`, `actor`, `target`, `payload`). Its leaf commits to a salted digest of each unit,
//! never to a value, so that a value can be erased later and every hash still verifies. All numbers below are unsigned.
//!
//! ```text
//! salt(unit)   = SHA-256( 0x03 ‖ seed (32) ‖ name length (u16 LE) ‖ name )
//! digest(unit) = SHA-256( 0x02 ‖ salt (32) ‖ value length (u64 LE) ‖ name length (u16 LE) ‖ name ‖ value )
//! leaf         = 0x01 ‖ tenant (16) ‖ workspace (16) ‖ seq (u64 BE) ‖ position (u64 BE) ‖ prev_hash (32)
//!                ‖ number of units (u16 BE) ‖ { name length (u16 BE) ‖ name ‖ digest (32) } for each unit
//! hash         = SHA-256( 0x00 ‖ leaf )
//! ```
//!
//! - Every length stands before what it measures, so no two different inputs share an encoding, and no salt is a prefix
//!   of another (SHA-256 can be continued by whoever knows a hash).
//! - `hash` is at once the link of the chain (the next leaf holds it as `prev_hash`) and the RFC 6962 leaf hash of the
//!   workspace's Merkle tree. The first event of a workspace has a `prev_hash` of zeros.
//! - The value of `core` is the JSON object of [`write_core`]; the values of the others are the exact bytes that came in.
//!   A unit whose value is absent is not listed.
//!
//! Does not check whether a hash is the right one for its place: that is [`crate::verify`].

use std::cell::RefCell;

use sha2::{Digest as _, Sha256};

use crate::{
    event::{Event, Hash, Seed},
    ids::{TenantId, WorkspaceId},
    json,
    position::{Position, Seq},
};

const PREFIX_LEAF: u8 = 0x00;
const PREFIX_UNIT: u8 = 0x02;
const PREFIX_SALT: u8 = 0x03;
/// The version of the leaf's layout; its first byte.
const LEAF_VERSION: u8 = 1;
/// How many units [`units`] lists at most.
const UNITS_MAX: usize = 4;
/// What the core of an ordinary event needs, with room for a few texts.
const CORE_CAPACITY: usize = 1024;

/// One separately erasable part of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The name under which the leaf lists it.
    pub name: &'a str,
    /// Its exact bytes.
    pub value: &'a [u8],
}

/// Where a leaf stands. It is part of what the hash covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafPlace {
    /// Whose log it is.
    pub tenant: TenantId,
    /// Which chain of that log.
    pub workspace: WorkspaceId,
    /// Place in the chain.
    pub seq: Seq,
    /// Place in the log.
    pub position: Position,
    /// The hash of the event before it in the chain.
    pub prev_hash: Hash,
}

/// Computes the hash of `event` from its content and its `prev_hash`. What `event.hash` says is ignored.
pub fn hash_event(tenant: TenantId, event: &Event) -> Hash {
    thread_local! {
        // One buffer a thread: this runs for every event that comes in.
        static CORE: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(CORE_CAPACITY));
    }
    CORE.with_borrow_mut(|core| {
        core.clear();
        write_core(event, core);
        let mut digests = [("", Hash::default()); UNITS_MAX];
        let mut count = 0;
        for unit in units(event, core) {
            digests[count] = (unit.name, digest(&event.seed, unit));
            count += 1;
        }
        let place = LeafPlace {
            tenant,
            workspace: event.workspace,
            seq: event.seq,
            position: event.position,
            prev_hash: event.prev_hash,
        };
        hash_leaf(&place, &digests[..count])
    })
}

/// Makes `event` the successor of the event whose hash is `prev`: sets its `prev_hash` and its `hash`.
pub fn link(tenant: TenantId, event: &mut Event, prev: Hash) {
    event.prev_hash = prev;
    event.hash = hash_event(tenant, event);
}

/// The units of `event` in the order in which its leaf lists them. `core` is what [`write_core`] wrote for it.
pub fn units<'a>(event: &'a Event, core: &'a [u8]) -> impl Iterator<Item = Unit<'a>> {
    let party = |name, party: &'a Option<crate::event::Party>| {
        party.as_ref().map(|party| Unit {
            name,
            value: &party.json,
        })
    };
    let listed: [Option<Unit<'a>>; UNITS_MAX] = [
        Some(Unit {
            name: "core",
            value: core,
        }),
        party("actor", &event.fields.actor),
        party("target", &event.fields.target),
        Some(Unit {
            name: "payload",
            value: &event.payload,
        }),
    ];
    listed.into_iter().flatten()
}

/// Appends the value of the unit `core`: a JSON object without white space, its members in the fixed order `id`, `type`,
/// `workspace`, `position`, `seq`, `received_at`, `occurred_at`, `category`, `project`, `dedup_id`, `ordering_key`,
/// `trace_id`, `device`, absent ones left out. Strings are escaped as briefly as JSON allows.
///
/// The region is no part of it: a log may move to another region and stays the same log.
pub fn write_core(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":\"");
    json::push_display(out, &event.id);
    out.extend_from_slice(b"\",\"type\":\"");
    out.extend_from_slice(event.kind.as_str().as_bytes());
    out.extend_from_slice(b"\",\"workspace\":\"");
    json::push_display(out, &event.workspace);
    out.extend_from_slice(b"\",\"position\":");
    json::push_number(out, event.position.get());
    out.extend_from_slice(b",\"seq\":");
    json::push_number(out, event.seq.get());
    out.extend_from_slice(b",\"received_at\":\"");
    out.extend_from_slice(&event.received_at.to_rfc3339());
    out.push(b'"');
    let fields = &event.fields;
    if let Some(time) = fields.occurred_at {
        out.extend_from_slice(b",\"occurred_at\":\"");
        out.extend_from_slice(&time.to_rfc3339());
        out.push(b'"');
    }
    let texts = [
        ("category", &fields.category),
        ("project", &fields.project),
        ("dedup_id", &fields.dedup_id),
        ("ordering_key", &fields.ordering_key),
        ("trace_id", &fields.trace_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            json::push_member_name(out, name);
            json::push_string(out, text);
        }
    }
    if let Some(device) = fields.device {
        out.extend_from_slice(b",\"device\":\"");
        json::push_display(out, &device);
        out.push(b'"');
    }
    out.push(b'}');
}

/// The salt of the unit `name`. Without the seed it cannot be guessed, nor a value confirmed by its digest.
pub fn salt(seed: &Seed, name: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([PREFIX_SALT]);
    hasher.update(seed.0);
    hasher.update(name_length(name).to_le_bytes());
    hasher.update(name);
    hasher.finalize().into()
}

/// The digest by which a leaf commits to `unit`.
pub fn digest(seed: &Seed, unit: Unit<'_>) -> Hash {
    let mut head = [0_u8; 1 + 32 + 8 + 2];
    head[0] = PREFIX_UNIT;
    head[1..33].copy_from_slice(&salt(seed, unit.name));
    head[33..41].copy_from_slice(&(unit.value.len() as u64).to_le_bytes());
    head[41..43].copy_from_slice(&name_length(unit.name).to_le_bytes());
    let mut hasher = Sha256::new();
    hasher.update(head);
    hasher.update(unit.name);
    hasher.update(unit.value);
    Hash(hasher.finalize().into())
}

/// Hashes a leaf from digests alone, as whoever holds an erased event must.
pub fn hash_leaf(place: &LeafPlace, digests: &[(&str, Hash)]) -> Hash {
    let count = u16::try_from(digests.len()).expect("an event has a handful of units");
    let mut head = [0_u8; 2 + 16 + 16 + 8 + 8 + 32 + 2];
    head[0] = PREFIX_LEAF;
    head[1] = LEAF_VERSION;
    head[2..18].copy_from_slice(place.tenant.as_bytes());
    head[18..34].copy_from_slice(place.workspace.as_bytes());
    head[34..42].copy_from_slice(&place.seq.get().to_be_bytes());
    head[42..50].copy_from_slice(&place.position.get().to_be_bytes());
    head[50..82].copy_from_slice(&place.prev_hash.0);
    head[82..84].copy_from_slice(&count.to_be_bytes());
    let mut hasher = Sha256::new();
    hasher.update(head);
    for (name, digest) in digests {
        hasher.update(name_length(name).to_be_bytes());
        hasher.update(name);
        hasher.update(digest.0);
    }
    Hash(hasher.finalize().into())
}

fn name_length(name: &str) -> u16 {
    u16::try_from(name.len()).expect("names of units are short")
}

#[cfg(test)]
mod tests;
