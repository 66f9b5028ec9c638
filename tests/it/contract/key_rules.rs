//! What a key may do: permissions, workspaces, addresses, expiry, tiers.

use reqwest::Method;
use serde_json::json;

use super::keys::make;
use crate::harness::{
    Client, Engine, Settings,
    client::{number, text},
    until,
};

/// Stands for `{id}`, and names nothing.
pub(crate) const NO_ID: &str = "00000000000000000000000000000000";

/// Calls, with the permission that each needs.
const CALLS: &[(&str, &str, &str)] = &[
    ("events:write", "POST", "/v1/events"),
    ("events:read", "GET", "/v1/events"),
    ("events:read", "GET", "/v1/events/evt_{id}"),
    ("events:read", "GET", "/v1/events/evt_{id}/proof"),
    ("events:read", "GET", "/v1/events/tail"),
    ("events:export", "GET", "/v1/events/export.json"),
    ("events:export", "GET", "/v1/events/export.csv"),
    ("events:export", "GET", "/v1/events/export.ndjson"),
    ("events:read", "GET", "/v1/inbox"),
    ("events:ack", "POST", "/v1/events/evt_{id}/ack"),
    ("events:ack", "POST", "/v1/inbox/ack"),
    ("events:ack", "POST", "/v1/inbox/seek"),
    ("webhooks:read", "GET", "/v1/webhooks"),
    ("webhooks:read", "GET", "/v1/webhooks/wh_{id}"),
    ("webhooks:read", "GET", "/v1/dead-letters"),
    ("webhooks:manage", "POST", "/v1/webhooks"),
    ("webhooks:manage", "PUT", "/v1/webhooks/wh_{id}"),
    ("webhooks:manage", "PATCH", "/v1/webhooks/wh_{id}"),
    ("webhooks:manage", "DELETE", "/v1/webhooks/wh_{id}"),
    ("webhooks:manage", "POST", "/v1/webhooks/wh_{id}/test"),
    ("webhooks:manage", "POST", "/v1/webhooks/wh_{id}/pause"),
    ("webhooks:manage", "POST", "/v1/webhooks/wh_{id}/resume"),
    (
        "webhooks:manage",
        "POST",
        "/v1/webhooks/wh_{id}/rotate-secret",
    ),
    ("webhooks:manage", "POST", "/v1/webhooks/wh_{id}/replay"),
    ("keys:read", "GET", "/v1/keys"),
    ("keys:manage", "POST", "/v1/keys"),
    ("keys:manage", "PATCH", "/v1/keys/key_{id}"),
    ("keys:manage", "DELETE", "/v1/keys/key_{id}"),
    ("keys:manage", "POST", "/v1/keys/key_{id}/rotate"),
    ("workspaces:read", "GET", "/v1/workspaces"),
    (
        "workspaces:read",
        "GET",
        "/v1/workspaces/ws_{id}/checkpoint",
    ),
    ("workspaces:manage", "POST", "/v1/workspaces"),
    ("workspaces:manage", "PATCH", "/v1/workspaces/ws_{id}"),
    ("workspaces:manage", "DELETE", "/v1/workspaces/ws_{id}"),
    (
        "workspaces:manage",
        "PUT",
        "/v1/workspaces/ws_{id}/template",
    ),
    ("audit:read", "GET", "/v1/audit-logs"),
];

#[tokio::test]
async fn every_call_needs_its_permission_and_no_other() {
    let engine = Engine::start().await;
    each_needs_its_permission(&engine.client(), CALLS).await;
}

/// Makes each call without and with the permission that it needs.
pub(crate) async fn each_needs_its_permission(client: &Client, calls: &[(&str, &str, &str)]) {
    let lacking = json!({ "name": "stranger", "permissions": ["usage:read"] });
    let (stranger, _) = make(client, lacking).await;
    for (permission, method, path) in calls {
        let (method, path): (Method, _) = (
            method.parse().expect("a method"),
            path.replace("{id}", NO_ID),
        );
        let answer = stranger.call(method.clone(), &path).json(&json!({})).await;
        let problem = answer.problem(403, "permission_denied");
        assert!(
            problem.to_string().contains(permission),
            "{path} wants {permission}: {problem}"
        );
        let enough = json!({ "name": permission, "permissions": [permission] });
        let (holder, _) = make(client, enough).await;
        if path == "/v1/events/tail" {
            holder.tail("", None).await;
            continue;
        }
        let answer = holder.call(method.clone(), &path).json(&json!({})).await;
        assert!(
            !matches!(answer.status, 401 | 403 | 500..),
            "{method} {path}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn an_area_and_the_star_grant_all_that_they_cover() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (area, _) = make(
        &client,
        json!({ "name": "area", "permissions": ["events:*"] }),
    )
    .await;
    area.get("/v1/events").await.ok(200);
    area.send_event(&json!({ "type": "a", "payload": 1 })).await;
    area.get("/v1/webhooks")
        .await
        .problem(403, "permission_denied");
    let (star, _) = make(&client, json!({ "name": "star", "permissions": ["*"] })).await;
    star.get("/v1/webhooks").await.ok(200);
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let engine = Engine::start().await;
    let body = json!({ "name": "k", "permissions": ["keys:*", "events:read"] });
    let (limited, _) = make(&engine.client(), body).await;
    make(
        &limited,
        json!({ "name": "ok", "permissions": ["events:read"] }),
    )
    .await;
    for permissions in [json!(["*"]), json!(["events:*"]), json!(["events:write"])] {
        let body = json!({ "name": "more", "permissions": permissions });
        limited
            .post("/v1/keys", &body)
            .await
            .problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn nobody_gets_more_by_rotating_a_stronger_key() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (_, strong) = make(&client, json!({ "name": "strong", "permissions": ["*"] })).await;
    let (weak, _) = make(
        &client,
        json!({ "name": "weak", "permissions": ["keys:*"] }),
    )
    .await;
    let path = format!("/v1/keys/{}/rotate", text(&strong, "id"));
    weak.post(&path, &json!({}))
        .await
        .problem(403, "permission_denied");
}

async fn confined(client: &Client) -> (Client, String) {
    let body = json!({ "slug": "own", "name": "Own" });
    let workspace = client.post("/v1/workspaces", &body).await.ok(201).data();
    let id = text(&workspace, "id").to_owned();
    let (own, _) = make(
        client,
        json!({ "name": "own", "scope": id, "permissions": ["*"] }),
    )
    .await;
    (own, id)
}

#[tokio::test]
async fn a_workspace_key_sees_its_workspace_and_implies_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (own, id) = confined(&client).await;
    let elsewhere = client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let receipt = own.send_event(&json!({ "type": "a", "payload": 2 })).await;
    assert_eq!(receipt["workspace"], id.as_str());
    assert_eq!(own.every_page("/v1/events").await.len(), 1);
    assert_eq!(own.every_page("/v1/workspaces").await.len(), 1);
    let elsewhere = text(&elsewhere, "id");
    for path in [
        format!("/v1/events/{elsewhere}"),
        format!("/v1/events/{elsewhere}/proof"),
        "/v1/events?workspace=default".to_owned(),
        "/v1/events/tail?workspace=default".to_owned(),
        "/v1/events/export.json?workspace=default".to_owned(),
        "/v1/workspaces/default".to_owned(),
    ] {
        own.get(&path).await.problem(404, "not_found");
    }
    own.post(&format!("/v1/events/{elsewhere}/ack"), &json!({}))
        .await
        .problem(404, "not_found");
    let exported = own.get("/v1/events/export.ndjson").await.ok(200).text();
    assert!(!exported.contains(elsewhere));
}

#[tokio::test]
async fn a_workspace_key_reaches_no_other_workspaces_things() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (own, id) = confined(&client).await;
    let event = json!({ "type": "a", "payload": 1, "workspace": "default" });
    let answer = own.post("/v1/events", &event).await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text());
    let webhook = json!({ "url": "https://example.com" });
    let tenants = client.post("/v1/webhooks", &webhook).await.ok(201).data();
    let path = format!("/v1/webhooks/{}", text(&tenants, "id"));
    own.get(&path).await.problem(404, "not_found");
    own.call(Method::DELETE, &path)
        .await
        .problem(404, "not_found");
    let made = own.post("/v1/webhooks", &webhook).await.ok(201).data();
    assert_eq!(
        made["workspace"],
        id.as_str(),
        "its webhooks are its workspace's"
    );
    assert_eq!(own.every_page("/v1/webhooks").await.len(), 1);
    let (_, key) = make(&client, json!({ "name": "tenants", "permissions": ["*"] })).await;
    own.get(&format!("/v1/keys/{}", text(&key, "id")))
        .await
        .problem(404, "not_found");
    let (_, child) = make(&own, json!({ "name": "child" })).await;
    assert_eq!(child["scope"], id.as_str());
    own.post("/v1/keys", &json!({ "name": "out", "scope": "tenant" }))
        .await
        .problem(403, "permission_denied");
}

#[tokio::test]
async fn a_key_is_bound_to_its_addresses() {
    let settings = Settings::default().with("TRUNKLINE__SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let (far, _) = make(
        &client,
        json!({ "name": "far", "ip_allow": ["192.0.2.0/24"] }),
    )
    .await;
    far.get("/v1/events").await.problem(403, "ip_not_allowed");
    let call = far.get("/v1/events").header("x-forwarded-for", "192.0.2.7");
    call.await.ok(200);
    let call = far
        .get("/v1/events")
        .header("x-forwarded-for", "192.0.2.7, 198.51.100.1");
    call.await.problem(403, "ip_not_allowed");
}

#[tokio::test]
async fn a_confined_key_makes_only_keys_that_are_as_confined() {
    let engine = Engine::start().await;
    let body = json!({
        "name": "near", "permissions": ["*"], "ip_allow": ["127.0.0.0/8"], "expires_at": "2090-01-01T00:00:00Z",
    });
    let (near, _) = make(&engine.client(), body).await;
    let until = "2089-01-01T00:00:00Z";
    for body in [
        json!({ "name": "a" }),
        json!({ "name": "a", "ip_allow": ["127.0.0.1"] }),
        json!({ "name": "a", "expires_at": until }),
        json!({ "name": "a", "expires_at": until, "ip_allow": ["0.0.0.0/0"] }),
        json!({ "name": "a", "expires_at": "2091-01-01T00:00:00Z", "ip_allow": ["127.0.0.1"] }),
    ] {
        near.post("/v1/keys", &body)
            .await
            .problem(403, "permission_denied");
    }
    let body = json!({ "name": "a", "expires_at": until, "ip_allow": ["127.0.0.1"] });
    near.post("/v1/keys", &body).await.ok(201);
}

#[tokio::test]
async fn a_key_in_its_grace_period_makes_no_key_that_outlives_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (old, made) = make(&client, json!({ "name": "old", "permissions": ["*"] })).await;
    let path = format!("/v1/keys/{}/rotate", text(&made, "id"));
    let rotated = client.post(&path, &json!({ "grace_seconds": 3_600 })).await;
    assert!(matches!(rotated.status, 200 | 201), "{}", rotated.text());
    for body in [
        json!({ "name": "a" }),
        json!({ "name": "a", "expires_at": "2090-01-01T00:00:00Z" }),
    ] {
        old.post("/v1/keys", &body)
            .await
            .problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn a_forwarded_address_counts_only_if_its_proxy_is_trusted() {
    let engine = Engine::start().await;
    let body = json!({ "name": "far", "ip_allow": ["192.0.2.0/24"] });
    let (far, _) = make(&engine.client(), body).await;
    let call = far.get("/v1/events").header("x-forwarded-for", "192.0.2.7");
    call.await.problem(403, "ip_not_allowed");
}

#[tokio::test]
async fn a_key_ends_when_it_expires() {
    let engine = Engine::start().await;
    // The present time, as the engine sees it.
    let receipt = engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let now: chrono::DateTime<chrono::Utc> = text(&receipt, "received_at").parse().unwrap();
    let soon = (now + chrono::TimeDelta::seconds(2)).to_rfc3339();
    let (brief, _) = make(
        &engine.client(),
        json!({ "name": "brief", "expires_at": soon }),
    )
    .await;
    until("the key has expired", async || {
        let answer = brief.get("/v1/events").await;
        (answer.status == 401).then(|| answer.problem(401, "expired_key"))
    })
    .await;
}

#[tokio::test]
async fn a_tier_bounds_the_requests_of_a_minute_and_says_so() {
    let engine = Engine::start().await;
    let (standard, _) = make(&engine.client(), json!({ "name": "s", "tier": "STANDARD" })).await;
    let first = standard.get("/v1/events").await.ok(200);
    assert_eq!(first.header("x-ratelimit-limit"), Some("100"));
    assert!(
        first
            .header("ratelimit-policy")
            .is_some_and(|policy| policy.contains("q=100"))
    );
    assert!(first.header("ratelimit").is_some());
    assert!(first.header("x-ratelimit-reset").is_some());
    let remaining: u64 = first
        .header("x-ratelimit-remaining")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(remaining, 99);
    let calls = (0..150).map(|_| standard.get("/v1/events").into_future());
    let answers = futures_util::future::join_all(calls).await;
    let refused: Vec<_> = answers
        .into_iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(!refused.is_empty(), "the limit is kept");
    let answer = refused[0].clone();
    assert!(
        answer
            .header("retry-after")
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    answer.problem(429, "rate_limited");
}

#[tokio::test]
async fn a_plan_bounds_the_events_of_a_minute_and_counts_each_of_a_batch() {
    let engine = Engine::start().await;
    let client = engine.tenant("small", "free").await.client;
    let batch = json!(vec![json!({ "type": "a", "payload": 1 }); 60]);
    let first = client.post("/v1/events", &batch).await.ok(202);
    assert_eq!(first.header("x-ratelimit-limit"), Some("100"));
    client
        .post("/v1/events", &batch)
        .await
        .problem(429, "rate_limited");
    let kept = client.every_page("/v1/events").await;
    assert_eq!(kept.len(), 60, "a batch is taken as a whole or not at all");
    let too_many = json!(vec![json!({ "type": "a", "payload": 1 }); 101]);
    let answer = client.post("/v1/events", &too_many).await;
    assert_eq!(
        answer.header("retry-after"),
        None,
        "no minute has room for it"
    );
    answer.problem(413, "payload_too_large");
    assert_eq!(number(&kept[59], "position"), 60);
}
