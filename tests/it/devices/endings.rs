//! How sessions end: what the gateway is told, and what stands in the log afterwards.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{device, gateway, log_types, until_logged, until_state};
use crate::harness::{Engine, Gateway, Settings, client::text};

/// An engine whose devices have to say something each second.
async fn quick() -> Engine {
    Engine::start_with(Settings::default().with("TRUNKLINE__DEVICES__HEARTBEAT_SECONDS", "1")).await
}

async fn connected(engine: &Engine, device: &str) -> Gateway {
    let mut gateway = gateway(engine, device).await;
    gateway
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    until_logged(&engine.client(), "device.connected").await;
    gateway
}

/// Waits for the engine's goodbye; answers its reason and the code with which the connection is closed.
async fn bye(mut gateway: Gateway) -> (Value, Option<u16>) {
    let bye = gateway.expect("bye").await;
    (bye["reason"].clone(), gateway.closed().await)
}

#[tokio::test]
async fn a_goodbye_and_a_broken_connection_are_told_apart() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut polite = connected(&engine, &id).await;
    assert!(polite.send(Message::Close(None)).await);
    polite.closed().await;
    let said = until_logged(&client, "device.disconnected").await;
    assert_eq!(said["reason"], "closed");
    let shown = until_state(&client, &id, "offline").await;
    assert_eq!(shown["reason"], "closed");

    drop(connected(&engine, &id).await);
    let said = until_logged(&client, "device.disconnected").await;
    assert_eq!(said["reason"], "connection_lost");
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_told_that_it_was_idle() {
    let engine = quick().await;
    let client = engine.client();
    let id = device(&client).await;
    let gateway = connected(&engine, &id).await;
    assert_eq!(bye(gateway).await, (json!("idle"), Some(1000)));
    let said = until_logged(&client, "device.disconnected").await;
    assert_eq!(said["reason"], "idle");
}

#[tokio::test]
async fn a_gateway_whose_key_is_revoked_is_told_so() {
    let engine = quick().await;
    let client = engine.client();
    let id = device(&client).await;
    let body = json!({ "name": "k", "permissions": ["devices:connect"] });
    let key = client.post("/v1/keys", &body).await.ok(201).data();
    let base = client.base();
    let mut gateway = Gateway::connected(base, text(&key, "key"), &id).await;
    until_state(&client, &id, "connected").await;
    let path = format!("/v1/keys/{}", text(&key, "id"));
    let revoked = client.call(Method::DELETE, &path).await;
    assert!(matches!(revoked.status, 200 | 204), "{}", revoked.text());
    // It says something all the time, so that it is not idle.
    let reason = loop {
        if !gateway.send(Message::text(r#"{"kind":"ping"}"#)).await {
            break Value::Null;
        }
        let frame = gateway.next().await.expect("a goodbye comes first");
        if frame["kind"] == "bye" {
            break frame["reason"].clone();
        }
    };
    assert_eq!(reason, "revoked");
    let said = until_logged(&client, "device.disconnected").await;
    assert_eq!(said["reason"], "revoked");
}

#[tokio::test]
async fn an_operator_can_end_a_session_and_delete_its_device() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let gateway = connected(&engine, &id).await;
    let path = format!("/v1/devices/{id}/disconnect");
    client.post(&path, &json!({})).await.ok(200);
    assert_eq!(bye(gateway).await, (json!("revoked"), Some(1000)));
    let said = until_logged(&client, "device.disconnected").await;
    assert_eq!(said["reason"], "disconnected");

    let gateway = connected(&engine, &id).await;
    let path = format!("/v1/devices/{id}");
    client.call(Method::DELETE, &path).await.ok(204);
    assert_eq!(bye(gateway).await, (json!("revoked"), Some(1000)));
    let types = log_types(&client).await;
    assert_eq!(
        types.last().map(String::as_str),
        Some("device.disconnected")
    );
}

#[tokio::test]
async fn a_node_that_ends_tells_its_gateways_to_come_again() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let mut gateways = Vec::new();
    for _ in 0..5 {
        let id = device(&client).await;
        gateways.push((connected(&engine, &id).await, id));
    }
    engine.send_sigterm().await;
    let mut ids = Vec::new();
    for (gateway, id) in gateways {
        assert_eq!(bye(gateway).await, (json!("shutdown"), Some(1001)));
        ids.push(id);
    }
    assert!(engine.ended().await.success(), "{}", engine.log());
    engine.start_again().await;
    let mut types = log_types(&client).await;
    types.sort();
    let expected: Vec<_> = ["device.connected"; 5]
        .into_iter()
        .chain(["device.disconnected"; 5])
        .collect();
    assert_eq!(types, expected);
    for id in ids {
        connected(&engine, &id).await;
    }
}

#[tokio::test]
async fn a_connection_that_ended_without_a_trace_is_said_to_be_lost() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let first = connected(&engine, &id).await;
    engine.kill_9().await;
    drop(first);
    engine.start_again().await;
    let shown = client
        .get(&format!("/v1/devices/{id}"))
        .await
        .ok(200)
        .data();
    assert_eq!(shown["state"], "offline");
    let mut again = gateway(&engine, &id).await;
    until_logged(&client, "device.disconnected").await;
    again
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    until_logged(&client, "device.connected").await;
    let expected = [
        "device.connected",
        "device.disconnected",
        "device.connected",
    ];
    assert_eq!(log_types(&client).await, expected);
    let events = super::log(&client).await;
    assert_eq!(events[1]["payload"]["reason"], "lost");
    drop(again);
}
