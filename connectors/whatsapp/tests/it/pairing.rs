//! From the first QR code to a connected account, and what ends that.

use serde_json::json;

use crate::{
    connector::Connector,
    engine::{DEVICE, Engine},
    network::{Network, attr, child},
};

pub(crate) const ADA: &str = "491510000002";

/// An account that is paired and connected, with everybody around it.
pub(crate) async fn paired() -> (Engine, Network, Connector) {
    let engine = Engine::start().await;
    let network = Network::start(&[ADA]).await;
    let connector = Connector::start(&engine.url(), DEVICE, "ak_test", &network.url());
    let pairing = engine.state("pairing", 1).await;
    network
        .scan(pairing["qr"].as_str().expect("a QR code"))
        .await;
    engine.state("connected", 1).await;
    (engine, network, connector)
}

#[tokio::test]
async fn scanning_the_code_connects_the_account() {
    let (engine, network, connector) = paired().await;
    network.logins(1).await;
    let frame = engine.frame(|frame| frame["kind"] == "hello").await;
    assert_eq!(frame["gateway"], json!("whatsapp/0.1.0"));
    assert!(connector.terminate().await.success());
}

#[tokio::test]
async fn a_code_can_be_typed_in_instead() {
    let engine = Engine::start().await;
    let network = Network::start(&[ADA]).await;
    let phone = ["--phone", "+49 1510 000001"];
    let connector = Connector::start_with(&phone, &engine.url(), DEVICE, "ak_test", &network.url());
    let asked = network
        .sent(|node| child(node, "link_code_companion_reg").is_some())
        .await;
    let asked = child(&asked, "link_code_companion_reg").expect("it was found by that");
    assert_eq!(attr(asked, "jid"), "491510000001@s.whatsapp.net");
    let pairing = engine
        .frame(|frame| {
            let reason = frame["reason"].as_str().unwrap_or_default();
            frame["state"] == "pairing" && reason.contains("type")
        })
        .await;
    network
        .scan(pairing["qr"].as_str().expect("a QR code"))
        .await;
    engine.state("connected", 1).await;
    drop(connector);
}

#[tokio::test]
async fn an_account_in_a_file_is_not_given_to_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("account");
    let file = file.to_str().expect("it is text");
    let engine = Engine::start().await;
    let network = Network::start(&[ADA]).await;
    let start = || {
        let file = ["--account", file];
        Connector::start_with(&file, &engine.url(), DEVICE, "ak_test", &network.url())
    };
    let connector = start();
    let pairing = engine.state("pairing", 1).await;
    network
        .scan(pairing["qr"].as_str().expect("a QR code"))
        .await;
    engine.state("connected", 1).await;
    assert!(connector.terminate().await.success());
    let again = start();
    engine.state("connected", 2).await;
    assert!(again.terminate().await.success());
    assert!(!engine.has_credentials());
}
