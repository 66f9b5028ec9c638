//! Row 3: a backlog on its way out, against the same HTTP client with ready-made bodies.
//!
//! The webhooks are paused while the backlog is put in, so that nothing but delivery is measured.

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::sink::Sink;
use crate::{
    bodies,
    engine::{Engine, NewWebhook},
    load::{Load, Stop},
    posting::Posting,
    report::Line,
    rounds::alternate,
    rows::Bench,
    stats::per_second,
    wire,
};

const AT_LEAST: f64 = 0.5;
/// Events of the round that is not measured.
const WARM_UP_EVENTS: u64 = 1_000;

/// One line.
pub(super) struct Shape {
    /// Its name.
    pub(super) name: &'static str,
    /// Webhooks that get every event.
    pub(super) endpoints: usize,
    /// Deliveries in flight to each endpoint.
    pub(super) in_flight: usize,
    /// Events of a backlog.
    pub(super) events: u64,
}

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let shapes = [
        Shape {
            name: "delivery of a backlog, 1 endpoint",
            endpoints: 1,
            in_flight: 64,
            events: bench.scale.backlog_events,
        },
        Shape {
            name: "delivery of a backlog, 10 endpoints an event",
            endpoints: 10,
            in_flight: 16,
            events: bench.scale.backlog_events / 5,
        },
    ];
    let mut lines = Vec::new();
    for shape in shapes {
        lines.push(measure(bench, row, &shape, &[], AT_LEAST).await?);
    }
    Ok(lines)
}

/// Measures one line with an engine of its own, which gets these settings.
pub(super) async fn measure(
    bench: &Bench,
    row: u8,
    shape: &Shape,
    settings: &[(&str, &str)],
    at_least: f64,
) -> anyhow::Result<Line> {
    let engine = bench.engines.start(settings).await?;
    let sink = Sink::start().await?;
    let webhooks = create(&engine, &sink, shape).await?;
    let endpoints = u64::try_from(shape.endpoints)?;

    let warm_up = deliver(&engine, &sink, &webhooks, WARM_UP_EVENTS).await?;
    let posting = Posting {
        sink: sink.address(),
        endpoints: shape.endpoints,
        in_flight: shape.in_flight * shape.endpoints,
        posts: shape.events * endpoints,
        body_length: warm_up.body_length,
    };
    let rounds = alternate(
        bench.scale.counted_rounds,
        async || {
            let delivered = deliver(&engine, &sink, &webhooks, shape.events).await?;
            Ok(delivered.rate.into())
        },
        async || {
            sink.reset().await?;
            let elapsed = posting.run().await?;
            sink.wait_for(posting.posts).await?;
            Ok(per_second(posting.posts, elapsed).into())
        },
    )
    .await?;
    engine.stop().await?;
    Ok(Line::compared(row, shape.name, "posts/s", rounds, at_least))
}

async fn create(engine: &Engine, sink: &Sink, shape: &Shape) -> anyhow::Result<Vec<String>> {
    let mut webhooks = Vec::new();
    for number in 0..shape.endpoints {
        let webhook = NewWebhook {
            url: sink.endpoint(number),
            events: "bench.delivery".to_owned(),
            in_flight_max: Some(shape.in_flight),
        };
        webhooks.push(engine.api.create_webhook(&webhook).await?);
    }
    Ok(webhooks)
}

/// What one backlog came to.
struct Delivered {
    rate: f64,
    body_length: usize,
}

/// Puts in a backlog, lets it go, and waits until the sink has all of it.
async fn deliver(
    engine: &Engine,
    sink: &Sink,
    webhooks: &[String],
    events: u64,
) -> anyhow::Result<Delivered> {
    try_join_all(webhooks.iter().map(|webhook| engine.api.pause(webhook))).await?;
    sink.reset().await?;
    let body = bodies::batch("bench.delivery");
    let load = Load {
        to: engine.address,
        connections: 8,
        request: Bytes::from(wire::post("/v1/events", &engine.key, &body)),
        events: bodies::BATCH,
    };
    let put_in = load
        .flat_out(Stop::Requests(events / bodies::BATCH))
        .await?;
    let expected = put_in.events * u64::try_from(webhooks.len())?;

    let started_at = Instant::now();
    try_join_all(webhooks.iter().map(|webhook| engine.api.resume(webhook))).await?;
    let seen = sink
        .wait_for(expected)
        .await
        .context("deliver the backlog")?;
    Ok(Delivered {
        rate: per_second(expected, started_at.elapsed()),
        body_length: usize::try_from(seen.body_bytes / seen.count.max(1))?,
    })
}
