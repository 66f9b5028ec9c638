//! API §8: what a connector keeps with the engine, and who may write it.

use reqwest::Method;
use serde_json::json;

use super::{devices::made, keys::make};
use crate::harness::{Client, Engine, Gateway, client::number};

fn path(device: &str) -> String {
    format!("/v1/devices/{device}/credentials")
}

fn put(client: &Client, device: &str, fence: &str, bytes: &[u8]) -> crate::harness::client::Call {
    let call = client.call(Method::PUT, &path(device));
    let call = call.header("if-match", fence);
    call.body("application/octet-stream", bytes.to_vec())
}

#[tokio::test]
async fn credentials_read_back_as_they_were_written_and_are_sealed_on_disk() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let none = client.get(&path(&device)).await.ok(204);
    assert_eq!(none.header("etag"), Some("\"0\""));
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    put(&client, &device, "0", &bytes).await.ok(204);
    let kept = client.get(&path(&device)).await.ok(200);
    assert_eq!(kept.body, bytes);
    assert_eq!(
        kept.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(kept.header("cache-control"), Some("no-store"));
    assert_eq!(kept.header("etag"), Some("\"0\""));

    let gateway = Gateway::connect(client.base(), engine.key(), &device).await;
    let fence = format!("\"{}\"", gateway.fence);
    let kept = client.get(&path(&device)).await.ok(200);
    assert_eq!(kept.header("etag"), Some(fence.as_str()));
    put(&client, &device, &fence, b"a connector's secret")
        .await
        .ok(204);
    let kept = client.get(&path(&device)).await.ok(200);
    assert_eq!(kept.body, b"a connector's secret".as_slice());
    let shown = client.get(&format!("/v1/devices/{device}")).await.ok(200);
    assert!(!shown.text().contains("secret"));
    let files = std::fs::read_dir(engine.data_dir()).expect("the store's folder");
    for file in files.filter_map(Result::ok) {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let secret = b"a connector's secret";
        let is_plain = bytes.windows(secret.len()).any(|bytes| bytes == secret);
        assert!(!is_plain, "{}", file.path().display());
    }
}

#[tokio::test]
async fn a_connector_that_lost_its_session_spoils_nothing() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let old = Gateway::connect(client.base(), engine.key(), &device).await;
    let new = Gateway::connect(client.base(), engine.key(), &device).await;
    assert!(new.fence > old.fence);
    put(&client, &device, &new.fence.to_string(), b"new")
        .await
        .ok(204);
    for fence in [0, old.fence, new.fence + 1] {
        let answer = put(&client, &device, &fence.to_string(), b"old").await;
        let problem = answer.problem(412, "version_mismatch");
        assert_eq!(number(&problem, "fence"), new.fence);
    }
    let kept = client.get(&path(&device)).await.ok(200);
    assert_eq!(kept.body, b"new".as_slice());
}

#[tokio::test]
async fn a_connector_changes_its_keys_as_often_as_messages_come_whatever_its_api_key_may() {
    let engine = Engine::start().await;
    let device = made(&engine.client()).await;
    let body = json!({ "name": "gateway", "tier": "STANDARD", "permissions": ["devices:*"] });
    let (gateway, _) = make(&engine.client(), body).await;
    for count in 0..120_u8 {
        put(&gateway, &device, "0", &[count]).await.ok(204);
    }
    let kept = gateway.get(&path(&device)).await.ok(200);
    assert_eq!(kept.body, [119].as_slice());
    let shown = gateway.get("/v1/devices").await.ok(200);
    assert_eq!(shown.header("x-ratelimit-remaining"), Some("99"));
}

#[tokio::test]
async fn credentials_without_a_fence_or_of_too_many_bytes_are_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let call = client.call(Method::PUT, &path(&device));
    let answer = call.body("application/octet-stream", "x").await;
    answer.problem(400, "bad_request");
    for wrong in ["*", "seven", "\"v1\"", "-1"] {
        let answer = put(&client, &device, wrong, b"x").await;
        answer.problem(400, "bad_request");
    }
    let largest = vec![7; 1024 * 1024];
    put(&client, &device, "0", &largest).await.ok(204);
    let too_large = vec![7; 1024 * 1024 + 1];
    let answer = put(&client, &device, "0", &too_large).await;
    answer.problem(413, "payload_too_large");
    let kept = client.get(&path(&device)).await.ok(200);
    assert_eq!(kept.body.len(), largest.len());
}
