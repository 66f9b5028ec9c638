//! Row 9: the engine on PostgreSQL, against a bare client that writes the same rows to the same server.
//!
//! The bare client commits what the engine's connections could have waiting at once, so it has the fewest fsyncs that the
//! engine could have. Row 10 is row 3 with the stores on PostgreSQL.

use bytes::Bytes;

use super::delivery;
use crate::{
    bare_postgres::BarePostgres,
    bodies,
    load::{Load, Stop},
    report::Line,
    rounds::alternate,
    rows::Bench,
    servers::{self, Servers},
    wire,
};

const AT_LEAST: f64 = 0.6;
const DELIVERY_AT_LEAST: f64 = 0.5;
const KIND: &str = "bench.batch";

/// One of the lines of ingest.
struct Shape {
    name: &'static str,
    connections: usize,
    events: u64,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "PostgreSQL: single-event ingest, 64 connections",
        connections: 64,
        events: 1,
    },
    Shape {
        name: "PostgreSQL: single-event ingest, 256 connections",
        connections: 256,
        events: 1,
    },
    Shape {
        name: "PostgreSQL: batch ingest, 100 events a request",
        connections: 16,
        events: bodies::BATCH,
    },
];

pub(super) async fn ingest(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let servers = Servers::start(bench.data_root())?;
    let database = servers.database("engine").await?;
    let settings = servers::settings(&database, None, "node-0");
    let engine = bench.engines.start(&settings).await?;
    let mut bare = BarePostgres::open(&servers.database("bare").await?).await?;
    let mut lines = Vec::new();
    for shape in &SHAPES {
        let body = match shape.events {
            1 => bodies::event(KIND),
            _ => bodies::batch(KIND),
        };
        let load = Load {
            to: engine.address,
            connections: shape.connections,
            request: Bytes::from(wire::post("/v1/events", &engine.key, &body)),
            events: shape.events,
        };
        let rows = shape.connections * usize::try_from(shape.events)?;
        load.flat_out(Stop::After(bench.scale.warm_up)).await?;
        bare.best_rate(rows, bench.scale.warm_up).await?;
        let round = bench.scale.round;
        let rounds = alternate(
            bench.scale.rounds,
            async || Ok(load.flat_out(Stop::After(round)).await?.into()),
            async || Ok(bare.best_rate(rows, round).await?.into()),
        )
        .await?;
        lines.push(Line::compared(
            row, shape.name, "events/s", rounds, AT_LEAST,
        ));
    }
    engine.stop().await?;
    Ok(lines)
}

pub(super) async fn delivery(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let servers = Servers::start(bench.data_root())?;
    let database = servers.database("engine").await?;
    let settings = servers::settings(&database, None, "node-0");
    let shape = delivery::Shape {
        name: "PostgreSQL: delivery of a backlog, 1 endpoint",
        endpoints: 1,
        in_flight: 64,
        events: bench.scale.backlog_events,
    };
    let line = delivery::measure(bench, row, &shape, &settings, DELIVERY_AT_LEAST).await?;
    Ok(vec![line])
}
