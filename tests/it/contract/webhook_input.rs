//! POST, PUT and PATCH /v1/webhooks: what is refused, and where the problem points.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Engine, Settings, client::text};

/// Members beside a good `url`, in JSON, and where the problem points.
const WRONG_MEMBERS: &[(&str, &str)] = &[
    (r#""events":[]"#, "/events"),
    (r#""events":"*""#, "/events"),
    (r#""events":["a..b"]"#, "/events"),
    (r#""workspace":"nowhere""#, "/workspace"),
    (r#""workspace":7"#, "/workspace"),
    (r#""enabled":"yes""#, "/enabled"),
    (r#""secret":"short""#, "/secret"),
    (r#""headers":{"host":"x"}"#, "/headers/host"),
    (r#""headers":{"webhook-id":"x"}"#, "/headers/webhook-id"),
    (r#""headers":{"a b":"x"}"#, "/headers/a b"),
    (r#""headers":{"x-a":"line\r\nbreak"}"#, "/headers/x-a"),
    (r#""timeout_ms":99"#, "/timeout_ms"),
    (r#""timeout_ms":60001"#, "/timeout_ms"),
    (r#""retry":"never""#, "/retry"),
    (r#""retry":{"schedule":[]}"#, "/retry"),
    (r#""max_in_flight":0"#, "/max_in_flight"),
    (r#""rate_per_second":0"#, "/rate_per_second"),
    (r#""ordered":1"#, "/ordered"),
];

fn bad_bodies() -> Vec<(Value, &'static str, &'static str)> {
    let field = "invalid_field";
    let url = "https://example.com";
    let with_members = WRONG_MEMBERS.iter().map(|(members, pointer)| {
        let body = format!(r#"{{"url":"{url}",{members}}}"#);
        (
            serde_json::from_str(&body).expect("the table holds JSON"),
            field,
            *pointer,
        )
    });
    let mut bodies = vec![
        (json!([]), field, ""),
        (json!({}), field, "/url"),
        (json!({ "url": 1 }), field, "/url"),
        (json!({ "url": "" }), field, "/url"),
        (json!({ "url": "example.com" }), field, "/url"),
        (json!({ "url": "ftp://example.com" }), field, "/url"),
        (json!({ "url": "file:///etc/passwd" }), field, "/url"),
        (
            json!({ "url": format!("{url}/{}", "x".repeat(3000)) }),
            field,
            "/url",
        ),
        (
            json!({ "url": url, "description": "x".repeat(501) }),
            field,
            "/description",
        ),
        (
            json!({ "url": url, "colour": "red" }),
            "unknown_field",
            "/colour",
        ),
    ];
    bodies.extend(with_members);
    bodies
}

#[tokio::test]
async fn wrong_webhooks_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = client
        .post("/v1/webhooks", &json!({ "url": "https://example.com" }))
        .await
        .ok(201);
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
        let call = client
            .call(Method::POST, "/v1/webhooks")
            .body("application/json", body);
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
    client
        .post("/v1/webhooks", &json!({ "url": "https://8.8.8.8/" }))
        .await
        .ok(201);
}
