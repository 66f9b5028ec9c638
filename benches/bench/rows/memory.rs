//! Row 8: resident memory at rest, of one live reader, and of a tenant that has gone back to sleep.
//!
//! Kernel buffers of sockets are not in it; they are the same for any server.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::time::{Instant, sleep};

use super::readers::Readers;
use crate::{
    bodies,
    engine::Engine,
    machine::settled_bytes,
    report::{Line, Wanted},
    rounds::Side,
    rows::Bench,
    wire::{self, Wire},
};

const IDLE_MB_MAX: f64 = 40.0;
const TAIL_KB_MAX: f64 = 16.0;
/// Zero, as far as it can be measured: an eighth of a page for each tenant is what the allocator's own rounding amounts to.
const TENANT_KB_MAX: f64 = 0.5;
/// How long all tenants may take to fall asleep.
const ASLEEP_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench, row: u8) -> anyhow::Result<Vec<Line>> {
    let (idle_mb, tail_kb) = idle_and_tails(bench).await?;
    let tenant_kb = tenants(bench).await?;
    let line = |name, unit, figure, most| {
        let side = Side::of(vec![figure]);
        Line::alone(row, name, unit, side, Wanted::AtMost(most))
    };
    Ok(vec![
        line("memory, idle", "MB", idle_mb, IDLE_MB_MAX),
        line("memory of one tail", "KB", tail_kb, TAIL_KB_MAX),
        line("memory of one idle tenant", "KB", tenant_kb, TENANT_KB_MAX),
    ])
}

async fn idle_and_tails(bench: &Bench) -> anyhow::Result<(f64, f64)> {
    let scale = bench.scale;
    let engine = bench.engines.start(&[]).await?;
    let process = engine.process_id()?;
    let idle = settled_bytes(process, scale.settle).await?;
    let request = wire::get("/v1/events/tail", &engine.key);
    let tails = Readers::open(engine.address, &request, scale.tails).await?;
    let with_tails = settled_bytes(process, scale.settle).await?;
    drop(tails);
    engine.stop().await?;
    let count = f64::from(u32::try_from(scale.tails)?);
    Ok((idle / 1e6, (with_tails - idle) / count / 1e3))
}

/// Memory that one more tenant leaves behind. What comes before the second wave is not counted: it brings the process to its
/// working size. The store's caches are bounded, but of megabytes, and would fill up with tenants' rows while tenants are
/// counted; so they are filled first.
async fn tenants(bench: &Bench) -> anyhow::Result<f64> {
    let scale = bench.scale;
    let settings = [("TRUNKLINE__ENGINE__PASSIVATE_AFTER_SECONDS", "2")];
    let engine = bench.engines.start(&settings).await?;
    let process = engine.process_id()?;
    fill_caches(&engine, scale.cache_batches).await?;
    wave(&engine, "first", scale.idle_tenants).await?;
    let before = settled_bytes(process, scale.forgotten).await?;
    wave(&engine, "second", scale.idle_tenants).await?;
    wave(&engine, "third", scale.idle_tenants).await?;
    let after = settled_bytes(process, scale.forgotten).await?;
    engine.stop().await?;
    let count = f64::from(u32::try_from(2 * scale.idle_tenants)?);
    Ok((after - before).max(0.0) / count / 1e3)
}

/// Writes more into the region's log than its caches hold.
async fn fill_caches(engine: &Engine, batches: usize) -> anyhow::Result<()> {
    let mut wire = Wire::open(engine.address).await.context("connect")?;
    let request = wire::post("/v1/events", &engine.key, &bodies::batch("bench.memory"));
    for _ in 0..batches {
        let status = wire.exchange(&request).await.context("send a batch")?;
        ensure!(status == 202, "a batch was answered {status}");
    }
    Ok(())
}

/// Creates tenants, lets each take one event, and waits until all of them sleep.
async fn wave(engine: &Engine, name: &str, count: usize) -> anyhow::Result<()> {
    let body = bodies::event("bench.memory");
    let mut wire = Wire::open(engine.address).await.context("connect")?;
    for number in 0..count {
        let key = engine
            .api
            .create_tenant(&format!("{name}-{number}"))
            .await?;
        let request = wire::post("/v1/events", &key, &body);
        let status = wire.exchange(&request).await.context("send one event")?;
        ensure!(status == 202, "a new tenant's event was answered {status}");
    }
    let give_up_at = Instant::now() + ASLEEP_WITHIN;
    while engine.api.has_tenant_actors().await? {
        if Instant::now() > give_up_at {
            bail!("tenants were still awake after {ASLEEP_WITHIN:?}");
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}
