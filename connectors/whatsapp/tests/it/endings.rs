//! What ends an account's connection for good, or only for a while.

use serde_json::json;
use whatsapp_rust::NodeBuilder;

use crate::pairing::{ADA, paired};

#[tokio::test]
async fn an_account_that_was_unlinked_is_forgotten_and_can_be_paired_anew() {
    let (engine, network, connector) = paired().await;
    network.logins(1).await;
    network.unlink();
    let offline = engine
        .frame(|frame| frame["state"] == "offline" && frame["reason"] == "logged_out")
        .await;
    assert_eq!(offline["kind"], "state");
    let first = engine.state("pairing", 1).await;
    // The keys are new, and with them the code.
    let again = engine
        .frame(|frame| frame["state"] == "pairing" && frame["qr"] != first["qr"])
        .await;
    network.scan(again["qr"].as_str().expect("a QR code")).await;
    engine.state("connected", 2).await;
    drop(connector);
}

#[tokio::test]
async fn an_account_that_is_banned_for_a_while_says_so_and_waits() {
    let (engine, network, connector) = paired().await;
    let ban = NodeBuilder::new("failure")
        .attr("reason", "402")
        .attr("code", "101")
        .attr("expire", "21600");
    network.refuse(ban.build());
    engine
        .frame(|frame| frame["state"] == "offline" && frame["reason"] == "banned")
        .await;
    assert!(connector.terminate().await.success());
}

#[tokio::test]
async fn a_network_that_is_out_of_service_is_tried_again() {
    let (engine, network, connector) = paired().await;
    network.refuse(NodeBuilder::new("failure").attr("reason", "503").build());
    engine
        .frame(|frame| frame["state"] == "offline" && frame["reason"] == "refused")
        .await;
    engine.state("connected", 2).await;
    drop(connector);
}

#[tokio::test]
async fn another_client_that_takes_the_accounts_place_ends_the_connector() {
    let (engine, network, connector) = paired().await;
    let conflict = NodeBuilder::new("conflict")
        .attr("type", "replaced")
        .build();
    let error = NodeBuilder::new("stream:error").children([conflict]);
    network.send(error.build());
    let offline = engine.state("offline", 1).await;
    assert_eq!(offline["reason"], "replaced");
    assert!(!connector.ended().await.success());
}

#[tokio::test]
async fn another_gateway_that_takes_the_devices_session_ends_the_connector() {
    let (engine, _network, connector) = paired().await;
    engine.say(json!({"kind": "bye", "reason": "replaced"}));
    assert!(!connector.ended().await.success());
}

#[tokio::test]
async fn a_connector_that_is_told_to_end_ends_while_the_engine_takes_nothing() {
    let (engine, network, connector) = paired().await;
    engine.hold_acks();
    network.say(ADA, "M1", "hello").await;
    engine
        .frame(|frame| frame["type"] == "message.received")
        .await;
    assert!(connector.terminate().await.success());
}
