//! The main job: an event comes in, is durable and chained, reaches a signed webhook, a consumer and a live tail, and is
//! exported and verified.

use serde_json::json;

use crate::harness::{Engine, Sink, client::text, export::fetch_verified};

#[tokio::test]
async fn one_event_reaches_everybody_and_can_be_proved() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let body = json!({ "url": sink.url(), "events": ["order.*"] });
    let webhook = client.post("/v1/webhooks", &body).await.ok(201).data();
    let mut tail = client.tail("type=order.*", None).await;

    let receipt = client
        .send_event(&json!({ "type": "order.paid", "payload": { "n": 1 } }))
        .await;
    let id = text(&receipt, "id");

    let received = &sink.wait_for(1).await[0];
    received.verify(text(&webhook, "secret"));
    assert_eq!(received.event_id(), id);

    let frame = tail.event().await.unwrap();
    assert_eq!(frame.json()["id"], id);

    let inbox = client.get("/v1/inbox").await.ok(200).data();
    assert_eq!(inbox[0]["id"], id);
    client
        .post(&format!("/v1/events/{id}/ack"), &json!({}))
        .await
        .ok(200);
    assert_eq!(client.get("/v1/inbox").await.ok(200).data(), json!([]));

    let exported = fetch_verified(&engine, &client).await;
    assert_eq!(exported.len(), 1);
    assert_eq!(exported[0]["hash"], receipt["hash"]);
    client.get(&format!("/v1/events/{id}/proof")).await.ok(200);
}

#[tokio::test]
async fn ten_webhooks_ten_tails_and_ten_consumers_get_every_event() {
    let engine = Engine::start().await;
    let client = engine.client();
    let mut sinks = Vec::new();
    let mut tails = Vec::new();
    for _ in 0..10 {
        let sink = Sink::start().await;
        client
            .post("/v1/webhooks", &json!({ "url": sink.url() }))
            .await
            .ok(201);
        sinks.push(sink);
        tails.push(client.tail("", None).await);
    }
    let batch: Vec<_> = (0..200)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(batch)).await.ok(202);
    for sink in &sinks {
        let received = sink.wait_for(200).await;
        let mut got: Vec<_> = received
            .iter()
            .filter_map(|one| one.json()["data"].as_u64())
            .collect();
        got.sort_unstable();
        assert_eq!(got, (0..200).collect::<Vec<u64>>());
    }
    for tail in &mut tails {
        let ids: Vec<_> = tail
            .events(200)
            .await
            .iter()
            .filter_map(|frame| frame.id)
            .collect();
        assert_eq!(ids, (1..=200).collect::<Vec<u64>>());
    }
    for n in 0..10 {
        let path = format!("/v1/inbox?consumer=c{n}&limit=500");
        assert_eq!(
            client
                .get(&path)
                .await
                .ok(200)
                .data()
                .as_array()
                .unwrap()
                .len(),
            200
        );
    }
}

#[tokio::test]
async fn tenants_of_all_regions_live_side_by_side() {
    let engine = Engine::start().await;
    for region in ["AU", "US", "EU", "APAC"] {
        let slug = region.to_lowercase();
        let body = json!({ "name": region, "slug": slug, "plan": "growth", "region": region });
        let made = engine
            .operator()
            .post("/internal/tenants", &body)
            .await
            .text();
        let key = crate::harness::engine::find_key(&made).unwrap();
        let client = engine.anonymous().with_key(key);
        let receipt = client
            .send_event(&json!({ "type": "a", "payload": 1 }))
            .await;
        assert_eq!(receipt["region"], region);
        assert_eq!(fetch_verified(&engine, &client).await.len(), 1);
    }
}
