//! Endpoints that hang, drip, redirect inside, answer 10 MB, reset or have bad TLS: other webhooks keep their throughput.
//!
//! In turns six well and six bad webhooks stand beside a good one of the same tenant. What is compared is how long the good
//! one takes for a batch: so the number of deliveries is the same, and only the badness differs.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::harness::{
    Behaviour, Client, Engine, MemoryDisk, Settings, Sink, certificate::UntrustedSink,
    client::text, stats::Turns,
};

const DISK_MIB: usize = 1024;
const EVENTS: usize = 400;

/// The time that the good webhook takes for a batch while six others stand beside it.
async fn time_beside(client: &Client, good: &Sink, others: &[String]) -> Duration {
    let mut made = Vec::new();
    for url in others {
        let body = json!({ "url": url, "timeout_ms": 2000 });
        made.push(client.post("/v1/webhooks", &body).await.ok(201).data());
    }
    good.take();
    let batch: Vec<Value> = (0..EVENTS)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    let began = Instant::now();
    client.post("/v1/events", &json!(batch)).await.ok(202);
    good.wait_for(EVENTS).await;
    let last = good.received()[EVENTS - 1].at;
    for webhook in made {
        let path = format!("/v1/webhooks/{}", text(&webhook, "id"));
        client.call(reqwest::Method::DELETE, &path).await.ok(204);
    }
    last - began
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_endpoints_take_no_tenth_of_a_good_ones_throughput() {
    // In memory, because what the disk of a busy machine does is not what is measured here.
    let disk = MemoryDisk::mount(DISK_MIB);
    let settings = Settings::default().in_folder(&disk.path().join("data"));
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let good = Sink::start().await;
    client
        .post("/v1/webhooks", &json!({ "url": good.url() }))
        .await
        .ok(201);
    let inside = (
        "location",
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    );
    let bad_sinks = [
        Sink::that(Behaviour::Hang).await,
        Sink::that(Behaviour::Drip).await,
        Sink::that(Behaviour::AnswerWith(302, inside, String::new())).await,
        Sink::that(Behaviour::Huge).await,
        Sink::that(Behaviour::Reset).await,
    ];
    let untrusted = UntrustedSink::start();
    let mut bad: Vec<String> = bad_sinks.iter().map(Sink::url).collect();
    bad.push(untrusted.url());
    let mut well_sinks = Vec::new();
    for _ in 0..bad.len() {
        well_sinks.push(Sink::start().await);
    }
    let well: Vec<String> = well_sinks.iter().map(Sink::url).collect();
    let mut turns = Turns::default();
    time_beside(&client, &good, &well).await;
    loop {
        let calm = time_beside(&client, &good, &well).await;
        let troubled = time_beside(&client, &good, &bad).await;
        if turns.round(calm, troubled) {
            break;
        }
    }
    assert!(
        bad_sinks.iter().all(|sink| sink.count() > 0),
        "all of them were called"
    );
}
