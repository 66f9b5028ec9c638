//! GET /v1/webhooks/{id}/deliveries and /v1/deliveries/{id}: what was tried, and what came of it.

use serde_json::{Value, json};

use super::webhooks::make;
use crate::harness::{
    Behaviour, Client, Engine, Sink,
    client::{number, text},
    until,
};

/// Waits until the only delivery of a webhook stands as wished.
pub(crate) async fn delivery_in_state(client: &Client, webhook: &Value, state: &str) -> Value {
    let path = format!("/v1/webhooks/{}/deliveries", text(webhook, "id"));
    until(&format!("the delivery is {state}"), async || {
        let listed = client.get(&path).await.ok(200).data();
        listed
            .as_array()?
            .iter()
            .find(|delivery| delivery["state"] == state)
            .cloned()
    })
    .await
}

#[tokio::test]
async fn a_delivery_shows_each_attempt_with_what_came_back() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|_, n| match n {
        0 => Behaviour::AnswerWith(500, ("x-a", "b".to_owned()), "broken".repeat(1000)),
        _ => Behaviour::Answer(204),
    })
    .await;
    let webhook = make(
        &client,
        json!({ "url": sink.url(), "retry": { "schedule": [0, 0] } }),
    )
    .await;
    let receipt = client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let listed = delivery_in_state(&client, &webhook, "delivered").await;
    let id = text(&listed, "id");
    assert!(id.starts_with("dlv_"), "{listed}");

    let delivery = client
        .get(&format!("/v1/deliveries/{id}"))
        .await
        .ok(200)
        .data();
    assert_eq!(delivery["event_id"], receipt["id"], "{delivery}");
    assert_eq!(delivery["webhook_id"], webhook["id"], "{delivery}");
    let attempts = delivery["attempts"]
        .as_array()
        .expect("attempts are listed");
    assert_eq!(attempts.len(), 2);
    assert_eq!(number(&attempts[0], "attempt"), 1);
    assert_eq!(number(&attempts[0], "status"), 500);
    assert_eq!(number(&attempts[1], "status"), 204);
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt["duration_ms"].is_number()),
        "{delivery}"
    );
    let response = text(&attempts[0], "response");
    assert!(
        response.starts_with("brokenbroken") && response.len() == 1024,
        "the first KiB"
    );
}

#[tokio::test]
async fn a_delivery_without_an_answer_shows_what_went_wrong() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Reset).await;
    let webhook = make(
        &client,
        json!({ "url": sink.url(), "retry": { "schedule": [0] } }),
    )
    .await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let listed = delivery_in_state(&client, &webhook, "dead_letter").await;
    let path = format!("/v1/deliveries/{}", text(&listed, "id"));
    let delivery = client.get(&path).await.ok(200).data();
    assert_eq!(delivery["attempts"][0]["status"], Value::Null);
    assert!(!text(&delivery["attempts"][0], "error").is_empty());
}

#[tokio::test]
async fn deliveries_are_listed_in_pages_the_newest_first() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let webhook = make(&client, json!({ "url": sink.url() })).await;
    for n in 0..7 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    let path = format!("/v1/webhooks/{}/deliveries?limit=3", text(&webhook, "id"));
    let listed = until("all deliveries are listed", async || {
        let listed = client.every_page(&path).await;
        (listed.len() == 7).then_some(listed)
    })
    .await;
    let positions: Vec<_> = listed
        .iter()
        .map(|delivery| number(delivery, "position"))
        .collect();
    assert_eq!(positions, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn an_unknown_delivery_is_not_found() {
    let engine = Engine::start().await;
    let client = engine.client();
    for id in ["dlv_00000000000000000000000000000000", "dlv_x", "x"] {
        client
            .get(&format!("/v1/deliveries/{id}"))
            .await
            .problem(404, "not_found");
    }
    let path = "/v1/webhooks/wh_00000000000000000000000000000000/deliveries";
    client.get(path).await.problem(404, "not_found");
}
