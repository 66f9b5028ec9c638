//! Connects a WhatsApp account to Trunkline as a device.
//!
//! Reads its arguments, puts the parts together and says how it ended. What an account does is decided in `account`.

mod account;
mod backend;
mod clock;
mod commands;
mod told;
mod vault;

use std::path::PathBuf;

use account::{AccountOptions, Over};
use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use gateway::DeviceId;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Connects a WhatsApp account to Trunkline as a device.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The engine's address.
    #[arg(long, env = "TRUNKLINE_URL", default_value = "http://127.0.0.1:8080")]
    engine: String,
    /// The device that the account is connected as.
    #[arg(long, env = "TRUNKLINE_DEVICE")]
    device: DeviceId,
    /// An API key with `devices:connect`.
    #[arg(long, env = "TRUNKLINE_API_KEY", hide_env_values = true)]
    key: String,
    /// Pair this number (with country code, digits only) by a code that is typed in on the phone, besides the QR code.
    #[arg(long)]
    phone: Option<String>,
    /// Keep the account's keys in this file instead of with the engine.
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    /// Another address of the network.
    #[arg(long, hide = true)]
    network_url: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_env("LOG_LEVEL")
        .unwrap_or_else(|_unset| EnvFilter::new("info,whatsapp_rust=warn,wacore=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_already| anyhow!("a cryptography provider is installed already"))?;
    let present = watch::Sender::new(None);
    let gateway = gateway::Builder::new(&args.engine, args.device, &args.key)?
        .name(concat!("whatsapp/", env!("CARGO_PKG_VERSION")))
        .on_command(account::on_command(&present))
        .start();
    let options = AccountOptions {
        file: args.account,
        phone: args.phone,
        network: args.network_url,
    };
    let stop = watch::Sender::new(false);
    let stopped = stop.subscribe();
    tokio::spawn(async move {
        if let Err(error) = told_to_end().await {
            tracing::error!("signals cannot be heard: {error}");
        }
        info!("ending");
        stop.send_replace(true);
    });
    let over = account::run(gateway.clone(), present, options, stopped).await;
    gateway.close().await;
    match over {
        Over::Stopped => Ok(()),
        Over::Engine(ended) => bail!("{ended}"),
        Over::Replaced => bail!("another client has taken the account's place on the network"),
        Over::Keys(why) => Err(anyhow!(why)).context("the account's keys are not kept"),
    }
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
