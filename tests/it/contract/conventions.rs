//! API §2: keys, problems, headers that come back, limits of requests.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Engine, Settings, wire::Wire};

#[tokio::test]
async fn a_key_is_taken_from_either_header() {
    let engine = Engine::start().await;
    let anonymous = engine.anonymous();
    anonymous
        .with_key(engine.key())
        .get("/v1/events")
        .await
        .ok(200);
    anonymous
        .with_header("x-api-key", engine.key())
        .get("/v1/events")
        .await
        .ok(200);
    let lower = format!("bearer {}", engine.key());
    anonymous
        .with_header("authorization", &lower)
        .get("/v1/events")
        .await
        .ok(200);
}

#[tokio::test]
async fn every_resource_wants_a_key() {
    let engine = Engine::start().await;
    let (anonymous, id) = (engine.anonymous(), "00000000000000000000000000000000");
    let wrong = anonymous.with_key(&format!("ak_default_{}", "0".repeat(64)));
    for (method, path) in [
        (Method::POST, "/v1/events".to_owned()),
        (Method::GET, "/v1/events".to_owned()),
        (Method::GET, format!("/v1/events/evt_{id}")),
        (Method::GET, format!("/v1/events/evt_{id}/proof")),
        (Method::POST, format!("/v1/events/evt_{id}/ack")),
        (Method::GET, "/v1/events/tail".to_owned()),
        (Method::GET, "/v1/events/export.json".to_owned()),
        (Method::GET, "/v1/events/export.csv".to_owned()),
        (Method::GET, "/v1/events/export.ndjson".to_owned()),
        (Method::GET, "/v1/inbox".to_owned()),
        (Method::POST, "/v1/inbox/ack".to_owned()),
        (Method::POST, "/v1/inbox/seek".to_owned()),
        (Method::GET, "/v1/webhooks".to_owned()),
        (Method::POST, "/v1/webhooks".to_owned()),
        (Method::GET, format!("/v1/webhooks/wh_{id}")),
        (Method::POST, format!("/v1/webhooks/wh_{id}/test")),
        (Method::GET, format!("/v1/deliveries/dlv_{id}")),
        (Method::GET, "/v1/dead-letters".to_owned()),
        (Method::GET, "/v1/keys".to_owned()),
        (Method::GET, "/v1/workspaces".to_owned()),
        (Method::GET, "/v1/regions".to_owned()),
        (Method::GET, "/v1/audit-logs".to_owned()),
        (Method::GET, "/v1/devices".to_owned()),
        (Method::POST, "/v1/devices".to_owned()),
        (Method::GET, format!("/v1/devices/dev_{id}")),
        (Method::GET, format!("/v1/devices/dev_{id}/session")),
        (Method::GET, format!("/v1/devices/dev_{id}/credentials")),
        (Method::GET, format!("/v1/devices/dev_{id}/events")),
        (Method::POST, format!("/v1/devices/dev_{id}/messages")),
        (Method::POST, format!("/v1/devices/dev_{id}/groups/create")),
        (
            Method::GET,
            format!("/v1/devices/dev_{id}/privacy/settings"),
        ),
        (Method::POST, format!("/v1/devices/dev_{id}/history/sync")),
        (Method::GET, "/api/keys".to_owned()),
        (Method::GET, "/api/inbox".to_owned()),
    ] {
        let unkeyed = anonymous.call(method.clone(), &path).json(&json!({})).await;
        unkeyed.problem(401, "missing_key");
        wrong
            .call(method, &path)
            .json(&json!({}))
            .await
            .problem(401, "invalid_key");
    }
}

#[tokio::test]
async fn keys_that_are_none_are_invalid() {
    let engine = Engine::start().await;
    for key in [
        "x",
        "ak_",
        "ak_default_",
        "ak_default_zz",
        &engine.key()[..engine.key().len() - 1],
    ] {
        let client = engine.anonymous().with_key(key);
        client.get("/v1/events").await.problem(401, "invalid_key");
    }
    for value in ["Basic dXNlcjpwYXNz", "Bearer", ""] {
        let client = engine.anonymous().with_header("authorization", value);
        client.get("/v1/events").await.problem(401, "missing_key");
    }
}

#[tokio::test]
async fn a_problem_has_one_shape() {
    let engine = Engine::start().await;
    let answer = engine.anonymous().get("/v1/events?limit=3").await;
    assert!(answer.header("www-authenticate").is_some());
    let problem = answer.problem(401, "missing_key");
    insta::assert_json_snapshot!(problem, { ".trace_id" => "…" }, @r#"
    {
      "detail": "The request carries no key. Send `Authorization: Bearer ak_…` or `X-API-Key: ak_…`.",
      "error": {
        "code": "missing_key",
        "message": "The request carries no key. Send `Authorization: Bearer ak_…` or `X-API-Key: ak_…`."
      },
      "instance": "/v1/events",
      "status": 401,
      "title": "There is no key",
      "trace_id": "…",
      "type": "/problems/missing_key"
    }
    "#);
}

#[tokio::test]
async fn a_problem_says_where_it_is_explained() {
    let engine = Engine::start().await;
    let problem = engine
        .anonymous()
        .get("/v1/events")
        .await
        .problem(401, "missing_key");
    engine
        .anonymous()
        .get(problem["type"].as_str().unwrap())
        .await
        .ok(200);
    engine
        .anonymous()
        .get("/problems/no_such_code")
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn paths_that_are_none_and_methods_that_do_not_fit_are_problems_too() {
    let engine = Engine::start().await;
    let client = engine.client();
    for path in [
        "/nothing",
        "/v1",
        "/v1/events/",
        "/v1/nothing",
        "//",
        "/%00",
        "/v1/events/%ff",
        "/../etc/passwd",
    ] {
        client.get(path).await.problem(404, "not_found");
    }
    for (method, path) in [
        (Method::DELETE, "/v1/events"),
        (Method::PATCH, "/v1/keys"),
        (Method::PUT, "/health"),
    ] {
        client
            .call(method, path)
            .await
            .problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_request_id_comes_back_or_a_fresh_one_does() {
    let engine = Engine::start().await;
    let client = engine.client();
    for path in ["/v1/events", "/health", "/nothing"] {
        let given = client.get(path).header("x-request-id", "mine-42").await;
        assert_eq!(given.header("x-request-id"), Some("mine-42"), "{path}");
        let first = client.get(path).await;
        let second = client.get(path).await;
        assert!(first.header("x-request-id").is_some(), "{path}");
        assert_ne!(
            first.header("x-request-id"),
            second.header("x-request-id"),
            "{path}"
        );
    }
    let long = "x".repeat(5_000);
    let answer = client.get("/health").header("x-request-id", &long).await;
    assert!(
        answer
            .header("x-request-id")
            .is_some_and(|id| id.len() < 300),
        "cut or replaced"
    );
}

#[tokio::test]
async fn a_trace_is_continued_or_begun() {
    let engine = Engine::start().await;
    let client = engine.client();
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = client.get("/v1/events").header("traceparent", given).await;
    let back = answer.header("traceparent").unwrap();
    assert_eq!(
        back.split('-').nth(1),
        given.split('-').nth(1),
        "the trace is the same"
    );
    for broken in [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
    ] {
        let answer = client.get("/v1/events").header("traceparent", broken).await;
        let fresh = answer.header("traceparent").unwrap();
        assert_eq!(fresh.len(), 55, "{broken:?} → {fresh}");
        assert_ne!(
            fresh.split('-').nth(1),
            Some("00000000000000000000000000000000")
        );
    }
    let problem = client.get("/nothing").header("traceparent", given).await;
    let problem = problem.problem(404, "not_found");
    assert_eq!(problem["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let engine = Engine::start().await;
    let mut wire = Wire::open(engine.port()).await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100000000\r\n\r\n",
        engine.key()
    );
    wire.send(head.as_bytes()).await.unwrap();
    assert_eq!(wire.status().await, Some(413));
}

#[tokio::test]
async fn a_body_that_never_comes_is_given_up() {
    let settings = Settings::default().with("TRUNKLINE__SERVER__BODY_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let mut wire = Wire::open(engine.port()).await;
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        engine.key()
    );
    wire.send(head.as_bytes()).await.unwrap();
    assert_eq!(wire.status().await, Some(408));
    engine.client().get("/v1/events").await.ok(200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let settings = Settings::default().with("TRUNKLINE__SERVER__HEAD_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let mut wire = Wire::open(engine.port()).await;
    wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .await
        .unwrap();
    let answer = wire.read_to_end().await;
    assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
}

#[tokio::test]
async fn headers_beyond_the_limit_are_refused() {
    let engine = Engine::start().await;
    let mut wire = Wire::open(engine.port()).await;
    let head = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    wire.send(head.as_bytes()).await.unwrap();
    assert!(matches!(wire.status().await, Some(400 | 431)));
    engine.client().get("/health").await.ok(200);
}

#[tokio::test]
async fn only_listed_origins_may_call_from_a_browser() {
    let settings =
        Settings::default().with("TRUNKLINE__SERVER__CORS_ORIGINS", "https://app.example.com");
    let engine = Engine::start_with(settings).await;
    let preflight = |origin: &str| {
        engine
            .anonymous()
            .call(Method::OPTIONS, "/v1/events")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
    };
    let allowed = preflight("https://app.example.com").await;
    assert!(matches!(allowed.status, 200 | 204), "{}", allowed.text());
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
    let refused = preflight("https://evil.example.com").await;
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let call = engine
        .client()
        .get("/v1/events")
        .header("origin", "https://app.example.com");
    let answer = call.await.ok(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example.com")
    );
}
