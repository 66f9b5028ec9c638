//! Row 4: from POST to arrival at one endpoint, as fast as 16 connections can send.
//!
//! The clock runs until the last event has arrived: a backlog left behind would not count as throughput.

use bytes::Bytes;
use tokio::time::Instant;

use super::sink::Sink;
use crate::{
    bodies,
    engine::{Engine, NewWebhook},
    load::{Load, Stop},
    report::{Line, Wanted},
    rounds::{Round, summarise},
    rows::Bench,
    stats::per_second,
    wire,
};

/// Aimed at, on two idle cores, client and sink included.
const AIM: f64 = 20_000.0;
const CONNECTIONS: usize = 16;
const KIND: &str = "bench.end-to-end";

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let engine = bench.engines.start(&[]).await?;
    let sink = Sink::start().await?;
    create_webhook(&engine, &sink).await?;
    let events = bench.scale.flat_out_events;
    round(&engine, &sink, events / 10).await?;
    let (mut arrived, mut acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..bench.scale.counted_rounds {
        let round = round(&engine, &sink, events).await?;
        arrived.push(Round::from(round.arrived));
        acknowledged.push(round.acknowledged);
    }
    engine.stop().await?;
    Ok(vec![
        Line::alone(
            row,
            "POST to arrival, 16 connections",
            "events/s",
            summarise(arrived),
            Wanted::AtLeast(AIM),
        ),
        Line::alone(
            row,
            "… acknowledged meanwhile",
            "events/s",
            summarise(acknowledged),
            Wanted::Nothing,
        ),
    ])
}

/// Makes the one webhook, with the engine's own defaults.
pub(super) async fn create_webhook(engine: &Engine, sink: &Sink) -> anyhow::Result<()> {
    let webhook = NewWebhook {
        url: sink.endpoint(0),
        events: KIND.to_owned(),
        in_flight_max: None,
    };
    engine.api.create_webhook(&webhook).await.map(drop)
}

/// What one round came to.
pub(super) struct EndToEnd {
    /// Arrivals a second, until the last.
    pub(super) arrived: f64,
    /// Acknowledged posts a second.
    acknowledged: Round,
}

/// Sends `events` flat out and waits until all have arrived.
pub(super) async fn round(engine: &Engine, sink: &Sink, events: u64) -> anyhow::Result<EndToEnd> {
    sink.reset().await?;
    let load = load(engine, &bodies::event(KIND));
    let started_at = Instant::now();
    let sample = load.flat_out(Stop::Requests(events)).await?;
    sink.wait_for(events).await?;
    Ok(EndToEnd {
        arrived: per_second(events, started_at.elapsed()),
        acknowledged: sample.into(),
    })
}

/// Sixteen connections that send `body`.
pub(super) fn load(engine: &Engine, body: &[u8]) -> Load {
    Load {
        to: engine.address,
        connections: CONNECTIONS,
        request: Bytes::from(wire::post("/v1/events", &engine.key, body)),
        events: 1,
    }
}

/// One event for the webhook that says when it was sent.
pub(super) fn stamped_body() -> Vec<u8> {
    bodies::stamped(KIND)
}
