//! Devices by the gateway protocol, against the real binary: what `docs/gateway-protocol.asyncapi.yaml` promises.
//!
//! What REST promises about devices stands in `contract::devices`.

mod backpressure;
mod endings;
mod events;
mod frames;
mod handshake;
mod kills;
mod mqtt;
mod other_languages;
mod sessions;

use serde_json::{Value, json};

use crate::harness::{Client, Engine, Gateway, client::text, until};

/// Makes a device; answers its id.
async fn device(client: &Client) -> String {
    let made = client
        .post("/v1/devices", &json!({ "name": "phone" }))
        .await;
    text(&made.ok(201).data(), "id").to_owned()
}

/// A gateway of the engine's first tenant that said hello.
async fn gateway(engine: &Engine, device: &str) -> Gateway {
    Gateway::connect(engine.client().base(), engine.key(), device).await
}

/// Waits until a device is in a state, and answers it.
async fn until_state(client: &Client, device: &str, state: &str) -> Value {
    let path = format!("/v1/devices/{device}");
    until(&format!("the device is {state}"), async || {
        let device = client.get(&path).await.ok(200).data();
        (device["state"] == state).then_some(device)
    })
    .await
}

/// Everything that stands in the tenant's log, from the oldest.
async fn log(client: &Client) -> Vec<Value> {
    client.every_page("/v1/events?order=asc&limit=500").await
}

/// The types of the log's events, from the oldest.
async fn log_types(client: &Client) -> Vec<String> {
    let events = log(client).await;
    events
        .iter()
        .map(|event| text(event, "type").to_owned())
        .collect()
}

/// Waits until the log ends with an event of this type, and answers its payload.
async fn until_logged(client: &Client, kind: &str) -> Value {
    until(&format!("{kind} is in the log"), async || {
        let last = log(client).await.pop()?;
        (last["type"] == kind).then(|| last["payload"].clone())
    })
    .await
}

/// A message that came in.
fn message(id: &str) -> Value {
    json!({
        "type": "message.received",
        "key": { "chat": "1@s.whatsapp.net", "sender": "1@s.whatsapp.net", "id": id },
        "data": { "text": id },
    })
}

/// The same as a frame.
fn frame(frame_id: &str, event: Value) -> Value {
    let mut frame = json!({ "kind": "event", "id": frame_id });
    let members = frame.as_object_mut().expect("an object");
    let Value::Object(event) = event else {
        panic!("an event is an object");
    };
    members.extend(event);
    frame
}
