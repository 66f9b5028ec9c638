//! Sessions: the newest one has the device, and what an older one still says is not heard.

use serde_json::json;

use super::{device, frame, gateway, log, log_types, message, until_logged, until_state};
use crate::harness::{Engine, client::number};

#[tokio::test]
async fn a_newer_session_takes_the_device_and_the_older_gateway_is_told_to_stay_down() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut older = gateway(&engine, &id).await;
    older
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    older.event(message("A")).await;
    let mut newer = gateway(&engine, &id).await;
    assert_eq!(newer.fence, older.fence + 1);
    assert_eq!(older.expect("bye").await["reason"], "replaced");
    older.say(&frame("late", message("LATE"))).await;
    assert_eq!(older.closed().await, Some(1000));

    newer
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    newer.event(message("B")).await;
    let expected = [
        "device.connected",
        "message.received",
        "device.disconnected",
        "device.connected",
        "message.received",
    ];
    assert_eq!(log_types(&client).await, expected);
    assert_eq!(log(&client).await[2]["payload"]["reason"], "replaced");
    let shown = until_state(&client, &id, "connected").await;
    assert_eq!(number(&shown, "fence"), newer.fence);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_and_kept_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let names: Vec<String> = (0..200).map(|number| format!("M{number}")).collect();
    let mut first = gateway(&engine, &id).await;
    for name in &names {
        first.say(&frame(name, message(name))).await;
    }
    // Some are acknowledged when the connection breaks, and nobody can say of the others whether they are kept.
    let mut acked = 0;
    while acked < 20 {
        first.expect("ack").await;
        acked += 1;
    }
    drop(first);

    let mut again = gateway(&engine, &id).await;
    for name in &names[acked..] {
        again.say(&frame(name, message(name))).await;
    }
    for name in &names[acked..] {
        assert_eq!(again.expect("ack").await["id"], name.as_str(), "in order");
    }
    let kept = log(&client).await;
    let kept: Vec<_> = kept
        .iter()
        .map(|event| event["payload"]["text"].clone())
        .collect();
    assert_eq!(json!(kept), json!(names));
}

#[tokio::test]
async fn a_state_keeps_its_place_among_the_events() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    for round in 0..10 {
        gateway
            .say(&json!({ "kind": "state", "state": "connected" }))
            .await;
        gateway
            .say(&frame(&round.to_string(), message(&format!("M{round}"))))
            .await;
        gateway
            .say(&json!({ "kind": "state", "state": "offline", "reason": "flaky" }))
            .await;
    }
    until_logged(&client, "device.disconnected").await;
    for _ in 0..10 {
        gateway.expect("ack").await;
    }
    until_state(&client, &id, "offline").await;
    let round = [
        "device.connected",
        "message.received",
        "device.disconnected",
    ];
    let expected: Vec<_> = (0..10).flat_map(|_| round).collect();
    assert_eq!(log_types(&client).await, expected);
}

#[tokio::test]
async fn an_edit_that_comes_before_its_message_is_joined_to_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    let mut edit = message("A");
    edit["type"] = json!("message.updated");
    edit["data"] = json!({ "text": "edited" });
    gateway.event(edit).await;
    gateway.event(message("A")).await;
    let path = format!("/v1/devices/{id}/messages");
    let messages = client.get(&path).await.ok(200).data();
    assert_eq!(messages.as_array().unwrap().len(), 1, "{messages}");
    let shown = messages[0].to_string();
    assert!(shown.contains("edited"), "{shown}");
}
