//! Row 5: a thousand live readers, against a bare loop that writes the same bytes to a thousand sockets.
//!
//! Both sides are read by the same code on the same cores, so the readers' cost is in both figures.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::time::Instant;

use super::readers::Readers;
use crate::{
    bodies,
    engine::Engine,
    load::{Load, Stop},
    report::Line,
    roles::{Playing, Role},
    rounds::{Round, alternate},
    rows::Bench,
    stats::per_second,
    wire::{self, Wire},
};

const AT_LEAST: f64 = 0.5;
const KIND: &str = "bench.tail";
const MEGA: f64 = 1_000_000.0;

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let scale = bench.scale;
    let engine = bench.engines.start(&[]).await?;
    let request = wire::get(&format!("/v1/events/tail?type={KIND}"), &engine.key);
    let tails = Readers::open(engine.address, &request, scale.tails).await?;

    // The first round is not measured; it says what the bare loop has to write.
    tails.start_recording();
    tail_round(&engine, &tails, scale.tail_events).await?;
    let recording =
        tempfile::NamedTempFile::new_in(bench.data_root()).context("make the recording's file")?;
    std::fs::write(recording.path(), tails.take_recording()).context("write the recording")?;
    let role = Role::BareTail {
        recording: recording.path().to_owned(),
    };
    let bare = role.start().await?;
    let bare_readers = Readers::open(bare.address, &request, scale.tails).await?;
    bare_round(&bare, &bare_readers, scale.tail_events).await?;

    let rounds = alternate(
        scale.rounds,
        async || tail_round(&engine, &tails, scale.tail_events).await,
        async || bare_round(&bare, &bare_readers, scale.tail_events).await,
    )
    .await?;
    drop(tails);
    engine.stop().await?;
    let name = format!("tail, {} subscribers", scale.tails);
    Ok(vec![Line::compared(row, name, "MB/s", rounds, AT_LEAST)])
}

/// Puts in events and waits until every reader has got them all.
async fn tail_round(engine: &Engine, tails: &Readers, events: u64) -> anyhow::Result<Round> {
    let load = Load {
        to: engine.address,
        connections: 4,
        request: Bytes::from(wire::post("/v1/events", &engine.key, &bodies::batch(KIND))),
        events: bodies::BATCH,
    };
    let before = tails.bytes();
    let goal = tails.goal(events);
    let started_at = Instant::now();
    let sample = load
        .flat_out(Stop::Requests(events / bodies::BATCH))
        .await?;
    ensure!(sample.events == events, "events come in whole batches");
    tails.wait_for(goal).await?;
    Ok(round(tails.bytes() - before, started_at))
}

/// Lets the bare loop write its recording once and waits until every reader has got it.
async fn bare_round(bare: &Playing, readers: &Readers, events: u64) -> anyhow::Result<Round> {
    let mut wire = Wire::open(bare.address)
        .await
        .context("connect to the bare tail")?;
    let before = readers.bytes();
    let goal = readers.goal(events);
    let started_at = Instant::now();
    wire.exchange(&wire::get("/_go", "none"))
        .await
        .context("start the bare tail")?;
    readers.wait_for(goal).await?;
    Ok(round(readers.bytes() - before, started_at))
}

fn round(bytes: u64, started_at: Instant) -> Round {
    Round::from(per_second(bytes, started_at.elapsed()) / MEGA)
}
