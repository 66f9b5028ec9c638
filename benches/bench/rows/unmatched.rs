//! Row 6: what ten thousand webhooks that match nothing cost an ingest. They should cost nothing.
//!
//! Two engines take turns, one without webhooks and one with; the one without is the ceiling.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::{
    bodies,
    engine::{Api, Engine, NewWebhook},
    load::{Load, Stop},
    report::Line,
    rounds::alternate,
    rows::Bench,
    wire,
};

const AT_LEAST: f64 = 0.95;
/// Webhooks that are created at the same time.
const AT_ONCE: usize = 32;

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let without = bench.engines.start(&[]).await?;
    let with = bench.engines.start(&[]).await?;
    create_all(&with.api, bench.scale.idle_webhooks).await?;
    let (without_load, with_load) = (load(&without), load(&with));
    let warm_up = Stop::After(bench.scale.warm_up);
    without_load.flat_out(warm_up).await?;
    with_load.flat_out(warm_up).await?;
    let stop = Stop::After(bench.scale.round);
    let rounds = alternate(
        bench.scale.rounds,
        async || Ok(with_load.flat_out(stop).await?.into()),
        async || Ok(without_load.flat_out(stop).await?.into()),
    )
    .await?;
    without.stop().await?;
    with.stop().await?;
    let name = format!(
        "ingest with {} webhooks, against none",
        bench.scale.idle_webhooks
    );
    Ok(vec![Line::compared(
        row, name, "events/s", rounds, AT_LEAST,
    )])
}

fn load(engine: &Engine) -> Load {
    let body = bodies::event("bench.unmatched");
    Load {
        to: engine.address,
        connections: 64,
        request: Bytes::from(wire::post("/v1/events", &engine.key, &body)),
        events: 1,
    }
}

async fn create_all(api: &Api, count: usize) -> anyhow::Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (api, next) = (api.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                api.create_webhook(&NewWebhook {
                    // Never called: nobody sends an event of this type.
                    url: format!("http://127.0.0.1:9/{number}"),
                    events: format!("never.sent-{number}"),
                    in_flight_max: None,
                })
                .await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a creating task ended early")??;
    }
    Ok(())
}
