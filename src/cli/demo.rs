//! `trunkline demo`: the engine at work, in a temporary folder and on free ports, with a source that sends events and a
//! receiver that checks what it gets, and a simulated phone.
//!
//! Nothing here knows the engine from inside: source, receiver and phone speak with it as anybody would.

mod phone;
mod receiver;
mod source;
mod wire;

use std::{cell::RefCell, future::pending, rc::Rc, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use domain::signature::WebhookSecret;
use outbound::ApiClient;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;
use url::Url;

use super::{
    Failure, Global, print,
    serve::{Serving, within_process},
};
use crate::{
    assemble::Given,
    config::{OtelEndpoint, Port, Settings},
    first_start::{self, Start},
};
use receiver::{Path, Receiver};

/// The arguments of `trunkline demo`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Ends by itself after this long; without it when it is interrupted.
    #[arg(long, value_name = "NUMBER")]
    seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    data: MadeWebhook,
}

#[derive(Deserialize)]
struct MadeWebhook {
    secret: String,
}

/// Shows the engine at work.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let home = TempDir::with_prefix("trunkline-demo-").context("make a temporary folder")?;
    let mut settings = global.load()?.settings;
    // The folder's name is known already, so that the store is in it and not beside it.
    settings.storage.data_dir = home.path().join("data");
    adapt(&mut settings);
    let outcome = within_process(settings, |given, metrics| async move {
        let serving = Serving::start(&given, metrics).await?;
        let last = arguments.seconds.map(Duration::from_secs);
        Box::pin(show(&given, serving, last)).await
    });
    let removed = home.close().context("remove the temporary folder");
    outcome?;
    Ok(removed?)
}

/// Leaves of the configuration what a demonstration can use.
fn adapt(settings: &mut Settings) {
    let server = &mut settings.server;
    server.port = 0;
    server.host = [127, 0, 0, 1].into();
    server.tls_cert.clear();
    server.tls_key.clear();
    let loopback = "127.0.0.0/8".parse().expect("a network");
    settings.outbound.allow.push(loopback);
    settings.metrics.port = Port::Off;
    settings.otel.endpoint = OtelEndpoint::None;
    settings.log.requests = false;
    settings.log.level = "warn".to_owned().try_into().expect("a level");
}

async fn show(given: &Given, serving: Serving, last: Option<Duration>) -> Result<(), Failure> {
    let region = given.settings.regions.default;
    let start = first_start::make_tenant(&serving.node, region)
        .await
        .context("make a tenant")?;
    let Start::First { key, .. } = start else {
        return Err(Failure::Failed(anyhow::anyhow!(
            "the temporary folder is not empty"
        )));
    };
    serving.wake().await?;
    let receiver = Arc::new(Receiver::new(given.clock.clone()));
    let (receiver_address, receiving) = receiver::start(&receiver).context("start the receiver")?;
    let stop_receiving = receiving.handle();
    let receiving = actix_rt::spawn(receiving);
    let url = serving.url.clone();
    print(&greeting(&url, &key))?;
    let server: Url = url.parse().context("read the server's address")?;
    let address = server.socket_addrs(|| None).context("find the server")?;
    let address = *address.first().context("the server has no address")?;
    let api = ApiClient::new(server, &key).context("set up the source")?;
    let failed: Rc<RefCell<Option<Failure>>> = Rc::default();
    let note = Rc::clone(&failed);
    let seen = Arc::clone(&receiver);
    let random = Arc::clone(&given.random);
    let story = async move {
        let told = async {
            subscribe(&api, &seen, &format!("http://{receiver_address}")).await?;
            // Whichever ends first says why.
            tokio::select! {
                told = source::send(&api, random()) => told,
                told = phone::live(&api, address, &key, random()) => told,
            }
        };
        if let Err(error) = told.await {
            note.replace(Some(error));
        }
        "the end of the source"
    };
    let time_is_up = async move {
        match last {
            Some(last) => sleep(last).await,
            None => pending().await,
        }
        "the end of the time"
    };
    let end = async move {
        tokio::select! {
            name = story => name,
            name = time_is_up => name,
        }
    };
    Box::pin(serving.until(end)).await?;
    stop_receiving.stop(true).await;
    receiving
        .await
        .context("stop the receiver")?
        .context("stop the receiver")?;
    if let Some(failure) = failed.take() {
        return Err(failure);
    }
    print(&receiver.summary())?;
    Ok(receiver.check()?)
}

fn greeting(url: &str, key: &str) -> String {
    format!(
        "A server runs on {url}, with its store in a temporary folder. In another terminal:\n\n    \
         trunkline tail --from earliest --url {url} --key {key}\n\n\
         Two webhooks are set up: {} takes everything; {} takes orders, and refuses each one once.\n\n",
        Path::Steady,
        Path::Shaky
    )
}

/// Sets the webhooks up, and tells the receiver their secrets.
async fn subscribe(api: &ApiClient, receiver: &Receiver, base: &str) -> Result<(), Failure> {
    for path in [Path::Steady, Path::Shaky] {
        let webhook = json!({
            "url": format!("{base}{path}"),
            "events": [path.events()],
            "retry": "fast",
            "description": "made by the demonstration",
        });
        let answer = api
            .post("/v1/webhooks", webhook.to_string().into_bytes())
            .await;
        let answer = answer.context("make a webhook")?;
        let made: Answer = serde_json::from_slice(&answer).context("read the new webhook")?;
        let secret = WebhookSecret::parse(&made.data.secret).context("read the secret")?;
        receiver.expect(path, secret);
    }
    Ok(())
}

impl Receiver {
    /// A signature that is not right would be the one thing that must not happen.
    fn check(&self) -> anyhow::Result<()> {
        match self.forged() {
            0 => Ok(()),
            forged => bail!("{forged} deliveries had a signature that is not right"),
        }
    }
}
