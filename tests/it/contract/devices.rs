//! API §8: devices as resources. What goes through them stands in the files beside.

use reqwest::Method;
use serde_json::{Value, json};

use super::keys;
use crate::harness::{
    Client, Engine, Gateway, Settings,
    client::{Call, number, text},
    until,
};

/// Makes a device; answers it.
pub(crate) async fn make(client: &Client, body: Value) -> Value {
    client.post("/v1/devices", &body).await.ok(201).data()
}

/// Makes a device with nothing but a name; answers its id.
pub(crate) async fn made(client: &Client) -> String {
    let device = make(client, json!({ "name": "phone" })).await;
    text(&device, "id").to_owned()
}

/// Waits until a device stands as wanted, and answers it.
pub(crate) async fn until_state(client: &Client, device: &str, state: &str) -> Value {
    let path = format!("/v1/devices/{device}");
    until("the device is in that state", async || {
        let device = client.get(&path).await.ok(200).data();
        (device["state"] == state).then_some(device)
    })
    .await
}

#[tokio::test]
async fn a_device_is_made_with_its_defaults() {
    let engine = Engine::start().await;
    let answer = engine
        .client()
        .post("/v1/devices", &json!({ "name": "Shop phone" }))
        .await
        .ok(201);
    assert_eq!(answer.header("etag"), Some("\"v1\""));
    let made = answer.data();
    insta::assert_json_snapshot!(made, {
        ".id" => "dev_…", ".workspace" => "ws_…", ".created_at" => "…", ".updated_at" => "…",
    }, @r#"
    {
      "connector": "gateway",
      "created_at": "…",
      "fence": 0,
      "gateway": null,
      "id": "dev_…",
      "last_seen_at": null,
      "name": "Shop phone",
      "owner": null,
      "reason": null,
      "settings": {},
      "state": "offline",
      "updated_at": "…",
      "version": 1,
      "workspace": "ws_…"
    }
    "#);
    assert!(text(&made, "id").starts_with("dev_"));
}

#[tokio::test]
async fn a_device_is_read_listed_changed_and_deleted() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "name": "one", "connector": "baileys", "settings": { "proxy": [1, 2] } });
    let made = make(&client, body).await;
    let path = format!("/v1/devices/{}", text(&made, "id"));
    assert_eq!(client.get(&path).await.ok(200).data(), made);
    assert_eq!(client.every_page("/v1/devices").await, [made]);

    let patch = |body: Value| client.call(Method::PATCH, &path).json(&body);
    let patched = patch(json!({ "name": "two" })).await.ok(200).data();
    assert_eq!(patched["name"], "two");
    assert_eq!(patched["connector"], "baileys", "PATCH leaves the rest");
    assert_eq!(patched["settings"], json!({ "proxy": [1, 2] }));
    assert_eq!(patched["version"], 2);
    let reset = json!({ "settings": null, "connector": null });
    let reset = patch(reset).await.ok(200).data();
    assert_eq!(reset["settings"], json!({}), "null brings the default back");
    assert_eq!(reset["connector"], "gateway");

    client.call(Method::DELETE, &path).await.ok(204);
    client.get(&path).await.problem(404, "not_found");
    let again = client.call(Method::DELETE, &path).await;
    again.problem(404, "not_found");
    assert!(client.every_page("/v1/devices").await.is_empty());
}

#[tokio::test]
async fn lists_of_devices_have_pages() {
    let engine = Engine::start().await;
    let client = engine.client();
    let mut made_ids = Vec::new();
    for _ in 0..5 {
        made_ids.push(made(&client).await);
    }
    let listed = client.every_page("/v1/devices?limit=2").await;
    let ids: Vec<&str> = listed.iter().map(|device| text(device, "id")).collect();
    assert_eq!(ids, made_ids, "in the order in which they were made");
    let wrong = client.get("/v1/devices?cursor=nonsense").await;
    wrong.problem(400, "bad_request");
    let wrong = client.get("/v1/devices?limit=501").await;
    wrong.problem(400, "bad_request");
}

#[tokio::test]
async fn a_change_of_an_old_version_of_a_device_is_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let path = format!("/v1/devices/{}", made(&client).await);
    let patch = |tag: &str, name: &str| {
        let call = client.call(Method::PATCH, &path).header("if-match", tag);
        call.json(&json!({ "name": name }))
    };
    patch("\"v1\"", "two").await.ok(200);
    patch("\"v1\"", "three")
        .await
        .problem(412, "version_mismatch");
    let delete = client
        .call(Method::DELETE, &path)
        .header("if-match", "\"v1\"");
    delete.await.problem(412, "version_mismatch");
    patch("*", "four").await.ok(200);
    let device = client.get(&path).await.ok(200);
    assert_eq!(device.data()["name"], "four");
    let delete = client
        .call(Method::DELETE, &path)
        .header("if-match", device.header("etag").unwrap());
    delete.await.ok(204);
}

#[tokio::test]
async fn a_device_that_is_wrongly_described_is_refused_member_by_member() {
    let engine = Engine::start().await;
    let client = engine.client();
    let long = "x".repeat(101);
    let fat = json!({ "a": "x".repeat(17_000) });
    for (body, pointer, code) in [
        (json!({}), "/name", "invalid_field"),
        (json!({ "name": "" }), "/name", "invalid_field"),
        (json!({ "name": 7 }), "/name", "invalid_field"),
        (json!({ "name": long }), "/name", "invalid_field"),
        (json!({ "name": "a\nb" }), "/name", "invalid_field"),
        (
            json!({ "name": "a", "connector": "What's App" }),
            "/connector",
            "invalid_field",
        ),
        (
            json!({ "name": "a", "settings": [] }),
            "/settings",
            "invalid_field",
        ),
        (
            json!({ "name": "a", "settings": fat }),
            "/settings",
            "invalid_field",
        ),
        (
            json!({ "name": "a", "workspace": "nowhere" }),
            "/workspace",
            "invalid_field",
        ),
        (
            json!({ "name": "a", "state": "connected" }),
            "/state",
            "unknown_field",
        ),
    ] {
        let problem = client.post("/v1/devices", &body).await.problem(422, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let call = client.call(Method::POST, "/v1/devices");
    let answer = call.body("application/json", "{\"name\":").await;
    answer.problem(400, "malformed_json");
    let list = client.post("/v1/devices", &json!([])).await;
    list.problem(422, "invalid_field");
    assert!(client.every_page("/v1/devices").await.is_empty());
}

#[tokio::test]
async fn the_number_of_devices_is_the_plans() {
    let settings = Settings::default().with("TRUNKLINE__PLANS__FREE__DEVICES", "2");
    let engine = Engine::start_with(settings).await;
    let client = engine.tenant("small", "free").await.client;
    let first = made(&client).await;
    made(&client).await;
    let body = json!({ "name": "third" });
    let answer = client.post("/v1/devices", &body).await;
    answer.problem(403, "plan_required");
    let path = format!("/v1/devices/{first}");
    client.call(Method::DELETE, &path).await.ok(204);
    make(&client, body).await;
}

#[tokio::test]
async fn a_device_is_made_once_for_each_idempotency_key() {
    let engine = Engine::start().await;
    let client = engine.client();
    let post = |name: &str| {
        let call = client.post("/v1/devices", &json!({ "name": name }));
        call.header("idempotency-key", "one")
    };
    let first = post("a").await.ok(201);
    let again = post("a").await.ok(201);
    assert_eq!(first.data(), again.data());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    post("b").await.problem(422, "idempotency_mismatch");
    assert_eq!(client.every_page("/v1/devices").await.len(), 1);
}

#[tokio::test]
async fn a_workspace_key_sees_and_makes_devices_of_its_workspace_only() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "own", "name": "Own" });
    let workspace = client.post("/v1/workspaces", &body).await.ok(201).data();
    let workspace = text(&workspace, "id");
    let body = json!({ "name": "k", "scope": workspace, "permissions": ["*"] });
    let (own, _) = keys::make(&client, body).await;
    let elsewhere = made(&client).await;
    let inside = make(&own, json!({ "name": "in" })).await;
    assert_eq!(inside["workspace"], workspace);
    assert_eq!(
        own.every_page("/v1/devices").await,
        std::slice::from_ref(&inside)
    );
    assert_eq!(client.every_page("/v1/devices").await.len(), 2);
    for (method, path) in CALLS {
        let path = path.replace("{device}", &elsewhere);
        bare_call(&own, method, &path)
            .await
            .problem(404, "not_found");
    }
    let body = json!({ "name": "out", "workspace": "default" });
    let answer = own.post("/v1/devices", &body).await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text());
    let move_out = own.call(
        Method::PATCH,
        &format!("/v1/devices/{}", text(&inside, "id")),
    );
    let answer = move_out.json(&json!({ "workspace": "default" })).await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text());
}

/// Calls about one device.
pub(crate) const CALLS: &[(&str, &str)] = &[
    ("GET", "/v1/devices/{device}"),
    ("PATCH", "/v1/devices/{device}"),
    ("POST", "/v1/devices/{device}/disconnect"),
    ("GET", "/v1/devices/{device}/credentials"),
    ("PUT", "/v1/devices/{device}/credentials"),
    ("GET", "/v1/devices/{device}/events"),
    ("GET", "/v1/devices/{device}/messages"),
    ("POST", "/v1/devices/{device}/messages"),
    ("POST", "/v1/devices/{device}/groups/create"),
    ("GET", "/v1/devices/{device}/groups/1@g.us"),
    (
        "POST",
        "/v1/devices/{device}/groups/1@g.us/participants/add",
    ),
    (
        "POST",
        "/v1/devices/{device}/groups/1@g.us/participants/remove",
    ),
    ("GET", "/v1/devices/{device}/privacy/settings"),
    ("POST", "/v1/devices/{device}/privacy/settings"),
    ("POST", "/v1/devices/{device}/history/sync"),
    ("DELETE", "/v1/devices/{device}"),
];

/// A call that says as little as may be said.
pub(crate) fn bare_call(client: &Client, method: &str, path: &str) -> Call {
    let method: Method = method.parse().expect("a method");
    let call = client.call(method.clone(), path);
    if method == Method::GET {
        call
    } else if method == Method::PUT {
        call.header("if-match", "0").json(&json!({}))
    } else {
        call.json(&json!({}))
    }
}

#[tokio::test]
async fn a_device_shows_how_its_session_stands() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut gateway = Gateway::connect(client.base(), engine.key(), &device).await;
    let connecting = until_state(&client, &device, "connecting").await;
    assert_eq!(number(&connecting, "fence"), gateway.fence);
    assert_eq!(connecting["gateway"], "test/1");
    assert!(connecting["owner"].is_string(), "{connecting}");
    assert_eq!(
        connecting["version"], 1,
        "a session changes nothing of its owner's"
    );

    let pairing = json!({ "kind": "state", "state": "pairing", "qr": "2@scan-me" });
    gateway.say(&pairing).await;
    let pairing = until_state(&client, &device, "pairing").await;
    assert_eq!(pairing["qr"], "2@scan-me");
    let body = json!({ "name": "reader", "permissions": ["devices:read"] });
    let (reader, _) = keys::make(&client, body).await;
    let seen = until_state(&reader, &device, "pairing").await;
    assert_eq!(seen.get("qr"), None, "who only reads pairs nothing");

    gateway
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    let connected = until_state(&client, &device, "connected").await;
    assert_eq!(connected.get("qr"), None);
    assert!(connected["last_seen_at"].is_string());
    drop(gateway);
    let offline = until_state(&client, &device, "offline").await;
    assert_eq!(offline["owner"], Value::Null);
    assert_eq!(offline["reason"], "connection_lost");
}

#[tokio::test]
async fn an_operator_ends_a_session() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let path = format!("/v1/devices/{device}/disconnect");
    let none = client.post(&path, &json!({})).await.ok(200).data();
    assert_eq!(none["disconnected"], false);
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    until_state(&client, &device, "connected").await;
    let done = client.post(&path, &json!({})).await.ok(200).data();
    assert_eq!(done["disconnected"], true);
    assert_eq!(gateway.expect("bye").await["reason"], "revoked");
    let offline = until_state(&client, &device, "offline").await;
    assert_eq!(offline["reason"], "disconnected");
    let unknown = client.post(&path, &json!({ "force": true })).await;
    unknown.problem(422, "unknown_field");
}

#[tokio::test]
async fn a_deleted_device_has_no_session() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    let path = format!("/v1/devices/{device}");
    client.call(Method::DELETE, &path).await.ok(204);
    assert_eq!(gateway.expect("bye").await["reason"], "revoked");
    let refused = Gateway::try_connect(client.base(), engine.key(), &device).await;
    assert_eq!(refused.unwrap_err(), 404);
}
