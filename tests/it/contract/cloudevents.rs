//! POST /v1/events with CloudEvents: structured, batched, binary.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, client::text};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

async fn read(client: &Client, receipt: &Value) -> Value {
    client
        .get(&format!("/v1/events/{}", text(receipt, "id")))
        .await
        .ok(200)
        .data()
}

#[tokio::test]
async fn a_structured_cloudevent_becomes_an_event() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sent = json!({
        "specversion": "1.0", "id": "42", "source": "/shop", "type": "order.paid",
        "time": "2024-01-02T03:04:05Z", "datacontenttype": "application/json", "data": { "amount": 7 },
    });
    let call = client
        .call(Method::POST, "/v1/events")
        .body(STRUCTURED, sent.to_string());
    let receipt = call.await.ok(202).data();
    let event = read(&client, &receipt).await;
    assert_eq!(event["type"], "order.paid");
    assert_eq!(event["payload"], json!({ "amount": 7 }));
    assert_eq!(event["occurred_at"], "2024-01-02T03:04:05.000000Z");
}

#[tokio::test]
async fn a_cloudevent_sent_twice_is_a_duplicate() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sent =
        json!({ "specversion": "1.0", "id": "42", "source": "/shop", "type": "a", "data": 1 });
    let send = || {
        client
            .call(Method::POST, "/v1/events")
            .body(STRUCTURED, sent.to_string())
    };
    let receipt = send().await.ok(202).data();
    let problem = send().await.problem(409, "duplicate_event");
    assert_eq!(problem["existing_id"], receipt["id"]);
}

#[tokio::test]
async fn a_batch_of_cloudevents_is_answered_item_by_item() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sent = json!([
        { "specversion": "1.0", "id": "1", "source": "/s", "type": "a", "data": 1 },
        { "specversion": "0.3", "id": "2", "source": "/s", "type": "b", "data": 2 },
        { "specversion": "1.0", "id": "3", "source": "/s", "type": "c" },
    ]);
    let call = client
        .call(Method::POST, "/v1/events")
        .body(BATCH, sent.to_string());
    let items = call.await.ok(202).data();
    let statuses: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(item, "status"))
        .collect();
    assert_eq!(statuses, ["accepted", "rejected", "accepted"]);
}

#[tokio::test]
async fn a_binary_cloudevent_keeps_its_body_byte_for_byte() {
    let engine = Engine::start().await;
    let client = engine.client();
    let payload = r#"{ "b":1, "a" : 2 }"#;
    let call = client
        .call(Method::POST, "/v1/events")
        .header("ce-specversion", "1.0")
        .header("ce-id", "7")
        .header("ce-source", "/shop")
        .header("ce-type", "order.paid")
        .body("application/json", payload);
    let receipt = call.await.ok(202).data();
    let read = client
        .get(&format!("/v1/events/{}", text(&receipt, "id")))
        .await
        .ok(200);
    assert!(read.text().contains(payload), "{}", read.text());
    assert_eq!(read.data()["type"], "order.paid");
}

#[tokio::test]
async fn a_cloudevent_without_what_it_must_have_is_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let whole =
        json!({ "specversion": "1.0", "id": "42", "source": "/shop", "type": "a", "data": 1 });
    for member in ["specversion", "id", "source", "type"] {
        let mut lacking = whole.clone();
        lacking.as_object_mut().unwrap().remove(member);
        let call = client
            .call(Method::POST, "/v1/events")
            .body(STRUCTURED, lacking.to_string());
        let problem = call.await.problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{member}"));
    }
}
