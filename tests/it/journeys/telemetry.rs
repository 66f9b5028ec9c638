//! What operators see of a request: one line in the log, one span at the collector, one trace through to the receiver.

use serde_json::{Value, json};

use crate::harness::{Engine, Settings, Sink, client::text, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn traceparent() -> String {
    format!("00-{TRACE}-b7ad6b7169203331-01")
}

#[tokio::test]
async fn each_request_is_one_line_in_the_log_without_secrets() {
    let settings = Settings::default().with("TRUNKLINE__LOG__REQUESTS", "true");
    let engine = Engine::start_with(settings).await;
    let secret = "a-payload-that-nobody-else-may-see";
    let event = json!({ "type": "a", "payload": secret });
    let call = engine
        .client()
        .post("/v1/events", &event)
        .header("traceparent", &traceparent());
    call.header("x-request-id", "the-one").await.ok(202);
    let line = until("the line is written", async || {
        let log = engine.log();
        log.lines()
            .find(|line| line.contains("the-one"))
            .map(str::to_owned)
    })
    .await;
    let line: Value = serde_json::from_str(&line).expect("a line is JSON when nobody watches");
    assert_eq!(line["target"], "trunkline::http");
    for (field, expected) in [
        ("method", json!("POST")),
        ("path", json!("/v1/events")),
        ("status", json!(202)),
        ("request_id", json!("the-one")),
        ("trace_id", json!(TRACE)),
    ] {
        let found = line.get(field).or_else(|| line["fields"].get(field));
        assert_eq!(found, Some(&expected), "{field} in {line}");
    }
    assert!(line.to_string().contains("duration_ms"), "{line}");
    let log = engine.log();
    assert!(!log.contains(secret) && !log.contains(engine.key()));
}

#[tokio::test]
async fn spans_reach_the_collector_under_the_callers_trace() {
    let collector = Sink::start().await;
    let endpoint = collector.url().replace("/hook", "");
    let settings = Settings::default().with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let mut engine = Engine::start_with(settings).await;
    let event = json!({ "type": "a", "payload": 1 });
    let call = engine
        .client()
        .post("/v1/events", &event)
        .header("traceparent", &traceparent());
    call.await.ok(202);
    // Whatever has not been sent by then is sent at the end.
    engine.send_sigterm().await;
    assert!(engine.ended().await.success());
    let trace = hex::decode(TRACE).unwrap();
    let is_it = |body: &[u8]| body.windows(trace.len()).any(|part| part == trace);
    let received = collector.received();
    assert!(
        received
            .iter()
            .any(|one| one.path == "/v1/traces" && is_it(&one.body)),
        "{received:?}"
    );
}

#[tokio::test]
async fn a_receiver_sees_the_trace_of_the_event() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    let event = json!({ "type": "a", "payload": 1, "trace_id": TRACE });
    let receipt = client.send_event(&event).await;
    let received = &sink.wait_for(1).await[0];
    assert_eq!(received.event_id(), text(&receipt, "id"));
    assert_eq!(received.header("x-trace-id"), Some(TRACE));
    let traceparent = received.header("traceparent").unwrap();
    assert_eq!(traceparent.split('-').nth(1), Some(TRACE), "{traceparent}");
}
