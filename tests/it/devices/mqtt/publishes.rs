//! Publishing: what is taken, what is refused, and when a device hears of it.

use serde_json::json;

use super::{VERSIONS, connected, engine, log, log_types, payloads};
use crate::harness::{
    client::{number, text},
    mqtt::{publish, reason, user_property},
    until,
};

/// Whatever a version says before a payload.
fn none(level: u8) -> Option<&'static [u8]> {
    (level == 5).then_some(&[])
}

#[tokio::test]
async fn what_is_acknowledged_is_in_the_log_and_in_order() {
    for level in VERSIONS {
        let engine = engine().await;
        let client = engine.client();
        let (id, mut mqtt) = connected(&engine, level).await;
        let mut bytes = Vec::new();
        for number in 1..=50_u16 {
            let payload = format!("{{\"n\":{number}}}");
            let qos = 1 + u8::try_from(number % 2).unwrap();
            bytes.extend(publish(
                "events/sensor.reading",
                qos,
                number,
                none(level),
                payload.as_bytes(),
            ));
        }
        mqtt.send(&bytes).await;
        for number in 1..=50_u16 {
            let first = if number % 2 == 0 { 0x40 } else { 0x50 };
            assert_eq!(mqtt.expect(first).await[..2], number.to_be_bytes());
        }
        let events = log(&client).await;
        let readings: Vec<_> = events
            .iter()
            .filter(|event| event["type"] == "sensor.reading")
            .collect();
        assert_eq!(readings.len(), 50);
        for (index, event) in readings.iter().enumerate() {
            assert_eq!(event["payload"], json!({ "n": index + 1 }));
            assert_eq!(text(event, "device"), id);
        }
    }
}

#[tokio::test]
async fn a_publish_of_qos_2_goes_its_four_ways() {
    for level in VERSIONS {
        let engine = engine().await;
        let (_, mut mqtt) = connected(&engine, level).await;
        let once = publish("events/a.b", 2, 7, none(level), b"1");
        mqtt.send(&once).await;
        assert_eq!(mqtt.expect(0x50).await, [0, 7]);
        // The same again before it was released is the same.
        mqtt.send(&once).await;
        assert_eq!(mqtt.expect(0x50).await, [0, 7]);
        mqtt.send(&[0x62, 2, 0, 7]).await;
        assert_eq!(mqtt.expect(0x70).await, [0, 7]);
        mqtt.send(&[0x62, 2, 0, 7]).await;
        let unknown = mqtt.expect(0x70).await;
        assert_eq!(
            unknown,
            if level == 5 {
                vec![0, 7, 0x92]
            } else {
                vec![0, 7]
            }
        );
        mqtt.send(&once).await;
        mqtt.expect(0x50).await;
        assert_eq!(payloads(&engine.client(), "a.b").await.len(), 2);
    }
}

#[tokio::test]
async fn qos_0_is_kept_too_even_of_a_device_that_leaves_at_once() {
    for level in VERSIONS {
        let engine = engine().await;
        let client = engine.client();
        let (_, mut mqtt) = connected(&engine, level).await;
        let mut bytes = Vec::new();
        for number in 0..20 {
            let payload = format!("{number}");
            bytes.extend(publish("events/a.b", 0, 0, none(level), payload.as_bytes()));
        }
        bytes.extend([0xe0, 0]);
        mqtt.send(&bytes).await;
        assert_eq!(mqtt.closed().await, []);
        until("the session is over", async || {
            (log_types(&client).await.last()? == "device.disconnected").then_some(())
        })
        .await;
        let expected: Vec<_> = (0..20).map(|number| json!(number)).collect();
        assert_eq!(payloads(&client, "a.b").await, expected);
    }
}

#[tokio::test]
async fn payloads_that_are_no_json_become_json() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 4).await;
    for payload in [&b"21.50"[..], b"on fire", b"\xff\x00", b"{\"a\" : 1e2}"] {
        mqtt.send(&publish("events/a.b", 1, 1, None, payload)).await;
        mqtt.expect(0x40).await;
    }
    let shown = engine
        .client()
        .get("/v1/events?type=a.b&order=asc")
        .await
        .text();
    for payload in [
        "21.50",
        "\"on fire\"",
        "{\"base64\":\"/wA=\"}",
        "{\"a\" : 1e2}",
    ] {
        assert!(
            shown.contains(&format!("\"payload\":{payload}")),
            "{payload}: {shown}"
        );
    }
}

#[tokio::test]
async fn a_device_publishes_to_its_own_topics_and_to_nothing_else() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    for topic in [
        "elsewhere",
        "events",
        "commands",
        "$SYS/x",
        "dev_1/events/a.b",
    ] {
        mqtt.send(&publish(topic, 1, 1, Some(&[]), b"1")).await;
        let body = mqtt.expect(0x40).await;
        assert_eq!(body[2], 0x87, "{topic}");
        assert!(reason(&body[3..]).contains("events/TYPE"), "{body:x?}");
        mqtt.send(&publish(topic, 2, 2, Some(&[]), b"1")).await;
        assert_eq!(mqtt.expect(0x50).await[2], 0x87, "{topic}");
    }
    mqtt.send(&publish("elsewhere", 0, 0, Some(&[]), b"1"))
        .await;
    let (code, why) = mqtt.disconnected().await;
    assert_eq!(code, 0x87);
    assert!(why.contains("events/TYPE"), "{why}");
    for qos in [0, 1, 2] {
        let (_, mut mqtt) = connected(&engine, 4).await;
        mqtt.send(&publish("elsewhere", qos, 1, None, b"1")).await;
        assert_eq!(mqtt.closed().await, []);
    }
}

#[tokio::test]
async fn events_against_the_rules_are_refused_with_the_reason_after_what_came_before_them() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    let bytes = [
        publish("events/a.b", 1, 1, Some(&[]), b"1"),
        publish("events/message.received", 1, 2, Some(&[]), b"{}"),
        publish("events/message.recieved", 1, 3, Some(&[]), b"{}"),
        publish("events/device.connected", 1, 4, Some(&[]), b"{}"),
        publish("events/no type", 2, 5, Some(&[]), b"{}"),
        publish("results", 1, 6, Some(&[]), b"{}"),
        publish("events/a.b", 1, 7, Some(&[]), b"2"),
    ];
    mqtt.send(&bytes.concat()).await;
    assert_eq!(mqtt.expect(0x40).await, [0, 1]);
    for (id, first, word) in [
        (2, 0x40, "key"),
        (3, 0x40, "message.recieved"),
        (4, 0x40, "state frame"),
        (5, 0x50, "type"),
        (6, 0x40, "result"),
    ] {
        let body = mqtt.expect(first).await;
        assert_eq!((body[1], body[2]), (id, 0x99));
        let why = reason(&body[3..]);
        assert!(
            why.starts_with("invalid_field: ") && why.contains(word),
            "{why}"
        );
    }
    assert_eq!(mqtt.expect(0x40).await, [0, 7]);
    assert_eq!(
        payloads(&engine.client(), "a.b").await,
        [json!(1), json!(2)]
    );
}

#[tokio::test]
async fn messages_and_frames_with_a_name_are_kept_once() {
    let engine = engine().await;
    let client = engine.client();
    let (id, mut mqtt) = connected(&engine, 5).await;
    let message = br#"{"key":{"chat":"c","sender":"s","id":"M1"},"text":"hi"}"#;
    let named = user_property("id", "frame-1");
    for _ in 0..3 {
        mqtt.send(&publish(
            "events/message.received",
            1,
            1,
            Some(&[]),
            message,
        ))
        .await;
        assert_eq!(mqtt.expect(0x40).await, [0, 1]);
        mqtt.send(&publish("events/a.b", 1, 2, Some(&named), b"1"))
            .await;
        assert_eq!(mqtt.expect(0x40).await, [0, 2]);
    }
    assert_eq!(payloads(&client, "message.received").await.len(), 1);
    assert_eq!(payloads(&client, "a.b").await.len(), 1);
    let path = format!("/v1/devices/{id}/messages");
    let messages = client.get(&path).await.ok(200).data();
    assert_eq!(text(&messages[0], "message_id"), "M1");
}

#[tokio::test]
async fn properties_say_what_a_payload_does_not() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    let properties = [
        user_property("chat", "c"),
        user_property("id", "M7"),
        user_property("at", "2026-01-02T03:04:05Z"),
    ];
    let properties = properties.concat();
    mqtt.send(&publish(
        "events/message.received",
        1,
        1,
        Some(&properties),
        b"plain text",
    ))
    .await;
    assert_eq!(mqtt.expect(0x40).await, [0, 1]);
    let event = log(&engine.client()).await.pop().unwrap();
    assert_eq!(event["payload"], json!("plain text"));
    assert_eq!(event["occurred_at"], json!("2026-01-02T03:04:05.000000Z"));
    assert!(number(&event, "position") > 0);
}

#[tokio::test]
async fn an_alias_stands_for_a_topic_after_it_was_given() {
    let engine = engine().await;
    let (_, mut mqtt) = connected(&engine, 5).await;
    let alias = [0x23, 0, 1];
    mqtt.send(&publish("events/a.b", 1, 1, Some(&alias), b"1"))
        .await;
    mqtt.send(&publish("", 1, 2, Some(&alias), b"2")).await;
    assert_eq!(mqtt.expect(0x40).await, [0, 1]);
    assert_eq!(mqtt.expect(0x40).await, [0, 2]);
    assert_eq!(
        payloads(&engine.client(), "a.b").await,
        [json!(1), json!(2)]
    );
    mqtt.send(&publish("", 1, 3, Some(&[0x23, 0, 2]), b"3"))
        .await;
    assert_eq!(mqtt.disconnected().await.0, 0x94);
}
