//! API §7: workspaces and their templates.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Engine, client::text};

#[tokio::test]
async fn a_workspace_is_made_listed_changed_and_deleted() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "shop", "name": "Shop", "retention_days": 10 });
    let made = client.post("/v1/workspaces", &body).await.ok(201).data();
    insta::assert_json_snapshot!(made, {
        ".id" => "ws_…", ".tenant" => "ten_…", ".created_at" => "…", ".updated_at" => "…",
    }, @r#"
    {
      "created_at": "…",
      "id": "ws_…",
      "name": "Shop",
      "retention_days": 10,
      "slug": "shop",
      "template": null,
      "tenant": "ten_…",
      "updated_at": "…",
      "version": 1
    }
    "#);
    let path = format!("/v1/workspaces/{}", text(&made, "id"));
    let changed = client
        .call(Method::PATCH, &path)
        .json(&json!({ "name": "Store" }))
        .await;
    assert_eq!(changed.ok(200).data()["name"], "Store");
    let listed = client.every_page("/v1/workspaces?limit=1").await;
    let slugs: Vec<_> = listed
        .iter()
        .map(|workspace| text(workspace, "slug"))
        .collect();
    assert_eq!(slugs, ["default", "shop"]);
    client.call(Method::DELETE, &path).await.ok(204);
    client.get(&path).await.problem(404, "not_found");
    let event = json!({ "type": "a", "payload": 1, "workspace": "shop" });
    client
        .post("/v1/events", &event)
        .await
        .problem(422, "invalid_field");
}

#[tokio::test]
async fn a_slug_names_one_workspace() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "shop", "name": "Shop" });
    client.post("/v1/workspaces", &body).await.ok(201);
    client
        .post("/v1/workspaces", &body)
        .await
        .problem(409, "conflict");
    let other = engine.tenant("other", "growth").await.client;
    other.post("/v1/workspaces", &body).await.ok(201);
}

#[tokio::test]
async fn wrong_workspaces_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let client = engine.client();
    for (body, code, pointer) in [
        (json!({}), "invalid_field", "/slug"),
        (json!({ "slug": "Two Words" }), "invalid_field", "/slug"),
        (json!({ "slug": "a", "name": 1 }), "invalid_field", "/name"),
        (
            json!({ "slug": "a", "retention_days": 0 }),
            "invalid_field",
            "/retention_days",
        ),
        (
            json!({ "slug": "a", "colour": 1 }),
            "unknown_field",
            "/colour",
        ),
    ] {
        let problem = client
            .post("/v1/workspaces", &body)
            .await
            .problem(422, code);
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
}

#[tokio::test]
async fn a_change_of_an_old_version_is_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = client
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201)
        .data();
    let path = format!("/v1/workspaces/{}", text(&made, "id"));
    let first = client.get(&path).await.header("etag").unwrap().to_owned();
    let patch = || {
        let call = client.call(Method::PATCH, &path).header("if-match", &first);
        call.json(&json!({ "name": "x" }))
    };
    patch().await.ok(200);
    patch().await.problem(412, "version_mismatch");
    let delete = client
        .call(Method::DELETE, &path)
        .header("if-match", &first);
    delete.await.problem(412, "version_mismatch");
    let template = client.call(Method::PUT, &format!("{path}/template"));
    let template = template.header("if-match", &first).json(&json!({}));
    template.await.problem(412, "version_mismatch");
}

#[tokio::test]
async fn a_template_is_set_read_and_removed() {
    let engine = Engine::start().await;
    let client = engine.client();
    let workspace = client
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201)
        .data();
    let path = format!("/v1/workspaces/{}/template", text(&workspace, "id"));
    client.get(&path).await.problem(404, "not_found");
    let template = json!({ "required_payload_keys": ["amount"] });
    client
        .call(Method::PUT, &path)
        .json(&template)
        .await
        .ok(200);
    let read = client.get(&path).await.ok(200).data();
    assert_eq!(read["required_payload_keys"], json!(["amount"]));
    let event = json!({ "type": "a", "payload": {}, "workspace": "shop" });
    client
        .post("/v1/events", &event)
        .await
        .problem(422, "template_violation");
    client.call(Method::DELETE, &path).await.ok(204);
    client.post("/v1/events", &event).await.ok(202);
}

#[tokio::test]
async fn wrong_templates_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let client = engine.client();
    let workspace = client
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201)
        .data();
    let path = format!("/v1/workspaces/{}/template", text(&workspace, "id"));
    for (body, code, pointer) in [
        (
            json!({ "required_actor_fields": ["shoe"] }),
            "invalid_field",
            "/required_actor_fields",
        ),
        (
            json!({ "required_payload_keys": "amount" }),
            "invalid_field",
            "/required_payload_keys",
        ),
        (
            json!({ "retention_days": 0 }),
            "invalid_field",
            "/retention_days",
        ),
        (
            json!({ "require_project": "yes" }),
            "invalid_field",
            "/require_project",
        ),
        (json!({ "colour": 1 }), "unknown_field", "/colour"),
    ] {
        let problem = client
            .call(Method::PUT, &path)
            .json(&body)
            .await
            .problem(422, code);
        let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(found.starts_with(pointer), "{body}: {problem}");
    }
}

#[tokio::test]
async fn regions_are_listed() {
    let engine = Engine::start().await;
    let regions = engine.client().get("/v1/regions").await.ok(200);
    for region in ["AU", "US", "EU", "APAC"] {
        assert!(
            regions.text().contains(&format!("\"{region}\"")),
            "{}",
            regions.text()
        );
    }
}

#[tokio::test]
async fn what_was_done_is_in_the_audit_log() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = client
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201)
        .data();
    let webhook = json!({ "url": "https://example.com" });
    client.post("/v1/webhooks", &webhook).await.ok(201);
    client
        .post("/v1/keys", &json!({ "name": "k" }))
        .await
        .ok(201);
    let entries = client.every_page("/v1/audit-logs").await;
    let actions: Vec<_> = entries.iter().map(|entry| text(entry, "action")).collect();
    for action in ["workspace.created", "webhook.created", "key.created"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    let is_it = |entry: &&Value| entry["resource_id"] == made["id"];
    let entry = entries.iter().find(is_it).expect("it names the workspace");
    assert!(text(entry, "actor").starts_with("key_"), "{entry}");
    assert_eq!(text(entry, "ip"), "127.0.0.1");
}
