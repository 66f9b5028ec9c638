//! Who may open a gateway's connection, and how the others are refused: as HTTP, before there is a WebSocket.

use serde_json::json;

use super::{device, until_state};
use crate::harness::{
    Client, Engine, Gateway,
    client::{Call, text},
};

/// An upgrade that would succeed with the right key.
fn upgrade(client: &Client, device: &str) -> Call {
    client
        .get(&format!("/v1/devices/{device}/session"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw==")
}

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn what_is_no_upgrade_to_the_gateway_protocol_is_told_what_is_expected() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let plain = client.get(&format!("/v1/devices/{id}/session")).await;
    let problem = plain.problem(400, "bad_request");
    assert!(text(&problem, "detail").contains("WebSocket"), "{problem}");

    let without = upgrade(&client, &id).await.problem(400, "bad_request");
    let expected = "expected the header Sec-WebSocket-Protocol: trunkline.v1";
    assert_eq!(text(&without, "detail"), expected);
    let other = upgrade(&client, &id)
        .header(PROTOCOL, "mqtt, trunkline.v2")
        .await;
    assert_eq!(text(&other.problem(400, "bad_request"), "detail"), expected);
}

#[tokio::test]
async fn the_subprotocol_is_found_among_others_and_named_in_the_answer() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let call = upgrade(&client, &id).header(PROTOCOL, "chat, trunkline.v1");
    let response = call.stream().await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()[PROTOCOL], "trunkline.v1");
}

#[tokio::test]
async fn only_a_key_that_may_connect_and_sees_the_device_gets_in() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let refused = async |key: &str, device: &str| {
        let base = client.base();
        Gateway::try_open(base, key, device).await.err()
    };
    let key = async |body: serde_json::Value| {
        let made = client.post("/v1/keys", &body).await.ok(201).data();
        text(&made, "key").to_owned()
    };
    assert_eq!(refused("ak_x_0", &id).await, Some(401));
    let reads = json!({ "name": "k", "permissions": ["devices:read", "devices:manage"] });
    assert_eq!(refused(&key(reads).await, &id).await, Some(403));
    let connects = key(json!({ "name": "k", "permissions": ["devices:connect"] })).await;
    assert_eq!(refused(&connects, &id).await, None);
    let unknown = "dev_019aa3b0-7c1e-7d51-9a3e-2f5c8f0f6b11";
    assert_eq!(refused(&connects, unknown).await, Some(404));
    assert_eq!(refused(&connects, "nonsense").await, Some(404));

    let other = engine.tenant("other", "growth").await;
    assert_eq!(refused(&other.key, &id).await, Some(404), "another tenant");
    let workspace = client
        .post("/v1/workspaces", &json!({ "slug": "w", "name": "W" }))
        .await;
    let workspace = workspace.ok(201).data();
    let body = json!({
        "name": "k", "scope": text(&workspace, "id"), "permissions": ["devices:connect"],
    });
    assert_eq!(
        refused(&key(body).await, &id).await,
        Some(404),
        "another workspace"
    );
}

#[tokio::test]
async fn a_gateway_that_comes_again_and_again_has_to_wait() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (id, calm) = (device(&client).await, device(&client).await);
    for _ in 0..10 {
        drop(super::gateway(&engine, &id).await);
    }
    // The eleventh is one too many; which of hello and upgrade is refused depends on who looks first.
    let call = upgrade(&client, &id).header(PROTOCOL, "trunkline.v1");
    let response = call.stream().await;
    if response.status() == 101 {
        drop(response);
        let mut gateway = Gateway::try_open(client.base(), engine.key(), &id)
            .await
            .expect("not noticed before the hello");
        gateway
            .say(&json!({ "kind": "hello", "gateway": "test/1" }))
            .await;
        assert_eq!(gateway.closed().await, Some(1013));
    }
    let refused = upgrade(&client, &id).header(PROTOCOL, "trunkline.v1").await;
    refused.problem(429, "rate_limited");
    drop(super::gateway(&engine, &calm).await);
    until_state(&client, &calm, "offline").await;
}
