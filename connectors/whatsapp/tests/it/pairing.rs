//! From the first QR code to a connected account, and what ends that.

use serde_json::json;

use crate::{
    connector::Connector,
    engine::{DEVICE, Engine},
    network::Network,
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
