//! Connects a Telegram bot to the engine as a device.
//!
//! Only wires the parts: [`bot`] speaks with Telegram, `gateway` with the engine, [`relay`] brings updates over and
//! [`sender`] carries commands out.

mod bot;
mod mapping;
mod relay;
mod sender;

use anyhow::Context as _;
use clap::Parser;
use gateway::{Builder, DeviceId};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::{bot::Bot, relay::Relay};

/// What the connector calls itself to the engine.
const NAME: &str = concat!("telegram/", env!("CARGO_PKG_VERSION"));

/// Connects a Telegram bot to a Trunkline engine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The engine's address.
    #[arg(long, env = "TRUNKLINE_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API key with the permission devices:connect.
    #[arg(long, env = "TRUNKLINE_API_KEY", hide_env_values = true)]
    key: String,
    /// The device, dev_….
    #[arg(long, env = "TRUNKLINE_DEVICE")]
    device: DeviceId,
    /// The bot's token, as Telegram gave it.
    #[arg(long, env = "TELEGRAM_TOKEN", hide_env_values = true)]
    token: String,
    /// The address of the Bot API.
    #[arg(long, env = "TELEGRAM_API", default_value = "https://api.telegram.org")]
    api: Url,
    /// A PEM file with certificates to trust, for an engine with a certificate of one's own.
    #[arg(long, env = "TRUNKLINE_CA")]
    ca: Option<std::path::PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("LOG_LEVEL").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    drop(rustls::crypto::ring::default_provider().install_default());
    let arguments = Arguments::parse();
    let bot = Bot::new(&arguments.api, &arguments.token).context("read the bot's token")?;
    let mut builder = Builder::new(&arguments.url, arguments.device, &arguments.key)?.name(NAME);
    if let Some(file) = &arguments.ca {
        let pem = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        builder = builder.trust_pem(&pem)?;
    }
    let commands = sender::Sender::new(bot.clone());
    let gateway = builder
        .on_command(move |command| {
            let commands = commands.clone();
            async move { commands.carry_out(command).await }
        })
        .start();
    let mut terminated = signal(SignalKind::terminate()).context("wait for signals")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("wait for signals")?;
    let relay = Relay::new(bot, gateway.clone());
    let outcome = tokio::select! {
        error = relay.run() => Err(error).context("receive from Telegram"),
        ended = gateway.ended() => Err(ended).context("hold the session at the engine"),
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    };
    // Nothing is lost: what the engine has not acknowledged Telegram delivers again.
    gateway.close().await;
    info!("the connector ends");
    outcome
}

#[cfg(test)]
mod tests;
