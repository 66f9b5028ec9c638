//! What a key has to be allowed for devices.

use serde_json::json;

use super::{key_rules::each_needs_its_permission, keys::make};
use crate::harness::Engine;

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
