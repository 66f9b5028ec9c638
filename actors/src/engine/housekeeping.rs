//! What the engine does beside requests: notes when keys were used, sweeps what has expired, and closes in good order.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{Engine, Inner};
use crate::webhook::Drain;

const KEY_USE_EVERY: Duration = Duration::from_secs(15);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two bounded pieces of a sweep.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// How long attempts are kept.
const ATTEMPTS_KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The part of a shutdown's time that devices may take to end.
const DEVICES_PART: u32 = 2;
/// How often a shutdown looks whether tenants are at rest.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the periodic work, on the runtime without actors. It ends when the engine is dropped.
pub(super) fn start(engine: &Engine) {
    let weak = Arc::downgrade(&engine.inner);
    engine.inner.outside.spawn(async move {
        loop {
            tokio::time::sleep(KEY_USE_EVERY).await;
            let Some(inner) = weak.upgrade() else { return };
            note_key_use(&inner).await;
            inner.auth.sweep();
            super::devices::note_seen(&inner).await;
        }
    });
    let weak = Arc::downgrade(&engine.inner);
    engine.inner.outside.spawn(async move {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let Some(inner) = weak.upgrade() else { return };
            sweep(&inner).await;
        }
    });
    let weak = Arc::downgrade(&engine.inner);
    // By itself, so that a region that does not answer holds no other sweep up.
    engine.inner.outside.spawn(async move {
        let mut last = None;
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            let Some(inner) = weak.upgrade() else { return };
            if inner.placement.takes_job("sweep/devices").await {
                last = super::devices::forget_leaving(&inner, last).await;
            }
        }
    });
}

async fn note_key_use(inner: &Inner) {
    let since = inner.clock.now().minus(KEY_USE_EVERY * 2);
    let used = inner.auth.used_since(since);
    if used.is_empty() {
        return;
    }
    if let Err(error) = inner.control.touch_keys(&used).await {
        warn!(%error, "the use of keys was not noted: {error}");
    }
}

async fn sweep(inner: &Inner) {
    let now = inner.clock.now();
    // One node does it for all.
    if inner.placement.takes_job("sweep/control").await
        && let Err(error) = inner.control.sweep_reservations(now).await
    {
        warn!(%error, "expired idempotency keys were not swept: {error}");
    }
    for region in inner.logs.regions() {
        if !inner
            .placement
            .takes_job(&format!("sweep/{}", region.name()))
            .await
        {
            continue;
        }
        let log = inner.logs.get(region);
        let mut swept = 0;
        loop {
            match log.sweep(now, now.minus(ATTEMPTS_KEPT_FOR)).await {
                Ok(0) => break,
                Ok(rows) => swept += rows,
                Err(error) => {
                    warn!(region = region.name(), %error, "a sweep failed: {error}");
                    break;
                }
            }
            // Commits come first.
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
        if swept > 0 {
            info!(
                region = region.name(),
                rows = swept,
                "swept {swept} expired rows"
            );
        }
    }
}

/// Stops deliveries, waits for what is in flight, and closes the stores.
pub(super) async fn shut_down(engine: &Engine, within: Duration) {
    let inner = &engine.inner;
    let deadline = tokio::time::Instant::now() + within;
    engine.end_device_sessions();
    // Before the tenants go: the ends are said in their logs.
    super::devices::until_ended(inner, tokio::time::Instant::now() + within / DEVICES_PART).await;
    inner.placement.hand_over_all(&**inner, deadline).await;
    let draining = inner.webhooks.keys().into_iter().map(|key| {
        let webhooks = inner.webhooks.clone();
        async move { webhooks.ask(&key, |reply| Drain { reply }).await }
    });
    let drained = futures_util::future::join_all(draining);
    if tokio::time::timeout_at(deadline, drained).await.is_err() {
        warn!("deliveries were still in flight at the deadline: they will be made again");
    }
    while tokio::time::Instant::now() < deadline && has_messages(inner) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    inner.webhooks.close();
    inner.tenants.close();
    inner.regions.close();
    inner.devices.actors.close();
    note_key_use(inner).await;
    super::devices::note_seen(inner).await;
    for region in inner.logs.regions() {
        inner.logs.get(region).close().await;
    }
    inner.control.close().await;
}

fn has_messages(inner: &Inner) -> bool {
    inner.regions.is_busy() || inner.tenants.is_busy()
}
