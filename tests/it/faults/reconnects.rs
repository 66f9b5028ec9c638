//! A thousand reconnections of tails at random positions, under load.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::harness::{Client, Engine, load::Load, until};

const READERS: u64 = 4;
const RECONNECTIONS: u64 = 250;

/// Which event was seen at which position, by anybody.
type Seen = Arc<Mutex<HashMap<u64, String>>>;

/// Connects again and again, going on where it was or at a random place, and checks each frame.
async fn reconnect(client: Client, seed: u64, query: &'static str, step: u64, seen: Seen) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut last = 0;
    let mut furthest = 0;
    for _ in 0..RECONNECTIONS {
        if random.random_ratio(1, 2) {
            last = random.random_range(0..=furthest);
        }
        let mut tail = client.tail(query, Some(last)).await;
        for _ in 0..random.random_range(1..20) {
            let frame = tail.event().await.expect("the tail goes on");
            // With one type in `step` the next match is at the next position that `step` divides.
            let expected = (last / step + 1) * step;
            assert_eq!(frame.id, Some(expected), "after {last}");
            let id = frame.json()["id"]
                .as_str()
                .expect("an event has an id")
                .to_owned();
            let known = seen
                .lock()
                .expect("not poisoned")
                .insert(expected, id.clone());
            assert!(
                known.is_none_or(|known| known == id),
                "one position, one event"
            );
            last = expected;
        }
        furthest = furthest.max(last);
    }
}

async fn thousand_reconnections(query: &'static str, step: u64, engine: &Engine) {
    let seen = Seen::default();
    let readers: Vec<_> = (0..READERS)
        .map(|seed| {
            tokio::spawn(reconnect(
                engine.client(),
                seed,
                query,
                step,
                Arc::clone(&seen),
            ))
        })
        .collect();
    for reader in readers {
        reader.await.expect("no gap and no duplicate");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reconnections_have_no_gap_and_no_duplicate() {
    let engine = Engine::start().await;
    let load = Load::start(&engine.client(), 2, "a");
    until("there is something to read", async || {
        (load.count() > 100).then_some(())
    })
    .await;
    thousand_reconnections("", 1, &engine).await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reconnections_with_a_filter_have_no_gap_and_no_duplicate() {
    let engine = Engine::start().await;
    let client = engine.client();
    // Batches of five, of which the last is wanted: its position is a multiple of five.
    let batch = json!([
        { "type": "no", "payload": 1 }, { "type": "no", "payload": 2 }, { "type": "no", "payload": 3 },
        { "type": "no", "payload": 4 }, { "type": "yes", "payload": 5 },
    ]);
    let source = tokio::spawn(async move {
        loop {
            client.post("/v1/events", &batch).await.ok(202);
        }
    });
    thousand_reconnections("type=yes", 5, &engine).await;
    source.abort();
}
