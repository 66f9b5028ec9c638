//! What a restart carries over.

use serde_json::json;

use crate::harness::{Behaviour, Engine, Sink, client::text, export::fetch_verified, until};

#[tokio::test]
async fn after_a_restart_everything_is_as_it_was() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let body = json!({ "url": sink.url(), "description": "mine" });
    let webhook = client.post("/v1/webhooks", &body).await.ok(201).data();
    client
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201);
    let key = client
        .post("/v1/keys", &json!({ "name": "k" }))
        .await
        .ok(201)
        .data();
    for n in 0..10 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    sink.wait_for(10).await;
    client
        .post("/v1/inbox/ack", &json!({ "up_to": 4 }))
        .await
        .ok(200);
    let paths = ["/v1/events", "/v1/webhooks", "/v1/workspaces", "/v1/inbox"];
    let mut before = Vec::new();
    for path in paths {
        before.push(client.get(path).await.ok(200).json());
    }
    engine.restart().await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(client.get(path).await.ok(200).json(), before, "{path}");
    }
    client
        .with_key(text(&key, "key"))
        .get("/v1/events")
        .await
        .ok(200);
    assert_eq!(
        sink.count(),
        10,
        "an orderly restart delivers nothing twice"
    );
    client
        .send_event(&json!({ "type": "a", "payload": 10 }))
        .await;
    let received = sink.wait_for(11).await;
    received[10].verify(text(&webhook, "secret"));
    assert_eq!(fetch_verified(&engine, &client).await.len(), 11);
}

#[tokio::test]
async fn a_backlog_is_delivered_after_a_restart_without_being_asked() {
    let mut engine = Engine::start().await;
    let sink = Sink::that(Behaviour::Hang).await;
    let body = json!({ "url": sink.url(), "max_in_flight": 2, "timeout_ms": 1000 });
    engine.client().post("/v1/webhooks", &body).await.ok(201);
    let batch: Vec<_> = (0..100)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    engine
        .client()
        .post("/v1/events", &json!(batch))
        .await
        .ok(202);
    sink.wait_for(2).await;
    engine.kill_9().await;
    sink.now(Behaviour::Answer(200));
    sink.take();
    engine.start_again().await;
    let delivered = until("everything is delivered", async || {
        let mut payloads: Vec<_> = sink
            .received()
            .iter()
            .filter_map(|one| one.json()["data"].as_u64())
            .collect();
        payloads.sort_unstable();
        payloads.dedup();
        (payloads.len() == 100).then_some(payloads)
    })
    .await;
    assert_eq!(delivered, (0..100).collect::<Vec<u64>>());
}

#[tokio::test]
async fn an_idle_tenant_leaves_memory_and_comes_back_with_its_state() {
    let settings =
        crate::harness::Settings::default().with("TRUNKLINE__ENGINE__PASSIVATE_AFTER_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1, "dedup_id": "once" });
    client.send_event(&event).await;
    let tenant = engine.first_tenant_id().await;
    until("its actor is gone", async || {
        let actors = engine
            .operator()
            .get("/internal/actors")
            .await
            .ok(200)
            .text();
        (!actors.contains(&tenant)).then_some(())
    })
    .await;
    client
        .post("/v1/events", &event)
        .await
        .problem(409, "duplicate_event");
    let receipt = client
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    assert_eq!(receipt["position"], 2);
}
