//! A simulated gateway with a phone: pairs, receives and sends, loses its connection and comes back.
//!
//! Speaks the gateway protocol with the same client as the connectors. The phone and everybody who writes to it are
//! invented.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use domain::device::complete_jid;
use gateway::{
    Builder, Command, CommandName, DeviceEvent, DeviceId, EventType, Gateway, MessageKey, Receipt,
    RefusedBy, Report, Status,
};
use outbound::ApiClient;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::wire::Wire;
use crate::cli::{Failure, print};

/// Whom the phone talks to: a number that is kept for films.
const NUMBER: &str = "+1 202 555 0143";
const TEXTS: [&str; 4] = [
    "Hello, are you open today?",
    "Which bus goes there?",
    "See you at six.",
    "Do you still have the green one?",
];
/// How long the code is shown before somebody has "scanned" it.
const SCANNED_AFTER: Duration = Duration::from_secs(2);
/// How long the connection stays cut.
const CUT_FOR: Duration = Duration::from_secs(2);
/// The pause between two messages.
const PAUSE: Duration = Duration::from_secs(1);
/// How many messages come before each cut.
const MESSAGES: u32 = 2;

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Made {
    id: DeviceId,
}

#[derive(Deserialize)]
struct Sent {
    key: MessageKey,
}

/// Lives until a call fails.
pub(super) async fn live(
    api: &ApiClient,
    server: SocketAddr,
    key: &str,
    mut random: StdRng,
) -> Result<(), Failure> {
    let device = make(api).await?;
    let wire = Wire::lay(server)
        .await
        .context("lay a wire to the server")?;
    let gateway = Builder::new(&format!("http://{}", wire.address()), device, key)
        .context("set the gateway up")?
        .name("demo/1.0")
        .backoff(Duration::from_millis(100), Duration::from_millis(500))
        .on_command(carry_out)
        .start();
    pair(&gateway, &mut random).await?;
    loop {
        for _ in 0..MESSAGES {
            receive(&gateway, &mut random).await?;
            sleep(PAUSE).await;
        }
        send(api, &gateway, device).await?;
        sleep(PAUSE).await;
        lose_connection(&gateway, &wire, &mut random).await?;
        sleep(PAUSE).await;
    }
}

async fn make(api: &ApiClient) -> Result<DeviceId, Failure> {
    let device = json!({ "name": "a simulated phone" }).to_string();
    let answer = api.post("/v1/devices", device.into_bytes()).await;
    let answer = answer.context("make a device")?;
    let answer: Answer<Made> = serde_json::from_slice(&answer).context("read the new device")?;
    Ok(answer.data.id)
}

async fn pair(gateway: &Gateway, random: &mut StdRng) -> Result<(), Failure> {
    let fence = gateway.opened().await.context("open a session")?;
    let secret = format!("demo,{:016x}", random.random::<u64>());
    gateway.report(Report::Pairing {
        qr: Some(secret.clone()),
        reason: None,
    });
    print(&format!(
        "phone      session {fence} is open; scan this to pair the phone:\n\n{}\n",
        picture(&secret)?
    ))?;
    sleep(SCANNED_AFTER).await;
    gateway.report(Report::Connected { reason: None });
    print("phone      somebody has scanned it: the phone is connected\n")
}

/// The code as text, for a terminal with a dark background: what is drawn is the light part.
fn picture(text: &str) -> anyhow::Result<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).context("draw a code")?;
    Ok(code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

/// Carries out what the engine asks: only messages can be sent from here.
async fn carry_out(command: Command) -> Result<Bytes, RefusedBy> {
    if command.name != CommandName::MessageSend {
        return Err(RefusedBy {
            code: "unsupported".to_owned(),
            message: "the simulated phone only sends messages".to_owned(),
        });
    }
    let args: Value = serde_json::from_slice(&command.args).unwrap_or_default();
    let key = json!({ "chat": args["to"], "sender": "", "id": command.id });
    let text = args["text"].as_str().unwrap_or_default();
    // The story notices when nobody reads any more.
    print(&format!("phone      writes \"{text}\"\n")).ok();
    Ok(Bytes::from(json!({ "key": key }).to_string()))
}

/// Somebody writes to the phone.
async fn receive(gateway: &Gateway, random: &mut StdRng) -> Result<(), Failure> {
    let (text, receipt) = pass_on(gateway, random).await?;
    let position = receipt.await.context("send a message on")?;
    print(&format!(
        "phone      \"{text}\" came in, position {position}, on disk\n"
    ))
}

/// Puts a message on its way to the engine.
async fn pass_on(
    gateway: &Gateway,
    random: &mut StdRng,
) -> Result<(&'static str, Receipt), Failure> {
    let text = TEXTS.choose(random).copied().unwrap_or_default();
    let key = MessageKey {
        chat: chat().into(),
        sender: chat().into(),
        id: format!("{:016X}", random.random::<u64>()).into(),
    };
    let data = json!({ "key": key, "from_me": false, "kind": "text", "text": text });
    let sent = gateway.send(event("message.received", key, &data)).await;
    Ok((text, sent.context("send a message on")?))
}

/// The phone writes, and its receiver reads it.
async fn send(api: &ApiClient, gateway: &Gateway, device: DeviceId) -> Result<(), Failure> {
    let message = json!({ "to": NUMBER, "text": "Yes, we are!" }).to_string();
    let path = format!("/v1/devices/{device}/messages");
    let answer = api.post(&path, message.into_bytes()).await;
    let answer = answer.context("send a message from the phone")?;
    let answer: Answer<Sent> = serde_json::from_slice(&answer).context("read what was sent")?;
    for kind in ["receipt.delivery", "receipt.read"] {
        let key = answer.data.key.clone();
        let data = json!({ "key": key, "by": chat() });
        let position = gateway.event(event(kind, key, &data)).await;
        let position = position.context("send a receipt on")?;
        print(&format!("phone      {kind} came in, position {position}\n"))?;
    }
    Ok(())
}

/// The connection breaks, a message comes meanwhile, and nothing is lost.
async fn lose_connection(
    gateway: &Gateway,
    wire: &Wire,
    random: &mut StdRng,
) -> Result<(), Failure> {
    wire.cut();
    let mut status = gateway.watch();
    let is_down = |status: &Status| !matches!(status, Status::Open { .. });
    status
        .wait_for(is_down)
        .await
        .context("lose the connection")?;
    let (text, receipt) = pass_on(gateway, random).await?;
    print(&format!(
        "phone      the connection is cut; \"{text}\" waits in the gateway\n"
    ))?;
    sleep(CUT_FOR).await;
    wire.mend();
    let fence = gateway.opened().await.context("come back")?;
    print(&format!("phone      is back, with session {fence}\n"))?;
    let position = receipt.await.context("send a message on")?;
    print(&format!(
        "phone      \"{text}\" came in, position {position}, on disk: nothing was lost\n"
    ))
}

/// The number as the engine completes it.
fn chat() -> String {
    complete_jid(NUMBER).expect("a number")
}

fn event(kind: &str, key: MessageKey, data: &Value) -> DeviceEvent {
    DeviceEvent {
        id: "".into(),
        kind: EventType::new(kind).expect("a type that is written here"),
        at: None,
        key: Some(key),
        data: Bytes::from(data.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_as_text() {
        let picture = picture("demo,0123456789abcdef").unwrap();
        assert!(picture.lines().count() > 10, "{picture}");
        assert!(picture.contains('▀') && picture.contains('█'), "{picture}");
    }
}
