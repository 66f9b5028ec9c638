//! Frames as they may not be, and what the engine says to them.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use super::{device, frame, gateway, log, message};
use crate::harness::{Engine, Gateway, client::text};

/// What is refused at once without ending anything: an event frame's members, and the code.
fn refused_events() -> Vec<(Value, &'static str)> {
    let key = json!({ "chat": "1", "sender": "1", "id": "A" });
    vec![
        (
            json!({ "type": "message.received", "data": 1 }),
            "invalid_field",
        ),
        (
            json!({ "type": "message.recieved", "key": key, "data": 1 }),
            "invalid_field",
        ),
        (
            json!({ "type": "device.connected", "data": 1 }),
            "invalid_field",
        ),
        (
            json!({ "type": "device.disconnected", "data": 1 }),
            "invalid_field",
        ),
        (json!({ "type": "not a type", "data": 1 }), "invalid_field"),
        (
            json!({ "type": "a", "at": "yesterday", "data": 1 }),
            "invalid_field",
        ),
        (json!({ "type": "a" }), "invalid_field"),
        (json!({ "data": 1 }), "invalid_field"),
        (
            json!({ "type": "message.received", "key": { "chat": "", "sender": "", "id": "A" }, "data": 1 }),
            "invalid_field",
        ),
        (
            json!({ "type": "a", "data": "x".repeat(262_143) }),
            "payload_too_large",
        ),
    ]
}

#[tokio::test]
async fn an_event_that_cannot_be_taken_is_refused_and_the_next_one_is_taken() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    for (number, (event, code)) in refused_events().into_iter().enumerate() {
        let name = format!("e-{number}");
        gateway.say(&frame(&name, event.clone())).await;
        let nack = gateway.expect("nack").await;
        assert_eq!(nack["id"], name.as_str(), "{nack}");
        assert_eq!(nack["error"]["code"], code, "{nack}");
        assert!(!text(&nack["error"], "message").is_empty());
    }
    gateway.event(message("A")).await;
    assert_eq!(log(&client).await.len(), 1);
}

#[tokio::test]
async fn an_event_against_the_workspaces_template_is_refused_alone() {
    let engine = Engine::start().await;
    let client = engine.client();
    let workspaces = client.get("/v1/workspaces").await.ok(200).data();
    let path = format!("/v1/workspaces/{}/template", text(&workspaces[0], "id"));
    let template = json!({ "required_payload_keys": ["celsius"] });
    let put = client
        .call(reqwest::Method::PUT, &path)
        .json(&template)
        .await;
    assert!(matches!(put.status, 200 | 201 | 204), "{}", put.text());
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    let reading = |data: Value| json!({ "type": "sensor.reading", "data": data });
    gateway
        .say(&frame("a", reading(json!({ "celsius": 1 }))))
        .await;
    gateway
        .say(&frame("b", reading(json!({ "kelvin": 1 }))))
        .await;
    gateway
        .say(&frame("c", reading(json!({ "celsius": 2 }))))
        .await;
    let nack = gateway.expect("nack").await;
    assert_eq!(nack["id"], "b");
    assert_eq!(nack["error"]["code"], "template_violation");
    let acks = [gateway.expect("ack").await, gateway.expect("ack").await];
    assert_eq!([&acks[0]["id"], &acks[1]["id"]], ["a", "c"]);
}

#[tokio::test]
async fn the_third_malformed_frame_in_a_row_ends_the_connection() {
    let engine = Engine::start().await;
    let id = device(&engine.client()).await;
    let mut gateway = gateway(&engine, &id).await;
    for malformed in ["{", "[]", r#"{"kind":"goodbye"}"#] {
        gateway.send(Message::text(malformed)).await;
        let nack = gateway.expect("nack").await;
        assert_eq!(nack["id"], Value::Null, "{nack}");
        if malformed == "[]" {
            // One that is understood begins the count anew.
            gateway
                .say(&json!({ "kind": "ping", "unknown": [1] }))
                .await;
            gateway.expect("pong").await;
        }
    }
    for malformed in ["nonsense", ""] {
        gateway.send(Message::text(malformed)).await;
        let nack = gateway.expect("nack").await;
        assert_eq!(nack["error"]["code"], "malformed_json", "{nack}");
    }
    assert_eq!(gateway.closed().await, Some(1008));
}

#[tokio::test]
async fn a_hello_comes_first_and_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let open = Gateway::try_open(client.base(), engine.key(), &id).await;
    let mut gateway = open.expect("the key is good");
    gateway.say(&frame("a", message("A"))).await;
    let nack = gateway.expect("nack").await;
    assert_eq!(nack["error"]["code"], "bad_request");
    gateway.greet(&id).await;
    gateway
        .say(&json!({ "kind": "hello", "gateway": "test/2" }))
        .await;
    let nack = gateway.expect("nack").await;
    assert_eq!(nack["error"]["code"], "bad_request");
    gateway.event(message("A")).await;
    let shown = client
        .get(&format!("/v1/devices/{id}"))
        .await
        .ok(200)
        .data();
    assert_eq!(shown["gateway"], "test/1");
}

#[tokio::test]
async fn a_connection_without_a_hello_is_closed() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let open = Gateway::try_open(client.base(), engine.key(), &id).await;
    let mut gateway = open.expect("the key is good");
    assert_eq!(gateway.closed().await, Some(1008));
    let shown = client
        .get(&format!("/v1/devices/{id}"))
        .await
        .ok(200)
        .data();
    assert_eq!(shown["fence"], 0, "no session was opened");
}

#[tokio::test]
async fn only_texts_of_a_reasonable_size_in_utf_8_may_come() {
    let engine = Engine::start().await;
    let id = device(&engine.client()).await;
    let broken = vec![0xff_u8, 0xfe, 0xfd];
    let broken = Frame::message(broken, OpCode::Data(Data::Text), true);
    let cases = [
        (Message::binary(vec![1, 2, 3]), 1003),
        (Message::Frame(broken), 1007),
        (Message::text("x".repeat(272 * 1024 + 1)), 1009),
    ];
    for (message, code) in cases {
        let mut gateway = gateway(&engine, &id).await;
        gateway.send(message).await;
        assert_eq!(gateway.closed().await, Some(code));
    }
}

#[tokio::test]
async fn a_text_may_come_in_pieces_and_pings_between_them() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    let text = frame("a", message("A")).to_string();
    let pieces: Vec<&str> = text.split_inclusive(':').collect();
    for (index, piece) in pieces.iter().enumerate() {
        let kind = if index == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let is_last = index + 1 == pieces.len();
        let piece = Frame::message(piece.to_string(), OpCode::Data(kind), is_last);
        assert!(gateway.send(Message::Frame(piece)).await);
        assert!(gateway.send(Message::Ping("here".into())).await);
    }
    let mut pongs = 0;
    loop {
        match gateway.receive().await.expect("the session is open") {
            Message::Pong(payload) => {
                assert_eq!(&payload[..], b"here");
                pongs += 1;
            }
            Message::Text(text) => {
                assert!(text.contains("\"ack\""), "{text}");
                break;
            }
            other @ (Message::Binary(_)
            | Message::Ping(_)
            | Message::Close(_)
            | Message::Frame(_)) => panic!("{other:?}"),
        }
    }
    assert!(pongs >= pieces.len() - 1);
    let mut large = message("B");
    large["data"] = json!("x".repeat(262_000));
    gateway.event(large).await;
    assert_eq!(log(&client).await.len(), 2);
}
