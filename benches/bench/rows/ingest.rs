//! Row 1: single events, acknowledged when they are on disk, against a server that keeps nothing.

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use crate::{
    bodies,
    load::{Load, Stop},
    report::Line,
    roles::Role,
    rounds::alternate,
    rows::Bench,
    wire::{self, Wire},
};

const AT_LEAST: f64 = 0.5;

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let engine = bench.engines.start(&[]).await?;
    let request = wire::post("/v1/events", &engine.key, &bodies::event("bench.ingest"));
    let mut wire = Wire::open(engine.address).await.context("connect")?;
    let status = wire.exchange(&request).await.context("send one event")?;
    ensure!(status == 202, "one event was answered {status}");
    let answer_length = wire.body().len();
    let bare = Role::BareServer { answer_length }.start().await?;

    let mut lines = Vec::new();
    for connections in [64, 256] {
        let load = |to| Load {
            to,
            connections,
            request: Bytes::from(request.clone()),
            events: 1,
        };
        let (engine_load, bare_load) = (load(engine.address), load(bare.address));
        let warm_up = Stop::After(bench.scale.warm_up);
        engine_load.flat_out(warm_up).await?;
        bare_load.flat_out(warm_up).await?;
        let stop = Stop::After(bench.scale.round);
        let rounds = alternate(
            bench.scale.rounds,
            async || Ok(engine_load.flat_out(stop).await?.into()),
            async || Ok(bare_load.flat_out(stop).await?.into()),
        )
        .await?;
        let name = format!("single-event ingest, {connections} connections");
        lines.push(Line::compared(row, name, "events/s", rounds, AT_LEAST));
    }
    engine.stop().await?;
    Ok(lines)
}
