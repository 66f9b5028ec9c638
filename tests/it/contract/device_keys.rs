//! What a key has to be allowed for devices.

use reqwest::Method;
use serde_json::json;

use super::{devices::made, key_rules::each_needs_its_permission, keys::make};
use crate::harness::{Engine, Gateway, client::text};

/// Calls, with the permission that each needs.
const CALLS: &[(&str, &str, &str)] = &[
    ("devices:read", "GET", "/v1/devices"),
    ("devices:read", "GET", "/v1/devices/dev_{id}"),
    ("devices:manage", "POST", "/v1/devices"),
    ("devices:manage", "PATCH", "/v1/devices/dev_{id}"),
    ("devices:manage", "DELETE", "/v1/devices/dev_{id}"),
    ("devices:manage", "POST", "/v1/devices/dev_{id}/disconnect"),
    (
        "devices:manage",
        "POST",
        "/v1/devices/dev_{id}/groups/create",
    ),
    (
        "devices:manage",
        "GET",
        "/v1/devices/dev_{id}/groups/1@g.us",
    ),
    (
        "devices:manage",
        "POST",
        "/v1/devices/dev_{id}/groups/1@g.us/participants/add",
    ),
    (
        "devices:manage",
        "POST",
        "/v1/devices/dev_{id}/groups/1@g.us/participants/remove",
    ),
    (
        "devices:manage",
        "GET",
        "/v1/devices/dev_{id}/privacy/settings",
    ),
    (
        "devices:manage",
        "POST",
        "/v1/devices/dev_{id}/privacy/settings",
    ),
    (
        "devices:manage",
        "POST",
        "/v1/devices/dev_{id}/history/sync",
    ),
    ("devices:connect", "GET", "/v1/devices/dev_{id}/credentials"),
    ("devices:connect", "PUT", "/v1/devices/dev_{id}/credentials"),
    ("devices:connect", "GET", "/v1/devices/dev_{id}/session"),
    ("events:read", "GET", "/v1/devices/dev_{id}/events"),
    ("events:read", "GET", "/v1/devices/dev_{id}/messages"),
    ("devices:send", "POST", "/v1/devices/dev_{id}/messages"),
];

#[tokio::test]
async fn every_call_of_a_device_needs_its_permission_and_no_other() {
    let engine = Engine::start().await;
    each_needs_its_permission(&engine.client(), CALLS).await;
}

#[tokio::test]
async fn who_may_handle_devices_may_see_them() {
    let engine = Engine::start().await;
    let body = json!({ "name": "m", "permissions": ["devices:manage"] });
    let (manager, _) = make(&engine.client(), body).await;
    manager.get("/v1/devices").await.ok(200);
}

#[tokio::test]
async fn what_a_device_sent_and_got_for_another_workspace_is_not_shown_to_the_new_ones_keys() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "own", "name": "Own" });
    let workspace = client.post("/v1/workspaces", &body).await.ok(201).data();
    let body = json!({ "name": "k", "scope": workspace["id"], "permissions": ["*"] });
    let (own, _) = make(&client, body).await;
    let device = made(&client).await;
    let path = format!("/v1/devices/{device}");
    let came = async |id: &str| {
        let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
        let key = json!({ "chat": "c@g.us", "sender": "s", "id": id });
        let event = json!({ "type": "message.received", "key": key, "data": { "text": id } });
        gateway.event(event).await;
    };
    came("before").await;
    let messages = format!("{path}/messages");
    let unsent = client.post(&messages, &json!({ "to": "c@g.us", "text": "x" }));
    unsent.await.problem(409, "device_offline");
    let there = client.call(Method::PATCH, &path);
    there.json(&json!({ "workspace": "own" })).await.ok(200);
    assert!(own.every_page(&messages).await.is_empty());
    came("after").await;
    let shown = own.every_page(&messages).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(text(&shown[0], "message_id"), "after");
    let events = format!("{path}/events?type=message.*");
    assert_eq!(own.every_page(&events).await.len(), 1);
    assert_eq!(client.every_page(&messages).await.len(), 3);
}
