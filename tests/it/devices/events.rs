//! What a device sends reaches everybody who reads events.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{device, gateway, log, message, until_state};
use crate::harness::{
    Engine, Sink,
    client::{number, text},
};

/// Every type that a gateway says with an event frame.
fn events() -> Vec<Value> {
    let key = json!({ "chat": "1@s.whatsapp.net", "sender": "1@s.whatsapp.net", "id": "M1" });
    let own = json!({ "chat": "1@s.whatsapp.net", "sender": "", "id": "M2" });
    vec![
        json!({ "type": "message.received", "key": key, "at": "2026-11-21T10:00:00Z", "data": { "text": "a" } }),
        json!({ "type": "message.updated", "key": key, "data": { "text": "b" } }),
        json!({ "type": "message.deleted", "key": key, "data": {} }),
        json!({ "type": "receipt.delivery", "key": own, "data": {} }),
        json!({ "type": "receipt.read", "key": own, "data": {} }),
        json!({ "type": "group.created", "data": { "group": "7@g.us" } }),
        json!({ "type": "group.updated", "data": { "group": "7@g.us" } }),
        json!({ "type": "group.deleted", "data": { "group": "7@g.us" } }),
        json!({ "type": "participant.added", "data": { "group": "7@g.us" } }),
        json!({ "type": "participant.removed", "data": { "group": "7@g.us" } }),
        json!({ "type": "contact.updated", "data": { "contact": "1@s.whatsapp.net" } }),
    ]
}

#[tokio::test]
async fn all_thirteen_types_reach_the_log_a_webhook_a_tail_and_a_consumer() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let webhook = client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await;
    let secret = webhook.ok(201).data();
    let id = device(&client).await;
    let mut tail = client.tail(&format!("device={id}"), None).await;

    let mut gateway = gateway(&engine, &id).await;
    gateway
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    let mut positions = Vec::new();
    for event in events() {
        positions.push(gateway.event(event).await);
    }
    gateway
        .say(&json!({ "kind": "state", "state": "offline", "reason": "away" }))
        .await;

    let mut expected = vec!["device.connected".to_owned()];
    expected.extend(events().iter().map(|event| text(event, "type").to_owned()));
    expected.push("device.disconnected".to_owned());
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), 13);
    let frames = tail.events(13).await;
    let tailed: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame.event.clone())
        .collect();
    assert_eq!(tailed, expected);

    let kept = log(&client).await;
    let types: Vec<_> = kept.iter().map(|event| text(event, "type")).collect();
    assert_eq!(types, expected);
    assert!(kept.iter().all(|event| event["device"] == id.as_str()));
    for ((sent, kept), position) in events().iter().zip(&kept[1..]).zip(positions) {
        assert_eq!(sent["data"], kept["payload"]);
        assert_eq!(number(kept, "position"), position);
    }
    assert_eq!(kept[1]["occurred_at"], "2026-11-21T10:00:00.000000Z");
    assert_eq!(kept[1]["ordering_key"], "1@s.whatsapp.net");
    assert_eq!(kept[12]["payload"]["reason"], "away");

    let received = sink.wait_for(13).await;
    let delivered: BTreeSet<_> = received
        .iter()
        .map(|one| {
            one.verify(text(&secret, "secret"));
            text(&one.json(), "type").to_owned()
        })
        .collect();
    assert_eq!(delivered, expected.iter().cloned().collect());

    let inbox = client.get("/v1/inbox?consumer=c").await.ok(200).data();
    let pulled = inbox.as_array().unwrap().iter();
    let pulled: Vec<_> = pulled.map(|event| text(event, "type")).collect();
    assert_eq!(pulled, expected);
}

#[tokio::test]
async fn what_a_device_sent_before_it_is_known_again_by_its_key() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut first = gateway(&engine, &id).await;
    let one = first.event(message("A")).await;
    let two = first.event(message("B")).await;
    let reading = json!({ "id": "r-1", "type": "sensor.reading", "data": { "celsius": 20 } });
    let three = first.event(reading.clone()).await;
    assert_eq!(first.event(message("A")).await, one, "in the same session");
    drop(first);

    let mut again = gateway(&engine, &id).await;
    assert_eq!(again.event(message("B")).await, two);
    assert_eq!(again.event(reading).await, three, "the same frame");
    let other = json!({ "id": "r-1", "type": "sensor.reading", "data": { "celsius": 21 } });
    let four = again.event(other).await;
    assert!(four > three, "the same frame id, but another event");
    assert_eq!(log(&client).await.len(), 4);
}

#[tokio::test]
async fn a_payload_is_kept_byte_for_byte() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    let data = "{ \"b\" : 1.50,\"a\":[ null ,\"\\u00e9\" ]}";
    let text = format!(r#"{{"kind":"event","id":"x","type":"sensor.reading","data":{data}}}"#);
    assert!(
        gateway
            .send(tokio_tungstenite::tungstenite::Message::text(text))
            .await
    );
    let ack = gateway.expect("ack").await;
    let path = format!(
        "/v1/events?after={}&order=asc",
        number(&ack, "position") - 1
    );
    let body = client.get(&path).await.ok(200).text();
    assert!(body.contains(data), "{body}");
}

#[tokio::test]
async fn what_is_asked_of_a_device_comes_back_as_the_gateway_said_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    gateway
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    until_state(&client, &id, "connected").await;
    let serving = gateway.serve(|command| {
        crate::harness::gateway::Reply::Done(json!({ "told": command["args"]["group"] }))
    });
    let answer = client.get(&format!("/v1/devices/{id}/groups/7@g.us")).await;
    assert_eq!(answer.ok(200).data(), json!({ "told": "7@g.us" }));
    assert_eq!(serving.commands().len(), 1);
}
