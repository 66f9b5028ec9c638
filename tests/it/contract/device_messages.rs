//! API §8: messages out, and the list of those that came and went.

use reqwest::Method;
use serde_json::{Value, json};

use super::devices::{made, make, until_state};
use crate::harness::{
    Client, Engine, Gateway, Reply, Serving,
    client::{number, text},
};

const CHAT: &str = "1234567890@s.whatsapp.net";

/// A device whose gateway sends every message, calling them `net-1`, `net-2`, …
async fn sending(engine: &Engine) -> (String, Serving) {
    let client = engine.client();
    let device = made(&client).await;
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    until_state(&client, &device, "connected").await;
    let mut sent = 0;
    let serving = gateway.serve(move |command| {
        sent += 1;
        let chat = &command["args"]["to"];
        let key = json!({ "chat": chat, "sender": "", "id": format!("net-{sent}") });
        Reply::Done(json!({ "key": key }))
    });
    (device, serving)
}

pub(super) fn messages(device: &str) -> String {
    format!("/v1/devices/{device}/messages")
}

/// The one message that the list shows.
pub(super) async fn only_message(client: &Client, device: &str) -> Value {
    let listed = client.every_page(&messages(device)).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed[0].clone()
}

#[tokio::test]
async fn a_message_reaches_the_gateway_byte_for_byte_and_is_answered_with_its_id() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = sending(&engine).await;
    let body = r#"{"odd":{ "b":1,"a" : 12345678901234567890.10 },"to":"+1 (234) 567-890","text":"h\u00e9"}"#;
    let call = client.call(Method::POST, &messages(&device));
    let sent = call.body("application/json", body).await.ok(202).data();
    assert_eq!(sent["to"], CHAT);
    assert_eq!(sent["state"], "sent");
    assert_eq!(sent["device"], device.as_str());
    assert_eq!(
        sent["key"],
        json!({ "chat": CHAT, "sender": "", "id": "net-1" })
    );
    assert!(text(&sent, "id").starts_with("msg_"));

    let command = &gateway.wait_for(1).await[0];
    assert_eq!(command["name"], "message.send");
    assert_eq!(
        command["id"], sent["id"],
        "one name for command and message"
    );
    assert_eq!(command["args"]["id"], sent["id"]);
    assert_eq!(command["args"]["to"], CHAT);
    assert_eq!(command["args"]["text"], "hé");
    assert!(text(command, "deadline").ends_with('Z'));

    let listed = client.get(&messages(&device)).await.ok(200).text();
    assert!(
        listed.contains(r#""odd":{ "b":1,"a" : 12345678901234567890.10 }"#),
        "{listed}"
    );
}

#[tokio::test]
async fn receipts_move_the_state_of_a_message_and_never_back() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    until_state(&client, &device, "connected").await;
    let body = json!({ "to": "1234567890", "text": "hi" });
    let path = messages(&device);
    let call = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.post(&path, &body).await.ok(202).data() }
    });
    let command = gateway.expect("command").await;
    let pending = only_message(&client, &device).await;
    assert_eq!(pending["state"], "pending");
    assert_eq!(pending["id"], command["id"]);
    assert_eq!(pending["direction"], "out");
    let key = json!({ "chat": CHAT, "sender": "", "id": "net-1" });
    let result =
        json!({ "kind": "result", "id": command["id"], "ok": true, "data": { "key": key } });
    gateway.say(&result).await;
    let sent = call.await.unwrap();
    assert_eq!(only_message(&client, &device).await["state"], "sent");
    for (kind, state) in [
        ("receipt.read", "read"),
        ("receipt.delivery", "read"),
        ("message.received", "read"),
    ] {
        let event = json!({ "type": kind, "key": key, "data": { "key": key } });
        gateway.event(event).await;
        let message = only_message(&client, &device).await;
        assert_eq!(message["state"], state, "after {kind}");
        assert_eq!(message["id"], sent["id"], "after {kind}");
        assert_eq!(message["message_id"], "net-1");
    }
}

#[tokio::test]
async fn a_message_without_a_gateway_is_refused_as_offline() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let body = json!({ "to": "1234567890", "text": "hi" });
    let answer = client.post(&messages(&device), &body).await;
    let problem = answer.problem(409, "device_offline");
    let failed = only_message(&client, &device).await;
    assert_eq!(problem["message"], failed["id"]);
}

#[tokio::test]
async fn a_message_that_the_gateway_refuses_tells_why() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    let _serving = gateway.serve(|_| Reply::Refused("not_on_network", "no such number"));
    let body = json!({ "to": "1234567890", "text": "hi" });
    let answer = client.post(&messages(&device), &body).await;
    let problem = answer.problem(502, "device_refused");
    let expected = json!({ "code": "not_on_network", "message": "no such number" });
    assert_eq!(problem["device_error"], expected);
    let failed = only_message(&client, &device).await;
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["error"], expected);
    assert_eq!(problem["message"], failed["id"], "so that it can be found");
}

#[tokio::test]
async fn a_message_is_sent_once_for_each_idempotency_key() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = sending(&engine).await;
    let body = json!({ "to": "1234567890", "text": "hi" });
    let post = || {
        let call = client.post(&messages(&device), &body);
        call.header("idempotency-key", "one")
    };
    let first = post().await.ok(202).data();
    let again = post().await.ok(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.data(), first);
    assert_eq!(gateway.commands().len(), 1);
}

#[tokio::test]
async fn numbers_are_completed_for_networks_that_have_completed_ones() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = sending(&engine).await;
    for (to, full) in [
        ("1234567890", CHAT),
        ("+12 34-56.78(90)", CHAT),
        ("120363000000000000@g.us", "120363000000000000@g.us"),
        ("99@lid", "99@lid"),
    ] {
        let body = json!({ "to": to, "text": "hi" });
        let sent = client.post(&messages(&device), &body).await.ok(202).data();
        assert_eq!(sent["to"], full, "{to}");
    }
    assert_eq!(gateway.commands().len(), 4);
    let bot = make(&client, json!({ "name": "bot", "connector": "telegram" })).await;
    let bot = text(&bot, "id");
    let gateway = Gateway::connected(client.base(), engine.key(), bot).await;
    let _serving = gateway.serve(|_| Reply::Done(json!({})));
    let body = json!({ "to": "-1001234567890", "text": "hi" });
    let sent = client.post(&messages(bot), &body).await.ok(202).data();
    assert_eq!(sent["to"], "-1001234567890");
    assert_eq!(sent["key"], Value::Null, "the gateway did not say");
}

#[tokio::test]
async fn messages_that_cannot_be_sent_are_refused_before_anybody_is_told() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = sending(&engine).await;
    let path = messages(&device);
    let post = |body: String| {
        client
            .call(Method::POST, &path)
            .body("application/json", body)
    };
    for (body, pointer) in [
        ("{}", "/to"),
        (r#"{"text":"hi"}"#, "/to"),
        (r#"{"to":7,"text":"hi"}"#, "/to"),
        (r#"{"to":"","text":"hi"}"#, "/to"),
        (r#"{"to":"hello","text":"hi"}"#, "/to"),
        (r#"{"to":"12 34","text":"hi"}"#, "/to"),
        (r#"{"to":"1234567890"}"#, ""),
        (r#"{"to":"1234567890","text":null}"#, ""),
        (r#"{"to":"1234567890","reply_to":"x","mentions":[]}"#, ""),
        (r#"{"to":"1234567890","text":""}"#, "/text"),
        (r#"{"to":"1234567890","text":["hi"]}"#, "/text"),
        (r#"{"to":"1234567890","media":"http://x"}"#, "/media"),
        (r#"{"to":"1234567890","text":"a","text":"b"}"#, "/text"),
        (r#"{"to":"1234567890","to":"1234567891","text":"b"}"#, "/to"),
        (r#"{"to":"1234567890","id":"mine","text":"b"}"#, "/id"),
        ("[]", ""),
        ("7", ""),
    ] {
        let problem = post(body.to_owned()).await.problem(422, "invalid_field");
        assert_eq!(
            problem["errors"][0]["pointer"], pointer,
            "{body}: {problem}"
        );
    }
    for body in [
        String::new(),
        "{\"to\":".to_owned(),
        "nonsense".to_owned(),
        format!(
            r#"{{"to":"1234567890","a":{}{}}}"#,
            "[".repeat(70),
            "]".repeat(70)
        ),
    ] {
        post(body).await.problem(400, "malformed_json");
    }
    let call = client.call(Method::POST, &path);
    let not_text = call.body("application/json", b"{\"to\":\"\xff\"}".to_vec());
    not_text.await.problem(400, "malformed_json");
    let long = "x".repeat(65_537);
    let long = post(format!(r#"{{"to":"1234567890","text":"{long}"}}"#)).await;
    long.problem(422, "invalid_field");
    let huge = "x".repeat(300_000);
    let huge = post(format!(r#"{{"to":"1234567890","blob":"{huge}"}}"#)).await;
    huge.problem(413, "payload_too_large");
    assert!(gateway.commands().is_empty());
    assert!(client.every_page(&path).await.is_empty());
}

fn step(kind: &str, id: &str, data: &Value) -> Value {
    let key = json!({ "chat": CHAT, "sender": CHAT, "id": id });
    json!({ "type": kind, "key": key, "data": data })
}

#[tokio::test]
async fn the_list_joins_what_was_told_of_a_message_in_any_order() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    let deleted = gateway
        .event(step("message.deleted", "a", &json!({ "by": CHAT })))
        .await;
    let early = only_message(&client, &device).await;
    assert_eq!(
        early["deleted"], deleted,
        "a deletion is kept before its message"
    );
    assert_eq!(early["payload"], Value::Null);
    let edited = gateway
        .event(step("message.updated", "a", &json!({ "text": "two" })))
        .await;
    let received = gateway
        .event(step("message.received", "a", &json!({ "text": "one" })))
        .await;
    let again = gateway
        .event(step("message.received", "a", &json!({ "text": "one" })))
        .await;
    assert_eq!(again, received, "a repeated message is there already");
    let message = only_message(&client, &device).await;
    assert_eq!(message["direction"], "in");
    assert_eq!(message["chat"], CHAT);
    assert_eq!(message["sender"], CHAT);
    assert_eq!(message["message_id"], "a");
    assert_eq!(number(&message, "position"), received);
    assert_eq!(number(&message, "edited"), edited);
    assert_eq!(number(&message, "deleted"), deleted);
    assert_eq!(message["payload"], json!({ "text": "one" }));
    assert_eq!(message["edit"], json!({ "text": "two" }));
    assert_eq!(message["sent"], Value::Null);
    let id = text(&message, "id");
    assert!(id.starts_with("evt_"), "{id}");
    let event = client.get(&format!("/v1/events/{id}")).await.ok(200).data();
    assert_eq!(event["device"], device.as_str());
}

#[tokio::test]
async fn the_list_has_filters_and_pages() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, _serving) = sending(&engine).await;
    let path = messages(&device);
    for to in ["1234567890", "1234567891"] {
        let body = json!({ "to": to, "text": "hi" });
        client.post(&path, &body).await.ok(202);
    }
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    for id in ["a", "b", "c"] {
        gateway
            .event(step("message.received", id, &json!({ "text": id })))
            .await;
    }
    let count = async |query: &str| client.every_page(&format!("{path}?{query}")).await.len();
    assert_eq!(count("limit=2").await, 5);
    assert_eq!(count("chat=1234567890").await, 4, "a number names its chat");
    assert_eq!(count("direction=in&limit=1").await, 3);
    assert_eq!(count("direction=out").await, 2);
    assert_eq!(count("state=sent&limit=1").await, 2);
    assert_eq!(count("state=failed").await, 0);
    assert_eq!(count("direction=out&chat=1234567891").await, 1);
    let all = client.every_page(&path).await;
    let times: Vec<&str> = all.iter().map(|message| text(message, "at")).collect();
    assert!(
        times.is_sorted_by(|later, earlier| later >= earlier),
        "{times:?}"
    );
    for wrong in [
        "direction=up",
        "state=lost",
        "chat=",
        "chat=me",
        "limit=0",
        "limit=501",
        "cursor=x",
        "unknown=1",
        "state=sent&state=sent",
    ] {
        let answer = client.get(&format!("{path}?{wrong}")).await;
        answer.problem(400, "bad_request");
    }
}
