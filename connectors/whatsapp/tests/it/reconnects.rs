//! Connections that are lost on either side.

use serde_json::json;
use whatsapp_rust::proto_helpers::MessageExt as _;

use crate::{
    connector::Connector,
    engine::DEVICE,
    network::attr,
    pairing::{ADA, paired},
};

#[tokio::test]
async fn a_connection_to_the_network_that_is_lost_comes_back_with_what_was_missed() {
    let (engine, network, connector) = paired().await;
    network.logins(1).await;
    network.cut();
    let offline = engine.state("offline", 1).await;
    assert_eq!(offline["reason"], "connection_lost");
    network.say(ADA, "M1", "missed").await;
    let event = engine.event("message.received").await;
    assert_eq!(event["data"]["text"], "missed");
    engine.state("connected", 2).await;
    network
        .sent(|node| node.tag == "receipt" && attr(node, "id") == "M1")
        .await;
    drop(connector);
}

#[tokio::test]
async fn a_session_with_the_engine_that_is_lost_comes_back_and_keys_are_kept_under_its_fence() {
    let (engine, network, connector) = paired().await;
    network.say(ADA, "M1", "one").await;
    engine.event("message.received").await;
    engine.cut();
    engine.sessions(2).await;
    // Its new session hears at once where the device stands.
    engine.state("connected", 2).await;
    network.say(ADA, "M2", "two").await;
    network
        .sent(|node| node.tag == "receipt" && attr(node, "id") == "M2")
        .await;
    assert_eq!(engine.events("message.received").len(), 2);
    drop(connector);
}

#[tokio::test]
async fn an_account_is_taken_over_by_a_connector_on_another_machine() {
    let (engine, network, connector) = paired().await;
    network.say(ADA, "M1", "one").await;
    engine.event("message.received").await;
    assert!(connector.terminate().await.success());
    let other = Connector::start(&engine.url(), DEVICE, "ak_test", &network.url());
    network.logins(2).await;
    engine.state("connected", 2).await;
    let args = json!({"to": "491510000002@s.whatsapp.net", "text": "here I am"});
    let result = engine.command("msg_2", "message.send", &args).await;
    assert_eq!(result["ok"], true, "{result}");
    let stanza = network.message_to(ADA).await;
    assert_eq!(
        network.read(ADA, &stanza).await.text_content(),
        Some("here I am")
    );
    drop(other);
}
