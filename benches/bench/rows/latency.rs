//! Row 7: how long an event takes from its POST to its arrival, at a tenth of the top rate.
//!
//! The top rate is measured first, on the same engine: what counts as a tenth depends on the machine.

use super::{flat_out, sink::Sink};
use crate::{
    report::{Line, Wanted},
    rounds::Side,
    rows::Bench,
};

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let engine = bench.engines.start(&[]).await?;
    let sink = Sink::start().await?;
    flat_out::create_webhook(&engine, &sink).await?;
    let events = bench.scale.flat_out_events;
    flat_out::round(&engine, &sink, events / 10).await?;
    let top = flat_out::round(&engine, &sink, events).await?;
    let rate = top.arrived / 10.0;

    sink.reset_stamped().await?;
    let load = flat_out::load(&engine, &flat_out::stamped_body());
    let sample = load.paced(rate, bench.scale.latency).await?;
    let seen = sink.wait_for(sample.events).await?;
    engine.stop().await?;
    let side = Side {
        rounds: vec![sample.rate()],
        p50_us: seen.p50_us,
        p99_us: seen.p99_us,
    };
    let name = "POST to arrival, a tenth of the top rate";
    Ok(vec![Line::alone(
        row,
        name,
        "events/s",
        side,
        Wanted::Nothing,
    )])
}
