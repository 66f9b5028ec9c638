//! Who is let in, and what the others hear.

use serde_json::json;

use super::{VERSIONS, connected, device, engine, settings, until_state};
use crate::harness::{
    Engine,
    client::text,
    mqtt::{Connect, Mqtt, port, publish, reason, string},
};

/// What is answered to a CONNECT: the code, and in version 5 the sentence.
async fn refused(engine: &Engine, connect: &Connect) -> (u8, String) {
    let mut client = Mqtt::open(port(engine).await).await;
    client.send(&connect.bytes()).await;
    let body = client.expect(0x20).await;
    assert_eq!(client.closed().await, []);
    (body[1], reason(&body[2..]))
}

async fn key(engine: &Engine, body: serde_json::Value) -> (String, String) {
    let made = engine.client().post("/v1/keys", &body).await.ok(201).data();
    (text(&made, "id").to_owned(), text(&made, "key").to_owned())
}

#[tokio::test]
async fn a_device_that_is_let_in_is_connected_and_shows_it() {
    for level in VERSIONS {
        let engine = engine().await;
        let client = engine.client();
        let (id, mut mqtt) = connected(&engine, level).await;
        let shown = until_state(&client, &id, "connected").await;
        let gateway = if level == 5 { "mqtt/5" } else { "mqtt/3.1.1" };
        assert_eq!(shown["gateway"], gateway);
        mqtt.send(&[0xc0, 0]).await;
        assert!(mqtt.expect(0xd0).await.is_empty());
    }
}

#[tokio::test]
async fn version_5_hears_what_it_may_do() {
    let engine = engine().await;
    let id = device(&engine.client()).await;
    let mut client = Mqtt::open(port(&engine).await).await;
    let mut connect = Connect::new(5, &id, engine.key());
    // Sessions are not kept, whatever a device would like.
    connect.properties = vec![0x11, 0, 0, 0, 60];
    client.send(&connect.bytes()).await;
    let body = client.expect(0x20).await;
    for property in [
        &[0x21, 0, 64][..],
        &[0x27, 0, 4, 0x40, 0],
        &[0x11, 0, 0, 0, 0],
        &[0x25, 0],
    ] {
        assert!(
            body.windows(property.len()).any(|found| found == property),
            "{body:x?}"
        );
    }
}

#[tokio::test]
async fn the_wrong_device_or_key_is_told_in_the_words_of_its_version() {
    let engine = engine().await;
    let client = engine.client();
    let id = device(&client).await;
    let reads = json!({ "name": "k", "permissions": ["devices:read"] });
    let (_, reads) = key(&engine, reads).await;
    let unknown = "dev_019aa3b0-7c1e-7d51-9a3e-2f5c8f0f6b11";
    let other = engine.tenant("other", "growth").await;
    let workspace = client
        .post("/v1/workspaces", &json!({ "slug": "w", "name": "W" }))
        .await;
    let workspace = workspace.ok(201).data();
    let confined = json!({
        "name": "k", "scope": text(&workspace, "id"), "permissions": ["devices:connect"],
    });
    let (_, confined) = key(&engine, confined).await;
    for (device, key, old, new, word) in [
        (&*id, "ak_x_0", 4, 0x86, "not known"),
        (&*id, "", 4, 0x86, "not known"),
        (&*id, &*reads, 5, 0x87, "devices:connect"),
        (unknown, engine.key(), 2, 0x85, "no such device"),
        ("kitchen", engine.key(), 2, 0x85, "dev_"),
        ("", engine.key(), 2, 0x85, "dev_"),
        (&*id, &*other.key, 2, 0x85, "no such device"),
        (&*id, &*confined, 2, 0x85, "no such device"),
    ] {
        let answer = refused(&engine, &Connect::new(4, device, key)).await;
        assert_eq!(answer, (old, String::new()), "{device} {word}");
        let (code, why) = refused(&engine, &Connect::new(5, device, key)).await;
        assert_eq!(code, new, "{why}");
        assert!(why.contains(word), "{why}");
    }
    let nobody = Connect {
        password: None,
        ..Connect::new(5, &id, "")
    };
    assert_eq!(refused(&engine, &nobody).await.0, 0x86);
}

#[tokio::test]
async fn other_versions_hear_which_are_spoken() {
    let engine = engine().await;
    for (name, level) in [("MQIsdp", 3), ("MQTT", 6)] {
        let mut client = Mqtt::open(port(&engine).await).await;
        let body = [&string(name)[..], &[level, 2, 0, 60], &string("a")].concat();
        client
            .send(&crate::harness::mqtt::packet(0x10, &body))
            .await;
        assert_eq!(client.closed().await, [(0x20, vec![0, 1])]);
    }
}

#[tokio::test]
async fn a_will_outside_of_the_devices_topics_keeps_it_out() {
    let engine = engine().await;
    let id = device(&engine.client()).await;
    for topic in ["elsewhere", "results", "events/device.connected"] {
        let connect = Connect::new(5, &id, engine.key()).will(topic, "{}");
        let (code, why) = refused(&engine, &connect).await;
        assert_eq!(code, 0x87, "{topic}");
        assert!(why.starts_with("the will: "), "{why}");
    }
}

#[tokio::test]
async fn a_device_that_comes_again_and_again_has_to_wait() {
    for level in VERSIONS {
        let engine = engine().await;
        let id = device(&engine.client()).await;
        let connect = Connect::new(level, &id, engine.key());
        for _ in 0..10 {
            drop(Mqtt::connect_as(&engine, &connect).await);
        }
        let (code, why) = refused(&engine, &connect).await;
        if level == 5 {
            assert_eq!(code, 0x9f);
            assert!(why.contains("come back in"), "{why}");
        } else {
            assert_eq!(code, 3);
        }
    }
}

#[tokio::test]
async fn what_comes_before_connack_is_taken_after_it() {
    let engine = engine().await;
    let id = device(&engine.client()).await;
    let mut client = Mqtt::open(port(&engine).await).await;
    let connect = Connect::new(4, &id, engine.key()).bytes();
    let together = [connect, publish("events/a.b", 1, 9, None, b"1")].concat();
    // Byte by byte is as good as all at once.
    for byte in &together {
        client.send(&[*byte]).await;
    }
    assert_eq!(client.expect(0x20).await, [0, 0]);
    assert_eq!(client.expect(0x40).await, [0, 9]);
}

#[tokio::test]
async fn half_open_connections_wait_for_a_place_and_lose_it_after_a_while() {
    let settings = settings()
        .with("TRUNKLINE__SERVER__CONNECTIONS_MAX", "8")
        .with("TRUNKLINE__SERVER__WORKERS", "1")
        .with("TRUNKLINE__MQTT__CONNECT_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let id = device(&engine.client()).await;
    let port = port(&engine).await;
    let mut silent = Vec::new();
    for _ in 0..24 {
        silent.push(Mqtt::open(port).await);
    }
    let connect = Connect::new(5, &id, engine.key());
    let (mut mqtt, code) = Mqtt::try_connect(port, &connect).await;
    assert_eq!(code, 0);
    for mut client in silent {
        assert_eq!(client.closed().await, []);
    }
    mqtt.send(&[0xc0, 0]).await;
    mqtt.expect(0xd0).await;
}
