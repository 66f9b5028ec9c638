//! POST, PUT and PATCH /v1/webhooks: what is refused, and where the problem points.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Engine, Settings, client::text};

fn bad_bodies() -> Vec<(Value, &'static str, &'static str)> {
    let url = "https://example.com";
    let field = "invalid_field";
    vec![
        (json!([]), field, ""),
        (json!({}), field, "/url"),
        (json!({ "url": 1 }), field, "/url"),
        (json!({ "url": "" }), field, "/url"),
        (json!({ "url": "example.com" }), field, "/url"),
        (json!({ "url": "ftp://example.com" }), field, "/url"),
        (json!({ "url": "file:///etc/passwd" }), field, "/url"),
        (json!({ "url": format!("{url}/{}", "x".repeat(3000)) }), field, "/url"),
        (json!({ "url": url, "events": [] }), field, "/events"),
        (json!({ "url": url, "events": "*" }), field, "/events"),
        (json!({ "url": url, "events": ["a..b"] }), field, "/events"),
        (json!({ "url": url, "workspace": "nowhere" }), field, "/workspace"),
        (json!({ "url": url, "workspace": 7 }), field, "/workspace"),
        (json!({ "url": url, "description": "x".repeat(501) }), field, "/description"),
        (json!({ "url": url, "enabled": "yes" }), field, "/enabled"),
        (json!({ "url": url, "secret": "short" }), field, "/secret"),
        (json!({ "url": url, "headers": { "host": "x" } }), field, "/headers/host"),
        (json!({ "url": url, "headers": { "webhook-id": "x" } }), field, "/headers/webhook-id"),
        (json!({ "url": url, "headers": { "a b": "x" } }), field, "/headers/a b"),
        (json!({ "url": url, "headers": { "x-a": "line\r\nbreak" } }), field, "/headers/x-a"),
        (json!({ "url": url, "timeout_ms": 99 }), field, "/timeout_ms"),
        (json!({ "url": url, "timeout_ms": 60_001 }), field, "/timeout_ms"),
        (json!({ "url": url, "retry": "never" }), field, "/retry"),
        (json!({ "url": url, "retry": { "schedule": [] } }), field, "/retry"),
        (json!({ "url": url, "max_in_flight": 0 }), field, "/max_in_flight"),
        (json!({ "url": url, "rate_per_second": 0 }), field, "/rate_per_second"),
        (json!({ "url": url, "ordered": 1 }), field, "/ordered"),
        (json!({ "url": url, "colour": "red" }), "unknown_field", "/colour"),
    ]
}

#[tokio::test]
async fn wrong_webhooks_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = client.post("/v1/webhooks", &json!({ "url": "https://example.com" })).await.ok(201);
    let path = format!("/v1/webhooks/{}", text(&made.data(), "id"));
    for (body, code, pointer) in bad_bodies() {
        for call in [
            client.post("/v1/webhooks", &body),
            client.call(Method::PUT, &path).json(&body),
        ] {
            let problem = call.await.problem(422, code);
            let found = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
            assert!(found.starts_with(pointer), "{body}: {problem}");
        }
    }
    for body in ["", "{", "nope"] {
        let call = client.call(Method::POST, "/v1/webhooks").body("application/json", body);
        call.await.problem(400, "malformed_json");
    }
    assert_eq!(client.every_page("/v1/webhooks").await.len(), 1);
}

#[tokio::test]
async fn targets_inside_are_refused_in_every_spelling() {
    let settings = Settings::default().with("TRUNKLINE__OUTBOUND__ALLOW", "");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://localhost/",
        "http://LOCALHOST./",
    ] {
        let answer = client.post("/v1/webhooks", &json!({ "url": url })).await;
        let problem = answer.problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}: {problem}");
    }
    client.post("/v1/webhooks", &json!({ "url": "https://8.8.8.8/" })).await.ok(201);
}
