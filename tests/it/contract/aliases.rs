//! API §10: the paths of older systems.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Engine, Settings, Sink, client::text, engine::find_key};

#[tokio::test]
async fn older_paths_of_events_work() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "action": "a", "metadata": 1 });
    client
        .post("/v1/key/workspace/events", &event)
        .await
        .ok(202);
    for path in ["/v1/key/workspace/events", "/v1/key/company/events"] {
        let events = client.get(path).await.ok(200).data();
        assert_eq!(events.as_array().unwrap().len(), 1, "{path}");
    }
    let regions = client.get("/v1/regions").await.ok(200).json();
    assert_eq!(
        client.get("/v1/key/company/regions").await.ok(200).json(),
        regions
    );
}

#[tokio::test]
async fn older_paths_of_exports_and_the_tail_work() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    for scope in ["company", "workspace"] {
        let json = client
            .get(&format!("/v1/key/{scope}/export.json"))
            .await
            .ok(200)
            .data();
        assert_eq!(json.as_array().unwrap().len(), 1);
        let csv = client
            .get(&format!("/v1/key/{scope}/export.csv"))
            .await
            .ok(200)
            .text();
        assert_eq!(csv.lines().count(), 2);
    }
    let response = client
        .get("/v1/key/workspace/events/tail?from=earliest")
        .stream()
        .await;
    let mut tail = crate::harness::Tail::of(response).await;
    assert_eq!(tail.event().await.unwrap().id, Some(1));
}

#[tokio::test]
async fn older_paths_of_the_inbox_work() {
    let engine = Engine::start().await;
    let client = engine.client();
    for n in 1..=5 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    let payloads = |events: &Value| -> Vec<u64> {
        events
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|event| event["payload"].as_u64())
            .collect()
    };
    let page = client
        .get("/api/inbox?limit=2&offset=1")
        .await
        .ok(200)
        .data();
    assert_eq!(payloads(&page), [2, 3]);
    let path = format!("/api/ack/{}", text(&page[0], "id"));
    client.post(&path, &json!({})).await.ok(200);
    let rest = client.get("/api/inbox").await.ok(200).data();
    assert_eq!(payloads(&rest), [1, 3, 4, 5]);
}

#[tokio::test]
async fn an_event_for_the_webhook_needs_one() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1 });
    client
        .post("/api/events", &event)
        .await
        .problem(422, "no_webhook");
    let sink = Sink::start().await;
    let configure = |url: &str| client.post("/api/webhook/config", &json!({ "webhook_url": url }));
    let first = configure("https://example.com").await;
    assert!(matches!(first.status, 200 | 201), "{}", first.text());
    let second = configure(&sink.url()).await;
    assert!(matches!(second.status, 200 | 201), "{}", second.text());
    assert_eq!(
        client.every_page("/v1/webhooks").await.len(),
        1,
        "it was changed, not added"
    );
    client.post("/api/events", &event).await.ok(202);
    sink.wait_for(1).await;
}

#[tokio::test]
async fn the_key_in_use_is_shown_and_rotated() {
    let engine = Engine::start().await;
    let client = engine.client();
    let shown = client.get("/api/keys").await.ok(200).text();
    assert!(!shown.contains(engine.key()), "a key is shown once");
    let rotated = client.post("/api/keys/rotate", &json!({})).await;
    assert!(matches!(rotated.status, 200 | 201), "{}", rotated.text());
    let new = client.with_key(find_key(&rotated.text()).unwrap());
    new.get("/v1/events").await.ok(200);
    client.get("/v1/events").await.problem(401, "revoked_key");
}

#[tokio::test]
async fn nobody_signs_up_unless_it_is_allowed() {
    let closed = Engine::start().await;
    let body = json!({ "name": "New" });
    let answer = closed.anonymous().post("/api/keys/generate", &body).await;
    assert!(matches!(answer.status, 403 | 404), "{}", answer.text());

    let open =
        Engine::start_with(Settings::default().with("TRUNKLINE__SIGNUP__ENABLED", "true")).await;
    let answer = open.anonymous().post("/api/keys/generate", &body).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    let client = open.anonymous().with_key(find_key(&answer.text()).unwrap());
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    assert_eq!(
        open.client().every_page("/v1/events").await.len(),
        0,
        "a tenant of its own"
    );
}

#[tokio::test]
async fn an_address_makes_only_so_many_tenants_an_hour() {
    let settings = Settings::default()
        .with("TRUNKLINE__SIGNUP__ENABLED", "true")
        .with("TRUNKLINE__SIGNUP__PER_ADDRESS_PER_HOUR", "2");
    let engine = Engine::start_with(settings).await;
    let sign_up = async || {
        let body = json!({ "name": "New" });
        engine.anonymous().post("/api/keys/generate", &body).await
    };
    for _ in 0..2 {
        sign_up().await.ok(201);
    }
    let answer = sign_up().await;
    assert!(answer.header("retry-after").is_some());
    answer.problem(429, "rate_limited");
}

#[tokio::test]
async fn methods_that_older_paths_do_not_have_are_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    for path in [
        "/v1/key/company/events",
        "/api/keys/rotate",
        "/api/webhook/config",
    ] {
        let answer = client.call(Method::DELETE, path).await;
        answer.problem(405, "method_not_allowed");
    }
}
