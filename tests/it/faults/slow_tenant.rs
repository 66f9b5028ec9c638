//! One tenant's endpoint takes ten seconds to answer, at a hundred events a second. Another tenant must not notice.
//!
//! The slow tenant sends its events all the time; in the calm phases its webhook is paused. So the phases differ in nothing
//! but the slow endpoint. The other tenant's 99th percentile, from sending to arrival, is compared over the rounds.

use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::harness::{
    Behaviour, Client, Engine, MemoryDisk, Settings, Sink,
    client::text,
    load::Load,
    stats::{Turns, percentile},
    until,
};

const DISK_MIB: usize = 1024;
const SAMPLES: usize = 150;
const SLOW: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(10);

/// Sends events one by one and measures how long each takes to its endpoint; answers the 99th percentile.
async fn p99_of_deliveries(client: &Client, sink: &Sink) -> Duration {
    sink.take();
    let mut latencies = Vec::with_capacity(SAMPLES);
    for n in 0..SAMPLES {
        let sent_at = Instant::now();
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
        sink.wait_for(n + 1).await;
        latencies.push(sink.received()[n].at - sent_at);
    }
    percentile(&latencies, 0.99)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_takes_ten_seconds_moves_no_other_tenants_p99_by_a_tenth() {
    // In memory, because what the disk of a busy machine does is not what is measured here.
    let disk = MemoryDisk::mount(DISK_MIB);
    let settings = Settings::default().in_folder(&disk.path().join("data"));
    let engine = Engine::start_with(settings).await;
    let slow = engine.tenant("slow", "enterprise").await.client;
    let slow_sink = Sink::that(Behaviour::After(SLOW, 200)).await;
    let body = json!({ "url": slow_sink.url() });
    let webhook = slow.post("/v1/webhooks", &body).await.ok(201).data();
    let switch = async |action: &str| {
        let path = format!("/v1/webhooks/{}/{action}", text(&webhook, "id"));
        slow.post(&path, &json!({})).await.ok(200);
    };
    let other = engine.client();
    let sink = Sink::start().await;
    other
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    let load = Load::at_pace(&slow, PACE, "slow");
    let mut turns = Turns::default();
    p99_of_deliveries(&other, &sink).await;
    loop {
        switch("pause").await;
        let calm = p99_of_deliveries(&other, &sink).await;
        switch("resume").await;
        let begun = slow_sink.count();
        until("the slow endpoint is being called", async || {
            (slow_sink.count() > begun).then_some(())
        })
        .await;
        let troubled = p99_of_deliveries(&other, &sink).await;
        if turns.round(calm, troubled) {
            break;
        }
    }
    let sent = load.stop().await.len();
    assert!(sent > 0 && slow_sink.count() > 0);
}
