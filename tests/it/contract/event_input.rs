//! POST /v1/events: what is refused, with which code, and where the problem points.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Client, Engine};

/// A body, its media type, and the status, code and pointer that answer it.
type Case<'a> = (&'a str, &'a str, u16, &'a str, Option<&'a str>);

/// Bodies with a wrong value, and where the problem points.
const WRONG_VALUES: &[(&str, Option<&str>)] = &[
    ("1", None),
    ("{}", Some("/type")),
    (r#"{"type":1,"payload":1}"#, Some("/type")),
    (r#"{"type":"","payload":1}"#, Some("/type")),
    (r#"{"type":"a..b","payload":1}"#, Some("/type")),
    (r#"{"type":"ä","payload":1}"#, Some("/type")),
    (r#"{"type":"a.*","payload":1}"#, Some("/type")),
    (
        r#"{"type":"a","payload":1,"category":2}"#,
        Some("/category"),
    ),
    (r#"{"type":"a","payload":1,"actor":"me"}"#, Some("/actor")),
    (
        r#"{"type":"a","payload":1,"actor":{"id":1}}"#,
        Some("/actor/id"),
    ),
    (
        r#"{"type":"a","payload":1,"occurred_at":"yesterday"}"#,
        Some("/occurred_at"),
    ),
    (
        r#"{"type":"a","payload":1,"dedup_id":""}"#,
        Some("/dedup_id"),
    ),
    (
        r#"{"type":"a","payload":1,"workspace":"nowhere"}"#,
        Some("/workspace"),
    ),
    (
        r#"{"type":"a","payload":1,"workspace":7}"#,
        Some("/workspace"),
    ),
    (r#"{"type":"a","payload":1,"payload":2}"#, Some("/payload")),
    (r#"{"type":"a","action":"b","payload":1}"#, None),
];

async fn check(client: &Client, cases: &[Case<'_>]) {
    for (media_type, body, status, code, pointer) in cases {
        let call = client.call(Method::POST, "/v1/events");
        let answer = call.body(media_type, (*body).to_owned()).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(answer.status, *status, "{shown}: {}", answer.text());
        let problem = answer.problem(*status, code);
        if let Some(pointer) = pointer {
            assert_eq!(
                problem["errors"][0]["pointer"], *pointer,
                "{shown}: {problem}"
            );
        }
    }
    let kept = client.get("/v1/events").await.ok(200).data();
    assert_eq!(kept, json!([]), "nothing that was refused is there");
}

#[tokio::test]
async fn bodies_that_are_not_json_are_malformed() {
    let engine = Engine::start().await;
    let json = "application/json";
    let cases: Vec<Case<'_>> = [
        "",
        "{",
        "}",
        "nope",
        "{\"type\":}",
        "{\"type\":\"a\"",
        "\u{feff}{}",
        "{\"type\":\"a\",\"payload\":1} {}",
        "{'type':'a'}",
        "{\"type\":\"a\",\"payload\":01}",
        "{\"type\":\"a\",\"payload\":NaN}",
        "{\"type\":\"a\",\"payload\":\"\t\"}",
    ]
    .into_iter()
    .map(|body| (json, body, 400, "malformed_json", None))
    .collect();
    check(&engine.client(), &cases).await;
}

#[tokio::test]
async fn bodies_that_are_not_utf_8_are_malformed() {
    let engine = Engine::start().await;
    let body = b"{\"type\":\"a\",\"payload\":\"\xff\"}".to_vec();
    let call = engine
        .client()
        .call(Method::POST, "/v1/events")
        .body("application/json", body);
    call.await.problem(400, "malformed_json");
}

#[tokio::test]
async fn wrong_values_are_pointed_at() {
    let engine = Engine::start().await;
    let cases: Vec<Case<'_>> = WRONG_VALUES
        .iter()
        .map(|(body, pointer)| ("application/json", *body, 422, "invalid_field", *pointer))
        .collect();
    check(&engine.client(), &cases).await;
}

#[tokio::test]
async fn unknown_members_are_pointed_at() {
    let engine = Engine::start().await;
    let json = "application/json";
    let cases: &[Case<'_>] = &[
        (
            json,
            r#"{"type":"a","payload":1,"colour":2}"#,
            422,
            "unknown_field",
            Some("/colour"),
        ),
        (
            json,
            r#"{"type":"a","payload":1,"a/b~c":2}"#,
            422,
            "unknown_field",
            Some("/a~1b~0c"),
        ),
        (
            json,
            r#"{"type":"a","payload":1,"actor":{"age":2}}"#,
            422,
            "unknown_field",
            Some("/actor/age"),
        ),
    ];
    check(&engine.client(), cases).await;
}

#[tokio::test]
async fn media_types_that_are_not_understood_are_refused() {
    let engine = Engine::start().await;
    let event = r#"{"type":"a","payload":1}"#;
    let cases: Vec<Case<'_>> = [
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/jsonx",
    ]
    .into_iter()
    .map(|media_type| (media_type, event, 415, "unsupported_media_type", None))
    .collect();
    check(&engine.client(), &cases).await;
}

#[tokio::test]
async fn a_content_encoding_is_refused_whatever_it_is() {
    let engine = Engine::start().await;
    let client = engine.client();
    for encoding in ["gzip", "br", "deflate", "identity, gzip"] {
        let call = client.post("/v1/events", &json!({ "type": "a", "payload": 1 }));
        let answer = call.header("content-encoding", encoding).await;
        answer.problem(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_payload_may_have_256_kib_and_not_a_byte_more() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = |length: usize| {
        let payload = "x".repeat(length - 2);
        json!({ "type": "a", "payload": payload })
    };
    client.post("/v1/events", &event(256 * 1024)).await.ok(202);
    client
        .post("/v1/events", &event(256 * 1024 + 1))
        .await
        .problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_batch_may_have_a_thousand_events_and_not_one_more() {
    let engine = Engine::start().await;
    let client = engine.client();
    let batch = |length: usize| json!(vec![json!({ "type": "a", "payload": 1 }); length]);
    let items = client.post("/v1/events", &batch(1000)).await.ok(202).data();
    assert_eq!(items.as_array().unwrap().len(), 1000);
    client
        .post("/v1/events", &batch(1001))
        .await
        .problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_batch_may_have_5_mib_and_not_more() {
    let engine = Engine::start().await;
    let client = engine.client();
    let large = json!({ "type": "a", "payload": "x".repeat(250 * 1024) });
    client
        .post("/v1/events", &json!(vec![large.clone(); 20]))
        .await
        .ok(202);
    client
        .post("/v1/events", &json!(vec![large; 21]))
        .await
        .problem(413, "payload_too_large");
}

#[tokio::test]
async fn payloads_may_nest_64_deep_and_not_deeper() {
    let engine = Engine::start().await;
    let client = engine.client();
    let nested = |depth: usize| {
        let payload = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"type":"a","payload":{payload}}}"#);
        client
            .call(Method::POST, "/v1/events")
            .body("application/json", body)
    };
    nested(64).await.ok(202);
    for depth in [65, 1_000, 100_000] {
        nested(depth).await.problem(422, "invalid_field");
    }
}

#[tokio::test]
async fn a_template_is_kept_and_what_it_adds_is_there() {
    let engine = Engine::start().await;
    let client = engine.client();
    let workspace = json!({ "slug": "strict", "name": "Strict" });
    let workspace = client
        .post("/v1/workspaces", &workspace)
        .await
        .ok(201)
        .data();
    let id = workspace["id"].as_str().unwrap();
    let template = json!({
        "required_actor_fields": ["id"],
        "required_payload_keys": ["amount"],
        "default_category": "money",
        "require_project": true,
    });
    let path = format!("/v1/workspaces/{id}/template");
    client
        .call(Method::PUT, &path)
        .json(&template)
        .await
        .ok(200);

    let bad = json!({ "type": "a", "payload": {}, "workspace": "strict" });
    let problem = client
        .post("/v1/events", &bad)
        .await
        .problem(422, "template_violation");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for expected in ["/payload/amount", "/project"] {
        assert!(pointers.contains(&expected), "{expected} in {pointers:?}");
    }
    assert!(
        pointers.iter().any(|pointer| pointer.starts_with("/actor")),
        "{pointers:?}"
    );

    let good = json!({
        "type": "a", "payload": { "amount": 1 }, "workspace": "strict", "actor": { "id": "u" }, "project": "p",
    });
    let receipt = client.send_event(&good).await;
    let read = client
        .get(&format!("/v1/events/{}", receipt["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(read["category"], "money");
}
