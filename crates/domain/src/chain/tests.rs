use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::{
    event::{EventType, Fields, Party},
    ids::{DeviceId, EventId},
    time::Timestamp,
};

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(1))
}

fn event() -> Event {
    Event {
        position: Position::new(9),
        seq: Seq::new(7),
        id: EventId::from_uuid(Uuid::from_u128(2)),
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(3)),
        received_at: Timestamp::from_micros(1_700_000_000_000_001),
        kind: EventType::new("user.created").unwrap(),
        fields: Fields {
            category: Some("a \"quoted\" ü".into()),
            actor: Some(Party {
                json: Bytes::from_static(b"{ \"id\":\"a\"}"),
                id: Some("a".into()),
            }),
            device: Some(DeviceId::from_uuid(Uuid::from_u128(4))),
            ..Fields::default()
        },
        payload: Bytes::from_static(b"{\"n\":1e400,\"n\":2}"),
        seed: Seed([5; 32]),
        prev_hash: Hash([6; 32]),
        hash: Hash::default(),
    }
}

/// The layout of the module's head, written down a second time without any cleverness.
fn by_the_book(tenant: TenantId, event: &Event, core: &str) -> Hash {
    let mut parts = vec![("core", core.as_bytes().to_vec())];
    if let Some(actor) = &event.fields.actor {
        parts.push(("actor", actor.json.to_vec()));
    }
    if let Some(target) = &event.fields.target {
        parts.push(("target", target.json.to_vec()));
    }
    parts.push(("payload", event.payload.to_vec()));
    let mut leaf = vec![0x00, 0x01];
    leaf.extend_from_slice(tenant.as_bytes());
    leaf.extend_from_slice(event.workspace.as_bytes());
    leaf.extend_from_slice(&event.seq.get().to_be_bytes());
    leaf.extend_from_slice(&event.position.get().to_be_bytes());
    leaf.extend_from_slice(&event.prev_hash.0);
    leaf.extend_from_slice(&u16::try_from(parts.len()).unwrap().to_be_bytes());
    for (name, value) in parts {
        let name_length = u16::try_from(name.len()).unwrap();
        let mut salt = vec![0x03];
        salt.extend_from_slice(&event.seed.0);
        salt.extend_from_slice(&name_length.to_le_bytes());
        salt.extend_from_slice(name.as_bytes());
        let mut unit = vec![0x02];
        unit.extend_from_slice(&Sha256::digest(salt));
        unit.extend_from_slice(&(value.len() as u64).to_le_bytes());
        unit.extend_from_slice(&name_length.to_le_bytes());
        unit.extend_from_slice(name.as_bytes());
        unit.extend_from_slice(&value);
        leaf.extend_from_slice(&name_length.to_be_bytes());
        leaf.extend_from_slice(name.as_bytes());
        leaf.extend_from_slice(&Sha256::digest(unit));
    }
    Hash(Sha256::digest(leaf).into())
}

#[test]
fn the_hash_follows_the_documented_layout() {
    let core = "{\"id\":\"evt_00000000000000000000000000000002\",\"type\":\"user.created\",\
        \"workspace\":\"ws_00000000000000000000000000000003\",\"position\":9,\"seq\":7,\
        \"received_at\":\"2023-11-14T22:13:20.000001Z\",\"category\":\"a \\\"quoted\\\" ü\",\
        \"device\":\"dev_00000000000000000000000000000004\"}";
    let mut written = Vec::new();
    write_core(&event(), &mut written);
    assert_eq!(String::from_utf8(written).unwrap(), core);
    assert_eq!(
        hash_event(tenant(), &event()),
        by_the_book(tenant(), &event(), core)
    );
}

#[test]
fn a_link_holds_the_hash_before_it() {
    let mut second = event();
    link(tenant(), &mut second, Hash([8; 32]));
    assert_eq!(second.prev_hash, Hash([8; 32]));
    assert_eq!(second.hash, hash_event(tenant(), &second));
}

#[test]
fn every_part_of_an_event_changes_its_hash() {
    let party = |json: &'static [u8]| {
        Some(Party {
            json: Bytes::from_static(json),
            id: None,
        })
    };
    type Change = Box<dyn Fn(&mut Event)>;
    let changes: Vec<(&str, Change)> = vec![
        ("position", Box::new(|e| e.position = Position::new(10))),
        ("seq", Box::new(|e| e.seq = Seq::new(8))),
        (
            "id",
            Box::new(|e| e.id = EventId::from_uuid(Uuid::from_u128(3))),
        ),
        (
            "received_at",
            Box::new(|e| e.received_at = Timestamp::from_micros(1)),
        ),
        (
            "type",
            Box::new(|e| e.kind = EventType::new("user.deleted").unwrap()),
        ),
        (
            "occurred_at",
            Box::new(|e| e.fields.occurred_at = Some(Timestamp::from_micros(1))),
        ),
        ("category", Box::new(|e| e.fields.category = None)),
        ("project", Box::new(|e| e.fields.project = Some("p".into()))),
        (
            "dedup_id",
            Box::new(|e| e.fields.dedup_id = Some("p".into())),
        ),
        (
            "ordering_key",
            Box::new(|e| e.fields.ordering_key = Some("p".into())),
        ),
        (
            "trace_id",
            Box::new(|e| e.fields.trace_id = Some("p".into())),
        ),
        ("device", Box::new(|e| e.fields.device = None)),
        (
            "actor",
            Box::new(move |e| e.fields.actor = party(b"{\"id\":\"a\"}")),
        ),
        ("no actor", Box::new(|e| e.fields.actor = None)),
        (
            "the actor as target",
            Box::new(|e| e.fields.target = e.fields.actor.take()),
        ),
        (
            "payload",
            Box::new(|e| e.payload = Bytes::from_static(b"{}")),
        ),
        ("seed", Box::new(|e| e.seed = Seed([0; 32]))),
        ("prev_hash", Box::new(|e| e.prev_hash = Hash([0; 32]))),
    ];
    let mut seen = vec![hash_event(tenant(), &event())];
    for (name, change) in changes {
        let mut changed = event();
        change(&mut changed);
        let hash = hash_event(tenant(), &changed);
        assert!(!seen.contains(&hash), "{name}");
        seen.push(hash);
    }
    let other = TenantId::from_uuid(Uuid::from_u128(2));
    assert!(!seen.contains(&hash_event(other, &event())), "tenant");
}

#[test]
fn an_erased_event_hashes_the_same_from_its_digests() {
    let event = event();
    let mut core = Vec::new();
    write_core(&event, &mut core);
    let kept: Vec<(&str, Hash)> = units(&event, &core)
        .map(|unit| (unit.name, digest(&event.seed, unit)))
        .collect();
    let place = LeafPlace {
        tenant: tenant(),
        workspace: event.workspace,
        seq: event.seq,
        position: event.position,
        prev_hash: event.prev_hash,
    };
    assert_eq!(hash_leaf(&place, &kept), hash_event(tenant(), &event));
}
