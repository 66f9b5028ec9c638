//! The gateway protocol as others speak it: Python's `websockets`, with nothing of ours.

use serde_json::{Value, json};

use super::{device, log_types, until_state};
use crate::harness::{Engine, python::python};

#[tokio::test]
async fn a_gateway_in_python_connects_sends_and_carries_out_a_command() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let url = client.base().replacen("http", "ws", 1);
    let url = format!("{url}/v1/devices/{id}/session");
    let asks = async {
        until_state(&client, &id, "connected").await;
        let path = format!("/v1/devices/{id}/groups/7@g.us");
        client.get(&path).await.ok(200).data()
    };
    let arguments = [url.as_str(), engine.key()];
    let (told, answer) = tokio::join!(python("devices/gateway.py", &arguments), asks);
    assert_eq!(answer, json!({ "subject": "Crew" }));

    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["subprotocol"], "trunkline.v1");
    assert_eq!(told["extensions"], json!([]), "nothing is compressed");
    assert_eq!(told["refused"], json!("invalid_field"));
    assert_eq!(told["command"], "group.info");
    let positions = told["positions"].as_array().unwrap();
    assert_eq!(positions.len(), 100);
    assert!(positions.is_sorted_by_key(Value::as_u64));
    assert_eq!(told["again"], positions[0], "the same event again");
    assert_eq!(told["closed"], 1000);

    until_state(&client, &id, "offline").await;
    let types = log_types(&client).await;
    assert_eq!(types.len(), 102, "{types:?}");
}
