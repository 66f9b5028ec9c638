//! API §7: what is done to devices is noted, with who did it and from where, and without what it was about.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    device_commands::{call, rows, serving},
    devices::made,
    keys::make,
};
use crate::harness::{Engine, Reply, client::text};

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one entry after the other")]
async fn what_was_done_to_a_device_is_in_the_audit_log_with_who_and_from_where() {
    let engine = Engine::start().await;
    let client = engine.client().with_header("user-agent", "auditor/1");
    let key = client.get("/api/keys").await.ok(200).data();
    let answer = |_: &Value| Reply::Done(json!({}));
    let (device, _gateway) = serving(&engine, answer).await;
    for row in rows() {
        assert!(call(&client, &device, &row).await.status < 300);
    }
    let path = format!("/v1/devices/{device}");
    let message = json!({ "to": "1234567890", "text": "a secret" });
    client
        .post(&format!("{path}/messages"), &message)
        .await
        .ok(202);
    let patch = client.call(Method::PATCH, &path);
    patch.json(&json!({ "name": "two" })).await.ok(200);
    let fence = client.get(&path).await.ok(200).data()["fence"].to_string();
    let put = client.call(Method::PUT, &format!("{path}/credentials"));
    let put = put
        .header("if-match", &fence)
        .body("application/octet-stream", "a secret");
    put.await.ok(204);
    let again = client.call(Method::PUT, &format!("{path}/credentials"));
    let again = again
        .header("if-match", &fence)
        .body("application/octet-stream", "another secret");
    again.await.ok(204);
    client
        .post(&format!("{path}/disconnect"), &json!({}))
        .await
        .ok(200);
    client.call(Method::DELETE, &path).await.ok(204);

    let entries = client
        .every_page(&format!("/v1/audit-logs?resource={device}"))
        .await;
    let mut actions: Vec<&str> = entries.iter().map(|entry| text(entry, "action")).collect();
    actions.sort_unstable();
    actions.dedup();
    assert_eq!(
        actions,
        [
            "device.created",
            "device.credentials_updated",
            "device.deleted",
            "device.disconnected",
            "device.updated",
            "group.created",
            "group.participants_added",
            "group.participants_removed",
            "history.sync_requested",
            "message.sent",
            "privacy.settings.updated",
        ]
    );
    for entry in &entries {
        assert_eq!(entry["actor"], key["id"], "{entry}");
        assert_eq!(entry["ip"], "127.0.0.1", "{entry}");
        assert_eq!(entry["resource_type"], "device", "{entry}");
        assert!(!entry.to_string().contains("secret"), "{entry}");
        assert!(
            !entry.to_string().contains("1234567890"),
            "nobody's number: {entry}"
        );
        let by_harness = entry["action"] == "device.created";
        assert!(by_harness || entry["user_agent"] == "auditor/1", "{entry}");
    }
    let count = async |query: &str| {
        let path = format!("/v1/audit-logs?{query}");
        client.every_page(&path).await.len()
    };
    assert_eq!(
        count(&format!("resource={device}&action=message.sent")).await,
        1
    );
    assert_eq!(
        count("action=device.credentials_updated").await,
        1,
        "once a session"
    );
    assert_eq!(count("resource_type=device").await, entries.len());
    assert_eq!(count("resource=dev_0").await, 0);
    assert_eq!(count("resource_type=device&actor=nobody").await, 0);
    assert_eq!(
        count("resource_type=device&to=2020-01-01T00:00:00Z").await,
        0
    );
    assert_eq!(
        count("resource_type=device&from=2020-01-01T00:00:00Z").await,
        entries.len()
    );
}

#[tokio::test]
async fn whoever_else_changes_a_sessions_credentials_is_noted_too() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let body = json!({ "name": "another", "permissions": ["devices:connect"] });
    let (other, _) = make(&client, body).await;
    for client in [&client, &client, &other, &other] {
        let put = client.call(Method::PUT, &format!("/v1/devices/{device}/credentials"));
        let put = put.header("if-match", "0");
        put.body("application/octet-stream", "a secret")
            .await
            .ok(204);
    }
    let path = "/v1/audit-logs?action=device.credentials_updated";
    let entries = client.every_page(path).await;
    assert_eq!(entries.len(), 2, "each of them once: {entries:?}");
    assert_ne!(entries[0]["actor"], entries[1]["actor"]);
}

#[tokio::test]
async fn a_command_that_failed_is_noted_with_how_unless_nobody_was_told() {
    let engine = Engine::start().await;
    let client = engine.client();
    let refusing = |_: &Value| Reply::Refused("forbidden", "no");
    let (device, _gateway) = serving(&engine, refusing).await;
    let offline = made(&client).await;
    for device in [&device, &offline] {
        let path = format!("/v1/devices/{device}/privacy/settings");
        let answer = client.post(&path, &json!({ "online": "all" })).await;
        assert!(answer.status >= 400);
    }
    let path = "/v1/audit-logs?action=privacy.settings.updated";
    let entries = client.every_page(path).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["meta"]["outcome"], "device_refused");
}
