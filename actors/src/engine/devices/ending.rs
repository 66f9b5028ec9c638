//! How all sessions of this node end: when it is about to end itself, and when it has lost its own session.
//!
//! Gateways are told to connect again, spread over a little time, so that other nodes do not get all of them at once. Also
//! notes when devices were heard of.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::RngExt as _;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    device::{
        DeviceKey,
        messages::{End, Ending},
    },
    engine::{Engine, Inner},
};

/// Over how much time goodbyes are spread: this much for each device, and no more than that in all.
const SPREAD_EACH: Duration = Duration::from_millis(1);
const SPREAD_MAX: Duration = Duration::from_millis(1_500);
/// How often it is looked whether all is written.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Engine {
    /// Opens no further session, and ends all that there are, in the background.
    pub(in crate::engine) fn end_device_sessions(&self) {
        let context = &self.inner.devices.context;
        if !context.is_ending.swap(true, Ordering::AcqRel) {
            self.inner.say_goodbye();
        }
    }
}

#[cfg(test)]
impl Engine {
    pub(crate) async fn note_seen(&self) {
        note_seen(&self.inner).await;
    }
}

impl Inner {
    /// The node's own session is lost: others may take the devices. What their sessions write until they end is as good as
    /// before, because it carries their own fences.
    pub(in crate::engine) fn end_sessions_of_lost_node(&self) {
        self.say_goodbye();
    }

    fn say_goodbye(&self) {
        let keys = self.devices.board.keys();
        if keys.is_empty() {
            return;
        }
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        info!(count, "{count} devices are told to connect again");
        let spread = SPREAD_EACH.saturating_mul(count).min(SPREAD_MAX);
        let mut random = (self.random)();
        let mut turns: Vec<(Duration, DeviceKey)> = keys
            .into_iter()
            .map(|key| (spread.mul_f64(random.random()), key))
            .collect();
        turns.sort_unstable_by_key(|(after, _)| *after);
        let (actors, begun_at) = (self.devices.actors.clone(), Instant::now());
        self.outside.spawn(async move {
            for (after, key) in turns {
                tokio::time::sleep_until(begun_at + after).await;
                if actors.is_running(&key) {
                    let why = Ending::Shutdown;
                    // An actor with a full mailbox learns it from the connection's end.
                    drop(actors.post(&key, |reply| End {
                        why,
                        except_in: None,
                        reply,
                    }));
                }
            }
        });
    }
}

/// Waits until no session is left and all is written that their ends owe.
pub(in crate::engine) async fn until_ended(inner: &Inner, deadline: Instant) {
    let board = &inner.devices.board;
    while !board.is_quiet() {
        if Instant::now() >= deadline {
            let count = board.len();
            warn!(
                count,
                "the ends of some devices' sessions were not written: whoever opens the next ones says so"
            );
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Notes when devices were heard of, and forgets those that opened sessions long ago.
pub(in crate::engine) async fn note_seen(inner: &Arc<Inner>) {
    let board = &inner.devices.board;
    board.calm_down(inner.clock.now());
    let seen = board.take_seen();
    if seen.is_empty() {
        return;
    }
    if let Err(error) = inner.control.devices_seen(&seen).await {
        warn!(%error, "when devices were heard of was not noted: {error}");
    }
}
