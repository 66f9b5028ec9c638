//! Devices by MQTT 3.1.1 and 5, against the real binary: what `docs/devices/mqtt.md` promises.

mod backpressure;
mod clients;
mod commands;
mod connects;
mod endings;
mod kills;
mod malformed;
mod publishes;

use serde_json::Value;

use super::{device, log, log_types, until_logged, until_state};
use crate::harness::{Client, Engine, Settings, client::text, mqtt::Mqtt};

/// Both versions, as CONNECT says them.
const VERSIONS: [u8; 2] = [4, 5];

/// An engine that takes MQTT.
async fn engine() -> Engine {
    Engine::start_with(settings()).await
}

/// What makes an engine take MQTT.
fn settings() -> Settings {
    Settings::default().with("TRUNKLINE__MQTT__PORT", "0")
}

/// A device that is connected.
async fn connected(engine: &Engine, level: u8) -> (String, Mqtt) {
    let client = engine.client();
    let id = device(&client).await;
    let mqtt = Mqtt::connect(engine, level, &id).await;
    until_state(&client, &id, "connected").await;
    (id, mqtt)
}

/// The payloads of all events of a type, from the oldest.
async fn payloads(client: &Client, kind: &str) -> Vec<Value> {
    let events = log(client).await;
    let of_kind = events.iter().filter(|event| text(event, "type") == kind);
    of_kind.map(|event| event["payload"].clone()).collect()
}
