//! `GET /metrics`: what Prometheus's own checker accepts, after a bit of everything has happened.

use std::process::Stdio;

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::harness::{Behaviour, Engine, Sink, client::text, until};

#[tokio::test]
async fn promtool_accepts_the_metrics() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|_, n| Behaviour::Answer(if n == 0 { 500 } else { 200 })).await;
    let body = json!({ "url": sink.url(), "retry": { "schedule": [0, 0] } });
    client.post("/v1/webhooks", &body).await.ok(201);
    let mut tail = client.tail("", None).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    tail.event().await.unwrap();
    sink.wait_for(2).await;
    client.get("/nothing").await.problem(404, "not_found");
    let metrics = engine.anonymous().get("/metrics").await.ok(200).text();

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed; test.sh does it");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(metrics.as_bytes()).await.unwrap();
    drop(input);
    let output = promtool.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{metrics}");
    assert_eq!(said.trim(), "", "not even a warning");
}

#[tokio::test]
async fn no_label_names_a_tenant_or_an_event() {
    let engine = Engine::start().await;
    let client = engine.client();
    let receipt = client
        .send_event(&json!({ "type": "very.special.type", "payload": 1 }))
        .await;
    client
        .get(&format!("/v1/events/{}", text(&receipt, "id")))
        .await
        .ok(200);
    client
        .get("/some/odd/path/of/a/scanner")
        .await
        .problem(404, "not_found");
    let metrics = engine.anonymous().get("/metrics").await.ok(200).text();
    for unbounded in ["evt_", "ten_", "ws_", "very.special.type", "scanner", "ak_"] {
        assert!(!metrics.contains(unbounded), "{unbounded} in {metrics}");
    }
}

#[tokio::test]
async fn deliveries_and_requests_are_counted() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    for n in 0..5 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    sink.wait_for(5).await;
    let counted = |metrics: &str, name: &str, label: &str| -> f64 {
        let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
        let value = |line: &str| {
            line.rsplit(' ')
                .next()
                .and_then(|value| value.parse::<f64>().ok())
        };
        metrics.lines().filter(is_it).filter_map(value).sum()
    };
    until("five deliveries and requests are counted", async || {
        let metrics = engine.anonymous().get("/metrics").await.ok(200).text();
        let deliveries = counted(&metrics, "deliveries_total", "delivered");
        let requests = counted(&metrics, "http_requests_total", "202");
        (deliveries >= 5.0 && requests >= 5.0).then_some(())
    })
    .await;
}
