//! There is no cap over all tenants that one of them can fill.

use serde_json::json;

use crate::harness::{Behaviour, Engine, Sink, until};

const WEBHOOKS: usize = 40;
const EVENTS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_hanging_deliveries_of_one_tenant_hold_up_nobody_else() {
    let engine = Engine::start().await;
    let greedy = engine.tenant("greedy", "enterprise").await.client;
    let hanging = Sink::that(Behaviour::Hang).await;
    let body = json!({ "url": hanging.url(), "timeout_ms": 60_000, "max_in_flight": EVENTS });
    for _ in 0..WEBHOOKS {
        greedy.post("/v1/webhooks", &body).await.ok(201);
    }
    let batch: Vec<_> = (0..EVENTS)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    greedy.post("/v1/events", &json!(batch)).await.ok(202);
    until("as many hang as may hang at one host", async || {
        (hanging.count() >= 256).then_some(())
    })
    .await;
    let other = engine.client();
    let sink = Sink::start().await;
    other
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    let same_host = Sink::start().await;
    other
        .post("/v1/webhooks", &json!({ "url": same_host.url() }))
        .await
        .ok(201);
    other.post("/v1/events", &json!(batch)).await.ok(202);
    sink.wait_for(EVENTS).await;
    same_host.wait_for(EVENTS).await;
    // The greedy tenant's own events still come in, and its reads are answered.
    greedy.post("/v1/events", &json!(batch)).await.ok(202);
    assert_eq!(greedy.every_page("/v1/events").await.len(), 2 * EVENTS);
}
