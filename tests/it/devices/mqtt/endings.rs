//! How connections end: what the device hears, and what stands in the log.

use serde_json::{Value, json};

use super::{VERSIONS, connected, device, engine, payloads, settings, until_logged, until_state};
use crate::harness::{
    Engine,
    client::text,
    mqtt::{Connect, Mqtt, publish},
    until,
};

/// An engine that looks at keys each second.
async fn watchful() -> Engine {
    Engine::start_with(settings().with("TRUNKLINE__DEVICES__HEARTBEAT_SECONDS", "1")).await
}

/// Connects with a will.
async fn with_will(engine: &Engine, level: u8, topic: &str) -> (String, Mqtt) {
    let id = device(&engine.client()).await;
    let connect = Connect::new(level, &id, engine.key()).will(topic, r#"{"why":"battery"}"#);
    let mqtt = Mqtt::connect_as(engine, &connect).await;
    until_state(&engine.client(), &id, "connected").await;
    (id, mqtt)
}

async fn disconnected(engine: &Engine) -> Value {
    until_logged(&engine.client(), "device.disconnected").await
}

#[tokio::test]
async fn a_goodbye_leaves_no_will() {
    for level in VERSIONS {
        let engine = engine().await;
        let (id, mut mqtt) = with_will(&engine, level, "events/sensor.gone").await;
        mqtt.send(&[0xe0, 0]).await;
        assert_eq!(mqtt.closed().await, []);
        let said = disconnected(&engine).await;
        assert_eq!(said["reason"], "closed");
        until_state(&engine.client(), &id, "offline").await;
        assert_eq!(
            payloads(&engine.client(), "sensor.gone").await,
            [] as [Value; 0]
        );
    }
}

#[tokio::test]
async fn a_lost_connection_leaves_the_will_and_then_the_engines_word() {
    for level in VERSIONS {
        let engine = engine().await;
        let (_, mqtt) = with_will(&engine, level, "events/sensor.gone").await;
        mqtt.break_off();
        assert_eq!(disconnected(&engine).await["reason"], "will");
        let wills = payloads(&engine.client(), "sensor.gone").await;
        assert_eq!(wills, [json!({ "why": "battery" })]);
    }
}

#[tokio::test]
async fn a_will_of_the_engines_own_type_is_carried_by_the_engines_word() {
    let engine = engine().await;
    let (_, mqtt) = with_will(&engine, 5, "events/device.disconnected").await;
    mqtt.break_off();
    let said = disconnected(&engine).await;
    assert!(said.to_string().contains("battery"), "{said}");
    assert_eq!(
        payloads(&engine.client(), "device.disconnected")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_lost_connection_without_a_will_is_told_as_such() {
    let engine = engine().await;
    let (id, mqtt) = connected(&engine, 4).await;
    mqtt.break_off();
    assert_eq!(disconnected(&engine).await["reason"], "connection_lost");
    until_state(&engine.client(), &id, "offline").await;
}

#[tokio::test]
async fn version_5_can_leave_with_its_will() {
    let engine = engine().await;
    let (_, mut mqtt) = with_will(&engine, 5, "events/sensor.gone").await;
    mqtt.send(&[0xe0, 1, 4]).await;
    assert_eq!(mqtt.closed().await, []);
    assert_eq!(disconnected(&engine).await["reason"], "will");
    assert_eq!(payloads(&engine.client(), "sensor.gone").await.len(), 1);
}

#[tokio::test]
async fn whoever_is_silent_for_one_and_a_half_times_the_keep_alive_is_gone() {
    for level in VERSIONS {
        let engine = engine().await;
        let id = device(&engine.client()).await;
        let connect = Connect {
            keep_alive: 1,
            ..Connect::new(level, &id, engine.key()).will("events/sensor.gone", "{}")
        };
        let mut mqtt = Mqtt::connect_as(&engine, &connect).await;
        if level == 5 {
            let (code, why) = mqtt.disconnected().await;
            assert_eq!(code, 0x8d, "{why}");
        } else {
            assert_eq!(mqtt.closed().await, []);
        }
        assert_eq!(disconnected(&engine).await["reason"], "will");
        assert_eq!(payloads(&engine.client(), "sensor.gone").await.len(), 1);
    }
}

#[tokio::test]
async fn the_newest_session_has_the_device() {
    for level in VERSIONS {
        let engine = engine().await;
        let (id, mut first) = with_will(&engine, level, "events/sensor.gone").await;
        let mut second = Mqtt::connect(&engine, level, &id).await;
        if level == 5 {
            assert_eq!(first.disconnected().await.0, 0x8e);
        } else {
            assert_eq!(first.closed().await, []);
        }
        let properties: Option<&[u8]> = (level == 5).then_some(&[]);
        second
            .send(&publish("events/a.b", 1, 1, properties, b"1"))
            .await;
        second.expect(0x40).await;
        let client = engine.client();
        assert_eq!(
            text(&until_state(&client, &id, "connected").await, "id"),
            id
        );
        assert_eq!(
            payloads(&client, "sensor.gone").await.len(),
            0,
            "it is not gone"
        );
    }
}

#[tokio::test]
async fn a_revoked_key_and_an_operator_end_a_session() {
    for level in VERSIONS {
        let engine = watchful().await;
        let client = engine.client();
        let id = device(&client).await;
        let body = json!({ "name": "k", "permissions": ["devices:connect"] });
        let key = client.post("/v1/keys", &body).await.ok(201).data();
        let connect = Connect::new(level, &id, text(&key, "key"));
        let mut mqtt = Mqtt::connect_as(&engine, &connect).await;
        let path = format!("/v1/keys/{}", text(&key, "id"));
        client.call(reqwest::Method::DELETE, &path).await.ok(204);
        stays_down(&mut mqtt, level).await;
        until_logged(&client, "device.disconnected").await;

        let mut mqtt = Mqtt::connect(&engine, level, &id).await;
        until_state(&client, &id, "connected").await;
        let path = format!("/v1/devices/{id}/disconnect");
        let answer = client.post(&path, &json!({})).await;
        assert!((200..300).contains(&answer.status), "{}", answer.text());
        stays_down(&mut mqtt, level).await;
        let said = disconnected(&engine).await;
        assert_eq!(said["reason"], "disconnected");
    }
}

async fn stays_down(mqtt: &mut Mqtt, level: u8) {
    if level == 5 {
        let (code, why) = mqtt.disconnected().await;
        assert_eq!(code, 0x98, "{why}");
        assert!(why.contains("stay down"), "{why}");
    } else {
        assert_eq!(mqtt.closed().await, []);
    }
}

#[tokio::test]
async fn a_node_that_ends_says_goodbye_and_finishes_what_came() {
    let mut engine = engine().await;
    let (id, mut mqtt) = connected(&engine, 5).await;
    let (_, mut silent) = connected(&engine, 4).await;
    mqtt.send(&publish("events/a.b", 1, 1, Some(&[]), b"1"))
        .await;
    mqtt.expect(0x40).await;
    engine.send_sigterm().await;
    let (code, why) = mqtt.disconnected().await;
    assert_eq!(code, 0x8b);
    assert!(why.contains("connect again"), "{why}");
    assert_eq!(silent.closed().await, []);
    assert!(engine.ended().await.success(), "{}", engine.log());
    engine.start_again().await;
    let client = engine.client();
    until("the device can come back", async || {
        let port = crate::harness::mqtt::port(&engine).await;
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        stream.ok().map(drop)
    })
    .await;
    drop(Mqtt::connect(&engine, 5, &id).await);
    let reasons = payloads(&client, "device.disconnected").await;
    assert_eq!(reasons[0]["reason"], "shutdown");
    assert_eq!(payloads(&client, "a.b").await.len(), 1);
}
