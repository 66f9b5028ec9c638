//! Row 2: batches of a hundred events, against the same rows written straight into the same store.
//!
//! The bare loop commits what all connections could have waiting at once, so it has the fewest fsyncs that the engine could
//! have. Making its rows is not measured; the engine parses, checks, numbers and hashes its own.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use domain::{
    event::{Event, EventType, Fields, Hash, Seed},
    event_id::event_id,
    ids::{TenantId, WorkspaceId},
    merkle::TreeNode,
    position::{Position, Seq},
    region::Region,
};
use store::log::{Append, RegionLog as _, Write, sqlite::SqliteLog};
use tokio::time::Instant;

use crate::{
    bodies, clock,
    load::{Load, Stop},
    report::Line,
    rounds::{Round, alternate},
    rows::Bench,
    stats::{Latencies, per_second},
    wire,
};

const AT_LEAST: f64 = 0.6;
const CONNECTIONS: usize = 16;
const KIND: &str = "bench.batch";
/// Leaves below one stored inner node of a chain's tree.
const LEAVES_PER_NODE: u64 = 256;

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let engine = bench.engines.start(&[]).await?;
    let request = wire::post("/v1/events", &engine.key, &bodies::batch(KIND));
    let load = Load {
        to: engine.address,
        connections: CONNECTIONS,
        request: Bytes::from(request),
        events: bodies::BATCH,
    };
    let folder = tempfile::tempdir_in(bench.data_root()).context("make the bare store's folder")?;
    let mut bare = BareStore::open(folder.path()).await?;

    load.flat_out(Stop::After(bench.scale.warm_up)).await?;
    bare.insert(bench.scale.warm_up).await?;
    let round = bench.scale.round;
    let rounds = alternate(
        bench.scale.rounds,
        async || Ok(load.flat_out(Stop::After(round)).await?.into()),
        async || bare.insert(round).await,
    )
    .await?;
    engine.stop().await?;
    bare.log.close().await;
    let name = format!("batch ingest, {} events a request", bodies::BATCH);
    Ok(vec![Line::compared(
        row, name, "events/s", rounds, AT_LEAST,
    )])
}

/// The engine's store without the engine.
struct BareStore {
    log: SqliteLog,
    tenant: TenantId,
    workspace: WorkspaceId,
    kind: EventType,
    head: Position,
}

impl BareStore {
    async fn open(folder: &std::path::Path) -> anyhow::Result<BareStore> {
        let log = SqliteLog::open(folder, Region::Au)
            .await
            .context("open the bare store")?;
        Ok(BareStore {
            log,
            tenant: "ten_01930000000070008000000000000001".parse()?,
            workspace: "ws_01930000000070008000000000000002".parse()?,
            kind: EventType::new(KIND)?,
            head: Position::ZERO,
        })
    }

    /// Commits until commits have taken `time`, or all of it ten times as long.
    async fn insert(&mut self, time: Duration) -> anyhow::Result<Round> {
        let give_up_at = Instant::now() + 10 * time;
        let mut taken = Duration::ZERO;
        let mut events = 0;
        while taken < time && Instant::now() < give_up_at {
            let parts: Vec<Write> = (0..CONNECTIONS).map(|_| self.next_part()).collect();
            let started_at = Instant::now();
            let outcomes = self.log.commit(&parts).await.context("commit")?;
            taken += started_at.elapsed();
            for outcome in outcomes {
                outcome.context("append a batch")?;
                events += bodies::BATCH;
            }
        }
        Ok(Round {
            figure: per_second(events, taken),
            latencies: Latencies::default(),
        })
    }

    fn next_part(&mut self) -> Write {
        let expected_head = self.head;
        let mut append = Append {
            tenant: self.tenant,
            expected_head,
            events: Vec::new(),
            nodes: Vec::new(),
            answers: Vec::new(),
            sessions: Vec::new(),
            messages: Vec::new(),
        };
        for _ in 0..bodies::BATCH {
            self.head = self.head.next();
            append.events.push(Arc::new(self.event_at(self.head)));
            if let Some(node) = node_at(self.head) {
                append.nodes.push((self.workspace, node));
            }
        }
        Write::Append(append)
    }

    /// A row like the engine's. Its hashes are invented: the store keeps them and does not check them.
    fn event_at(&self, position: Position) -> Event {
        let received_at = clock::now();
        let random = position.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Event {
            position,
            seq: Seq::new(position.get()),
            id: event_id(received_at, position, random),
            workspace: self.workspace,
            received_at,
            kind: self.kind.clone(),
            fields: Fields::default(),
            payload: Bytes::from_static(bodies::PAYLOAD.as_bytes()),
            seed: Seed(thirty_two_bytes(random)),
            prev_hash: Hash(thirty_two_bytes(position.prev().get())),
            hash: Hash(thirty_two_bytes(position.get())),
        }
    }
}

/// The inner node that the leaf at `position` completes, if it does.
fn node_at(position: Position) -> Option<TreeNode> {
    position
        .get()
        .is_multiple_of(LEAVES_PER_NODE)
        .then(|| TreeNode {
            level: 8,
            index: position.get() / LEAVES_PER_NODE - 1,
            hash: Hash(thirty_two_bytes(position.get())),
        })
}

/// Bytes that look random and differ for every `number`.
fn thirty_two_bytes(number: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut state = number;
    for chunk in bytes.chunks_mut(8) {
        state = state
            .wrapping_add(0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 29;
        chunk.copy_from_slice(&state.to_be_bytes());
    }
    bytes
}
