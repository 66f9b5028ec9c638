//! Whatever is sent: no 5xx, no panic.

mod random;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Client, Engine, client::text, wire::Wire};

const BODIES: u64 = 10_000;
const WORKERS: u64 = 8;

const MEDIA_TYPES: [&str; 6] = [
    "application/json",
    "application/x-ndjson",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/json; charset=utf-8",
    "text/plain",
];

/// `{device}` stands for a device that nothing connects: what is sent to it is refused as offline.
const TARGETS: [(&str, &str); 21] = [
    ("POST", "/v1/events"),
    ("POST", "/v1/events"),
    ("POST", "/v1/events"),
    ("POST", "/v1/events"),
    ("POST", "/v1/webhooks"),
    ("POST", "/v1/keys"),
    ("POST", "/v1/workspaces"),
    ("POST", "/v1/inbox/ack"),
    ("POST", "/v1/inbox/seek"),
    ("PUT", "/v1/workspaces/default/template"),
    ("PATCH", "/v1/workspaces/default"),
    ("POST", "/v1/dead-letters/replay"),
    ("POST", "/api/webhook/config"),
    ("POST", "/internal/tenants"),
    ("POST", "/v1/devices"),
    ("PATCH", "/v1/devices/{device}"),
    ("POST", "/v1/devices/{device}/messages"),
    ("POST", "/v1/devices/{device}/groups/create"),
    (
        "POST",
        "/v1/devices/{device}/groups/1@g.us/participants/add",
    ),
    ("POST", "/v1/devices/{device}/privacy/settings"),
    ("POST", "/v1/devices/{device}/history/sync"),
];

async fn send_random(client: Client, device: String, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..BODIES / WORKERS {
        let body = random::body(&mut random);
        let (method, path) = TARGETS[random.random_range(0..TARGETS.len())];
        let media_type = MEDIA_TYPES[random.random_range(0..MEDIA_TYPES.len())];
        let method: Method = method.parse().expect("a method");
        let path = path.replace("{device}", &device);
        let answer = client
            .call(method.clone(), &path)
            .body(media_type, body.clone())
            .await;
        assert!(
            answer.status < 500,
            "{method} {path} {media_type} {:?}: {} {}",
            String::from_utf8_lossy(&body),
            answer.status,
            answer.text()
        );
    }
}

fn assert_well(engine: &Engine, process_id: u32) {
    assert_eq!(engine.process_id(), process_id);
    let log = engine.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_random_bodies_make_no_5xx_and_no_panic() {
    let engine = Engine::start().await;
    let process_id = engine.process_id();
    let client = engine
        .client()
        .with_header("x-internal-token", crate::harness::engine::INTERNAL_TOKEN);
    let made = client
        .post("/v1/devices", &json!({ "name": "phone" }))
        .await;
    let device = text(&made.ok(201).data(), "id").to_owned();
    let workers: Vec<_> = (0..WORKERS)
        .map(|seed| tokio::spawn(send_random(client.clone(), device.clone(), seed)))
        .collect();
    for worker in workers {
        worker.await.expect("every answer is below 500");
    }
    assert_well(&engine, process_id);
    engine.client().get("/v1/events").await.ok(200);
}

#[tokio::test]
async fn random_queries_and_paths_make_no_5xx_and_no_panic() {
    let engine = Engine::start().await;
    let process_id = engine.process_id();
    let client = engine.client();
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..2_000 {
        let path = random::path(&mut random);
        let Ok(answer) = client.get(&path).attempt().await else {
            continue;
        };
        assert!(
            answer.status < 500,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_well(&engine, process_id);
}

#[tokio::test]
async fn requests_that_no_client_would_send_are_refused_and_smuggle_nothing() {
    let engine = Engine::start().await;
    let process_id = engine.process_id();
    let authorization = format!("authorization: Bearer {}\r\n", engine.key());
    let post = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\n{authorization}content-type: application/json\r\n"
    );
    let event = r#"{"type":"smuggled","payload":1}"#;
    let cases = [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET /health\r\n\r\n".to_owned(),
        "GET /health HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)),
        "GET /health HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nhost: x\r\nx: \0\r\n\r\n".to_owned(),
        "G\u{7f}T /health HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        format!(
            "GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n",
            "x: y\r\n".repeat(500)
        ),
        format!("{post}content-length: -1\r\n\r\n"),
        format!("{post}content-length: 99999999999999999999\r\n\r\n"),
        format!(
            "{post}content-length: 5\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        ),
        format!(
            "{post}content-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{post}",
            event.len()
        ),
        format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n{event}\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    ];
    for case in cases {
        let mut wire = Wire::open(engine.port()).await;
        // It may close before everything is written, which is an answer too.
        wire.send(case.as_bytes()).await.ok();
        let status = wire.status().await;
        let shown: String = case.chars().take(60).collect();
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{shown:?}: {status:?}"
        );
    }
    let events = engine.client().get("/v1/events").await.ok(200).text();
    assert!(!events.contains("smuggled"), "{events}");
    assert_well(&engine, process_id);
}

#[tokio::test]
async fn clients_that_leave_in_the_middle_do_no_harm() {
    let engine = Engine::start().await;
    let process_id = engine.process_id();
    for length in [0, 1, 20, 80, 200] {
        for _ in 0..20 {
            let request = format!(
                "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ncontent-length: 50\r\n\r\n{{\"type\":",
                engine.key()
            );
            let mut wire = Wire::open(engine.port()).await;
            wire.send(&request.as_bytes()[..length.min(request.len())])
                .await
                .ok();
        }
    }
    engine.client().get("/v1/events").await.ok(200);
    assert_well(&engine, process_id);
}
