//! API §7: keys as resources.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, client::text};

/// Makes a key; answers a client that has it, and what was answered.
pub(crate) async fn make(client: &Client, body: Value) -> (Client, Value) {
    let made = client.post("/v1/keys", &body).await.ok(201).data();
    (client.with_key(text(&made, "key")), made)
}

#[tokio::test]
async fn a_key_is_shown_when_it_is_made_and_never_again() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "name": "ci", "permissions": ["events:read"] });
    let (_, made) = make(&client, body).await;
    insta::assert_json_snapshot!(made, {
        ".id" => "key_…", ".key" => "ak_…", ".prefix" => "…", ".created_at" => "…",
    }, @r#"
    {
      "created_at": "…",
      "expires_at": null,
      "grace_until": null,
      "id": "key_…",
      "ip_allow": [],
      "key": "ak_…",
      "last_used_at": null,
      "name": "ci",
      "permissions": [
        "events:read"
      ],
      "prefix": "…",
      "revoked_at": null,
      "scope": "tenant",
      "state": "active",
      "tier": "NONE",
      "version": 1,
      "workspace": null
    }
    "#);
    let key = text(&made, "key");
    assert!(
        key.starts_with("ak_default_") && key.len() == "ak_default_".len() + 64,
        "{key}"
    );
    let path = format!("/v1/keys/{}", text(&made, "id"));
    for path in [path.as_str(), "/v1/keys"] {
        assert!(!client.get(path).await.ok(200).text().contains(key));
    }
}

#[tokio::test]
async fn a_key_is_listed_changed_and_revoked() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (holder, made) = make(
        &client,
        json!({ "name": "a", "permissions": ["events:read"] }),
    )
    .await;
    let path = format!("/v1/keys/{}", text(&made, "id"));
    holder.get("/v1/events").await.ok(200);
    let patch = json!({ "name": "b", "permissions": ["events:write"] });
    let changed = client
        .call(Method::PATCH, &path)
        .json(&patch)
        .await
        .ok(200)
        .data();
    assert_eq!(changed["name"], "b");
    holder
        .get("/v1/events")
        .await
        .problem(403, "permission_denied");
    assert_eq!(client.every_page("/v1/keys?limit=1").await.len(), 2);
    client.call(Method::DELETE, &path).await.ok(204);
    holder.get("/v1/events").await.problem(401, "revoked_key");
}

#[tokio::test]
async fn a_change_of_an_old_version_is_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (_, made) = make(&client, json!({ "name": "a" })).await;
    let path = format!("/v1/keys/{}", text(&made, "id"));
    let first = client.get(&path).await.header("etag").unwrap().to_owned();
    let patch = || {
        let call = client.call(Method::PATCH, &path).header("if-match", &first);
        call.json(&json!({ "name": "b" }))
    };
    patch().await.ok(200);
    patch().await.problem(412, "version_mismatch");
    let delete = client
        .call(Method::DELETE, &path)
        .header("if-match", &first);
    delete.await.problem(412, "version_mismatch");
}

#[tokio::test]
async fn a_rotated_key_works_until_its_grace_is_over() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (old, made) = make(
        &client,
        json!({ "name": "a", "permissions": ["events:read"] }),
    )
    .await;
    let path = format!("/v1/keys/{}/rotate", text(&made, "id"));
    let body = json!({ "grace_seconds": 3600 });
    let rotated = client.post(&path, &body).await.ok(201).data();
    let new = client.with_key(text(&rotated, "key"));
    old.get("/v1/events").await.ok(200);
    new.get("/v1/events").await.ok(200);
    new.get("/v1/keys").await.problem(403, "permission_denied");

    let path = format!("/v1/keys/{}/rotate", text(&rotated, "id"));
    let newest = client
        .post(&path, &json!({ "grace_seconds": 0 }))
        .await
        .ok(201)
        .data();
    new.get("/v1/events").await.problem(401, "revoked_key");
    client
        .with_key(text(&newest, "key"))
        .get("/v1/events")
        .await
        .ok(200);
}

#[tokio::test]
async fn wrong_keys_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let client = engine.client();
    for (body, code, pointer) in [
        (json!({}), "invalid_field", "/name"),
        (json!({ "name": 1 }), "invalid_field", "/name"),
        (
            json!({ "name": "a", "scope": "everything!" }),
            "invalid_field",
            "/scope",
        ),
        (
            json!({ "name": "a", "permissions": ["events:fly"] }),
            "invalid_field",
            "/permissions/0",
        ),
        (
            json!({ "name": "a", "permissions": "*" }),
            "invalid_field",
            "/permissions",
        ),
        (
            json!({ "name": "a", "permissions": [] }),
            "invalid_field",
            "/permissions",
        ),
        (
            json!({ "name": "a", "tier": "GOLD" }),
            "invalid_field",
            "/tier",
        ),
        (
            json!({ "name": "a", "ip_allow": ["nowhere"] }),
            "invalid_field",
            "/ip_allow/0",
        ),
        (
            json!({ "name": "a", "expires_at": "2000-01-01T00:00:00Z" }),
            "invalid_field",
            "/expires_at",
        ),
        (
            json!({ "name": "a", "expires_at": "soon" }),
            "invalid_field",
            "/expires_at",
        ),
        (
            json!({ "name": "a", "colour": "red" }),
            "unknown_field",
            "/colour",
        ),
    ] {
        let problem = client.post("/v1/keys", &body).await.problem(422, code);
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    let call = client
        .call(Method::POST, "/v1/keys")
        .body("application/json", "{");
    call.await.problem(400, "malformed_json");
    for id in ["key_00000000000000000000000000000000", "x"] {
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .problem(404, "not_found");
    }
}
