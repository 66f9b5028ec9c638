//! Exports of random logs, untouched and tampered with.

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use uuid::Uuid;

use super::*;
use crate::{
    checkpoint::NoteSigner,
    event::{EventType, Fields, Party, Seed},
    event_id::event_id,
    export::{Coverage, ExportFormat, ExportWriter, ManifestBuilder},
    ids::DeviceId,
    position::Position,
};

mod files;
mod proofs;
mod tampering;

const PAYLOADS: [&str; 6] = [
    "null",
    "{\"n\":123456789012345678901234567890.10e+5,\"n\":0.10}",
    "[ 1 , 2,\t\"\\u0041\\\\\\\"\" ]",
    "{\"hash\":\"00\",\"seq\":1,\"manifest\":{}}",
    "\"ü \\ud83d\\ude00 ]}\"",
    "-0.0",
];

/// The parts of an event that a test varies.
#[derive(Clone, Debug)]
struct Sketch {
    workspace: u8,
    payload: usize,
    fields: u8,
}

fn sketches() -> impl Strategy<Value = Vec<Sketch>> {
    let sketch = (0_u8..3, 0..PAYLOADS.len(), any::<u8>());
    let sketch = sketch.prop_map(|(workspace, payload, fields)| Sketch {
        workspace,
        payload,
        fields,
    });
    prop::collection::vec(sketch, 1..12)
}

fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(77))
}

fn signer() -> NoteSigner {
    NoteSigner::new("trunkline/EU", &[1; 32])
}

fn made_at() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000)
}

fn fields(of: u8) -> Fields {
    let has = |bit: u8| of >> bit & 1 == 1;
    let text = |bit: u8, text: &str| has(bit).then(|| text.into());
    let party = |bit: u8| {
        has(bit).then(|| Party {
            json: Bytes::from_static(b"{\"id\":\"u1\", \"name\":\"A\\u00fc\"}"),
            id: Some("u1".into()),
        })
    };
    Fields {
        occurred_at: has(0).then(|| Timestamp::from_micros(1_699_999_999_000_001)),
        category: text(1, "auth"),
        project: text(2, "a \"b\" \u{1} ü/\\"),
        actor: party(3),
        target: party(4),
        dedup_id: text(5, "d"),
        ordering_key: text(6, "o"),
        trace_id: text(5, "t"),
        device: has(7).then(|| DeviceId::from_uuid(Uuid::from_u128(5))),
    }
}

/// A chained log; its first positions and seqs lie before the export.
fn log_of(sketches: &[Sketch]) -> Vec<Event> {
    let mut heads: BTreeMap<u8, (Seq, Hash)> = BTreeMap::new();
    let mut log = Vec::new();
    for (place, sketch) in (1_u64..).zip(sketches) {
        // Workspace 0 is exported from its first event on, the others from later ones.
        let start = (Seq::new(u64::from(sketch.workspace) * 10), Hash::default());
        let (seq, hash) = heads.entry(sketch.workspace).or_insert(start);
        let position = Position::new(place * 3);
        let received_at =
            Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(place).unwrap());
        let mut event = Event {
            position,
            seq: seq.next(),
            id: event_id(received_at, position, place),
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(sketch.workspace.into())),
            received_at,
            kind: EventType::new("user.created").unwrap(),
            fields: fields(sketch.fields),
            payload: Bytes::from_static(PAYLOADS[sketch.payload].as_bytes()),
            seed: Seed([u8::try_from(place).unwrap(); 32]),
            prev_hash: Hash::default(),
            hash: Hash::default(),
        };
        chain::link(tenant(), &mut event, *hash);
        (*seq, *hash) = (event.seq, event.hash);
        log.push(event);
    }
    log
}

fn plain_log(count: usize) -> Vec<Event> {
    let sketch = Sketch {
        workspace: 0,
        payload: 1,
        fields: 0xff,
    };
    log_of(&vec![sketch; count])
}

fn manifest_of(log: &[Event], coverage: Coverage) -> Manifest {
    let mut builder = ManifestBuilder::new(tenant(), Region::Eu, coverage);
    for event in log {
        builder.add(event);
    }
    builder.finish(&signer(), made_at())
}

fn lines_of(log: &[Event]) -> Vec<Vec<u8>> {
    let line = |event: &Event| {
        let mut line = Vec::new();
        event.write_json_with_seed(Region::Eu, &mut line);
        line
    };
    log.iter().map(line).collect()
}

fn verify(manifest: Manifest, lines: &[Vec<u8>]) -> Result<Report, Fault> {
    let mut verifier = Verifier::new(Some(manifest), Some(&signer().verifier()))?;
    for line in lines {
        verifier.line(line)?;
    }
    verifier.finish()
}

/// Writes an export as the API does.
fn export(format: ExportFormat, log: &[Event]) -> Vec<u8> {
    let mut file = Vec::new();
    let builder = ManifestBuilder::new(tenant(), Region::Eu, Coverage::Complete);
    let mut writer = ExportWriter::begin(format, builder, &mut file);
    for event in log {
        writer.event(event, &mut file);
    }
    writer.end(&signer(), made_at(), &mut file);
    file
}

/// The workspace and seq of an event, as a fault names them.
fn named(event: &Event) -> Option<(WorkspaceId, Seq)> {
    Some((event.workspace, event.seq))
}

/// Where in the file a fault was found.
fn entry_of(fault: &Fault) -> Option<u64> {
    if let Fault::Unreadable { entry, .. } = fault {
        return Some(*entry);
    }
    if let Fault::HashMismatch { at }
    | Fault::BrokenLink { at }
    | Fault::Moved { at, .. }
    | Fault::Duplicated { at }
    | Fault::Unlisted { at }
    | Fault::WrongRegion { at, .. } = fault
    {
        return Some(at.entry);
    }
    None
}
