//! API §7: what is done to devices is noted, with who did it and from where, and without what it was about.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    device_commands::{call, rows, serving},
    devices::{made, until_state},
    keys::make,
};
use crate::harness::{
    Engine, Gateway, Reply, Settings,
    client::text,
    mqtt::{Connect, Mqtt},
};

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
            "device.session_opened",
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
        let by_harness =
            ["device.created", "device.session_opened"].contains(&text(entry, "action"));
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
async fn whoever_reads_credentials_is_noted_once_and_again_when_it_is_somebody_else() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let path = format!("/v1/devices/{device}/credentials");
    client.get(&path).await.ok(204);
    let put = client.call(Method::PUT, &path).header("if-match", "0");
    let put = put.body("application/octet-stream", "a secret");
    put.await.ok(204);
    let body = json!({ "name": "another", "permissions": ["devices:connect"] });
    let (other, made) = make(&client, body).await;
    for client in [&client, &client, &other, &other] {
        client.get(&path).await.ok(200);
    }
    let read = "/v1/audit-logs?action=device.credentials_read";
    let entries = client.every_page(read).await;
    assert_eq!(
        entries.len(),
        2,
        "none where there was nothing: {entries:?}"
    );
    assert!(entries.iter().any(|entry| entry["actor"] == made["id"]));
    assert!(entries.iter().all(|entry| entry["resource_id"] == device));
    // Another session is another reader.
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    other.get(&path).await.ok(200);
    assert_eq!(client.every_page(read).await.len(), 3);
    drop(gateway);
}

#[tokio::test]
async fn whoever_connects_as_a_device_is_noted_once_and_again_when_it_is_somebody_else() {
    let settings = Settings::default().with("TRUNKLINE__MQTT__PORT", "0");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let body = json!({ "name": "another", "permissions": ["devices:connect"] });
    let (_, other) = make(&client, body).await;
    let (phone, meter) = (made(&client).await, made(&client).await);
    for key in [engine.key(), engine.key(), text(&other, "key")] {
        drop(Gateway::connected(client.base(), key, &phone).await);
        drop(Mqtt::connect_as(&engine, &Connect::new(5, &meter, key)).await);
    }
    for (device, transport) in [(&phone, "websocket"), (&meter, "mqtt")] {
        let path = format!("/v1/audit-logs?action=device.session_opened&resource={device}");
        let entries = client.every_page(&path).await;
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert_ne!(entries[0]["actor"], entries[1]["actor"]);
        for entry in entries {
            assert_eq!(entry["ip"], "127.0.0.1");
            assert_eq!(entry["meta"]["transport"], transport);
        }
    }
}

#[tokio::test]
async fn what_a_patch_changes_is_noted_once_however_often_it_is_said() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let other = json!({ "name": "Other", "slug": "other" });
    client.post("/v1/workspaces", &other).await.ok(201);
    let path = format!("/v1/devices/{device}");
    let patch = |body: Value| client.call(Method::PATCH, &path).json(&body);
    let moved = patch(json!({ "workspace": "other" })).await.ok(200).data();
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    until_state(&client, &device, "connected").await;
    for body in [json!({ "workspace": "other" }), json!({ "name": "phone" })] {
        let again = patch(body).await.ok(200).data();
        assert_eq!(again["version"], moved["version"]);
        assert_eq!(again["state"], "connected");
    }
    gateway
        .event(json!({ "type": "group.updated", "data": 1 }))
        .await;
    let updated = "/v1/audit-logs?action=device.updated";
    assert_eq!(client.every_page(updated).await.len(), 1);
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
