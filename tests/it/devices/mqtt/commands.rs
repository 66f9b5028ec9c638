//! Commands to a device, and what became of them.

use serde_json::{Value, json};

use super::{VERSIONS, connected, engine, settings};
use crate::harness::{
    Engine,
    mqtt::{Mqtt, publish, reason, subscribe},
};

/// The command in a PUBLISH, and its packet id if it has one.
fn command(first: u8, body: &[u8], level: u8) -> (Value, Option<u16>) {
    assert_eq!(body[..10], *b"\0\x08commands");
    let (id, mut payload) = match (first >> 1) & 3 {
        0 => (None, &body[10..]),
        _ => (Some(u16::from_be_bytes([body[10], body[11]])), &body[12..]),
    };
    if level == 5 {
        assert_eq!(payload[0], 0, "no properties");
        payload = &payload[1..];
    }
    (serde_json::from_slice(payload).expect("JSON"), id)
}

/// Waits for a command, and answers it.
async fn carry_out(mqtt: &mut Mqtt, level: u8, result: Value) -> Value {
    let (first, body) = mqtt.packet().await.expect("a packet");
    let (command, id) = command(first, &body, level);
    if let Some(id) = id {
        mqtt.send(&[&[0x40, 2][..], &id.to_be_bytes()].concat())
            .await;
    }
    let mut answer = json!({ "id": command["id"] });
    let members = answer.as_object_mut().expect("an object");
    let Value::Object(result) = result else {
        panic!("a result is an object");
    };
    members.extend(result);
    let properties: Option<&[u8]> = (level == 5).then_some(&[]);
    let answer = answer.to_string();
    mqtt.send(&publish("results", 1, 77, properties, answer.as_bytes()))
        .await;
    assert_eq!(mqtt.expect(0x40).await, [0, 77]);
    command
}

#[tokio::test]
async fn a_command_goes_to_its_topic_and_its_result_comes_back() {
    for (level, qos) in [(4, 0), (4, 1), (5, 1), (5, 2)] {
        let engine = engine().await;
        let client = engine.client();
        let (id, mut mqtt) = connected(&engine, level).await;
        mqtt.send(&subscribe(level, &[("commands", qos)])).await;
        let granted = *mqtt.expect(0x90).await.last().unwrap();
        assert_eq!(granted, qos.min(1));
        let path = format!("/v1/devices/{id}/groups/7@g.us");
        let asks = async { client.get(&path).await.ok(200).data() };
        let done = json!({ "ok": true, "data": { "subject": "Crew" } });
        let (answer, command) = tokio::join!(asks, carry_out(&mut mqtt, level, done));
        assert_eq!(answer, json!({ "subject": "Crew" }));
        assert_eq!(command["kind"], "command");
        assert_eq!(command["name"], "group.info");
        assert_eq!(command["args"], json!({ "group": "7@g.us" }));

        let asks = async { client.get(&path).await.problem(502, "device_refused") };
        let refused = json!({ "ok": false, "error": { "code": "no", "message": "never" } });
        tokio::join!(asks, carry_out(&mut mqtt, level, refused));
    }
}

#[tokio::test]
async fn a_command_waits_until_its_device_wants_it_and_comes_again_after_a_reconnect() {
    let engine = engine().await;
    let client = engine.client();
    let (id, first) = connected(&engine, 5).await;
    let path = format!("/v1/devices/{id}/groups/7@g.us");
    let asks = async { client.get(&path).await.ok(200).data() };
    let works = async {
        // It may be on its way to this connection, which never asks for it.
        let mut second = Mqtt::connect(&engine, 5, &id).await;
        drop(first);
        second.send(&subscribe(5, &[("commands", 1)])).await;
        second.expect(0x90).await;
        let done = json!({ "ok": true, "data": 1 });
        carry_out(&mut second, 5, done).await
    };
    let (answer, _) = tokio::join!(asks, works);
    assert_eq!(answer, json!(1));
}

/// Asks a device for something that it is not told.
async fn ask_in_vain(engine: &Engine, id: &str) {
    let path = format!("/v1/devices/{id}/groups/7@g.us");
    let answer = engine.client().get(&path).await;
    answer.problem(504, "device_timeout");
}

#[tokio::test]
async fn a_device_that_takes_no_commands_lets_them_time_out() {
    let settings = settings().with("TRUNKLINE__DEVICES__COMMAND_TIMEOUT_MS", "500");
    let engine = Engine::start_with(settings).await;
    let (id, mut mqtt) = connected(&engine, 4).await;
    ask_in_vain(&engine, &id).await;
    // Nobody waits for it any more: it is not sent.
    mqtt.send(&[&subscribe(4, &[("commands", 1)])[..], &[0xc0, 0]].concat())
        .await;
    mqtt.expect(0x90).await;
    mqtt.expect(0xd0).await;
}

#[tokio::test]
async fn a_device_subscribes_to_its_commands_and_to_nothing_else() {
    let filters = [
        ("commands", 1),
        ("events/a.b", 0),
        ("#", 1),
        ("+", 0),
        ("$share/g/commands", 1),
    ];
    for level in VERSIONS {
        let engine = engine().await;
        let (_, mut mqtt) = connected(&engine, level).await;
        mqtt.send(&subscribe(level, &filters)).await;
        let body = mqtt.expect(0x90).await;
        let (codes, expected) = if level == 5 {
            assert!(reason(&body[2..]).contains("commands"), "{body:x?}");
            (&body[body.len() - 5..], [1, 0x87, 0xa2, 0xa2, 0x9e])
        } else {
            (&body[2..], [1, 0x80, 0x80, 0x80, 0x80])
        };
        assert_eq!(codes, expected);
    }
}

#[tokio::test]
async fn who_unsubscribes_gets_no_more_commands() {
    let settings = settings().with("TRUNKLINE__DEVICES__COMMAND_TIMEOUT_MS", "500");
    let engine = Engine::start_with(settings).await;
    let (id, mut mqtt) = connected(&engine, 5).await;
    mqtt.send(&subscribe(5, &[("commands", 1)])).await;
    mqtt.expect(0x90).await;
    mqtt.send(b"\xa2\x12\0\x02\0\0\x08commands\0\x03abc").await;
    assert_eq!(mqtt.expect(0xb0).await, [0, 2, 0, 0, 0x11]);
    ask_in_vain(&engine, &id).await;
    mqtt.send(&[0xc0, 0]).await;
    mqtt.expect(0xd0).await;
}
