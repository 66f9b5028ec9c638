//! One account, from its first QR code to its last message: the engine on one side, the network on the other.
//!
//! Puts the parts together and follows what the network says about the connection. What events and commands mean is decided
//! in `told` and `commands`.

mod inbound;
mod notices;

use std::{path::PathBuf, sync::Arc, time::Duration};

use gateway::{Bytes, Ended, Gateway, RefusedBy};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use whatsapp_rust::{
    Client, TokioRuntime,
    bot::{Bot, BotHandle},
    http::UreqHttpClient,
    pair_code::PairCodeOptions,
    transport::TokioWebSocketTransportFactory,
    wacore::store::{Device, traits::DeviceStore as _},
};

use self::{
    inbound::Inbound,
    notices::{Ending, Notices, Turn, offline},
};
use crate::{
    backend::VaultBackend,
    commands,
    vault::{Keep, KeepError, Vault},
};

/// What an account is connected with.
#[derive(Clone, Debug)]
pub(crate) struct AccountOptions {
    /// Where its keys are kept; with the engine if no file is named.
    pub(crate) file: Option<PathBuf>,
    /// The number to pair with by a code that is typed in, besides the QR code.
    pub(crate) phone: Option<String>,
    /// Another address of the network, for tests.
    pub(crate) network: Option<String>,
}

/// Why an account is not connected any more.
#[derive(Debug)]
pub(crate) enum Over {
    /// The engine ended the session.
    Engine(Ended),
    /// Another client took the account's place on the network: coming back would take it from there again.
    Replaced,
    /// The keys cannot be read or kept.
    Keys(Arc<KeepError>),
    /// Somebody asked for it.
    Stopped,
}

/// The client that commands are carried out with, as long as there is one.
pub(crate) type Present = watch::Sender<Option<Arc<Client>>>;

/// Before the network is tried again after it refused the account.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// Before new codes are asked for.
const BEFORE_PAIRING_ANEW: Duration = Duration::from_secs(1);
/// Keys for sessions to come that the network holds at a time. With as many as a phone gives it they would be most of the account, which
/// is written again and again; the network asks for new ones when few are left.
const PRE_KEYS: usize = 128;
/// How long the library may take to end.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// Makes the handler of the engine's commands.
pub(crate) fn on_command(
    present: &Present,
) -> impl Fn(gateway::Command) -> futures_util::future::BoxFuture<'static, Result<Bytes, RefusedBy>>
+ Send
+ Sync
+ 'static {
    let present = present.subscribe();
    move |command| {
        let present = present.clone();
        Box::pin(async move {
            let within = commands::time_left(&command);
            let found = tokio::time::timeout(within, connected(present, within)).await;
            let Ok(Some(client)) = found else {
                return Err(RefusedBy {
                    code: "not_connected".into(),
                    message: "the account is not connected to its network".into(),
                });
            };
            let done = commands::carry_out(&client, &command).await?;
            Ok(Bytes::from(done.to_string()))
        })
    }
}

/// The client as soon as it is connected. None if there is nothing to wait for: no account is paired.
async fn connected(
    mut present: watch::Receiver<Option<Arc<Client>>>,
    within: Duration,
) -> Option<Arc<Client>> {
    loop {
        let client = present.wait_for(Option::is_some).await.ok()?.clone()?;
        client.pn()?;
        tokio::select! {
            ready = client.wait_for_connected(within) => return ready.ok().map(|()| client),
            () = replaced(present.clone(), &client) => {}
        }
    }
}

/// Waits until another client has taken this one's place, or none.
async fn replaced(mut present: watch::Receiver<Option<Arc<Client>>>, client: &Arc<Client>) {
    let is_other =
        |now: &Option<Arc<Client>>| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, client));
    drop(present.wait_for(is_other).await);
}

/// Keeps the account connected until the engine, the network, the keys or `stop` end it.
pub(crate) async fn run(
    gateway: Gateway,
    present: Present,
    options: AccountOptions,
    mut stop: watch::Receiver<bool>,
) -> Over {
    tokio::select! {
        opened = gateway.opened() => if let Err(ended) = opened {
            return Over::Engine(ended);
        },
        _ = stop.wait_for(|stop| *stop) => return Over::Stopped,
    }
    let keep = match &options.file {
        Some(file) => Keep::file(file.clone()),
        None => Keep::Engine(gateway.clone()),
    };
    let vault = match open(&keep).await {
        Ok(vault) => vault,
        Err(why) => return Over::Keys(why),
    };
    let keeping = vault.run(keep);
    tokio::pin!(keeping);
    tokio::select! {
        // An engine that has ended the session keeps nothing any more either: that is the cause then.
        biased;
        ended = gateway.ended() => Over::Engine(ended),
        why = &mut keeping => Over::Keys(why),
        over = connect_again_and_again(&gateway, &present, &vault, &options, stop) => over,
    }
}

async fn open(keep: &Keep) -> Result<Vault, Arc<KeepError>> {
    let kept = keep.load().await?;
    Vault::open(kept.as_deref()).map_err(|bad| Arc::new(KeepError::Bad(bad)))
}

async fn connect_again_and_again(
    gateway: &Gateway,
    present: &Present,
    vault: &Vault,
    options: &AccountOptions,
    mut stop: watch::Receiver<bool>,
) -> Over {
    while !*stop.borrow() {
        let backend = VaultBackend::new(vault.clone());
        let (turns, mut next_turn) = mpsc::channel(16);
        let (mut bot, ending) = match start(gateway, &backend, options, turns).await {
            Ok(started) => started,
            Err(error) => {
                warn!("the network's client does not start: {error}");
                offline(gateway, "failed");
                rest(AFTER_REFUSAL, &mut stop).await;
                continue;
            }
        };
        present.send_replace(Some(bot.client()));
        // When the library's client has ended by itself, what it said before comes first.
        let given_up = async {
            (&mut bot).await;
            ending.tell().await;
            std::future::pending::<()>().await;
        };
        let turn = tokio::select! {
            biased;
            turn = next_turn.recv() => turn.unwrap_or(Turn::GivenUp),
            _ = stop.wait_for(|stop| *stop) => Turn::Stopped,
            () = given_up => Turn::GivenUp,
        };
        if let Some(reason) = turn.reason() {
            offline(gateway, reason);
        }
        present.send_replace(None);
        leave(bot, &ending, &mut next_turn, vault).await;
        backend.close();
        match turn {
            Turn::Stopped => break,
            Turn::Replaced => return Over::Replaced,
            Turn::LoggedOut(_) => {
                info!("the account was logged out: it is forgotten, and can be paired anew");
                if let Err(why) = vault.change(std::collections::BTreeMap::clear).await {
                    return Over::Keys(why);
                }
                rest(BEFORE_PAIRING_ANEW, &mut stop).await;
            }
            Turn::Refused(_, after) => rest(after, &mut stop).await,
            Turn::GivenUp => rest(BEFORE_PAIRING_ANEW, &mut stop).await,
        }
    }
    Over::Stopped
}

/// Ends the library's client, which writes what it has not written yet, and lets the engine take what was told. Both wait for the
/// engine, but not for ever.
async fn leave(bot: BotHandle, ending: &Ending, turns: &mut mpsc::Receiver<Turn>, vault: &Vault) {
    let left = async {
        bot.shutdown().await;
        if let Err(why) = vault.keep_all().await {
            warn!("the account's last changes are not kept: {why}");
        }
        ending.tell().await;
        while turns.recv().await.is_some_and(|turn| turn != Turn::GivenUp) {}
    };
    if tokio::time::timeout(LEAVE_WITHIN, left).await.is_err() {
        warn!(
            "the network's client does not end; messages that it has not acknowledged come again"
        );
    }
}

/// Waits, but no longer than until the end; the next round sees to that.
async fn rest(pause: Duration, stop: &mut watch::Receiver<bool>) {
    let stopped = stop.wait_for(|stop| *stop);
    drop(tokio::time::timeout(pause, stopped).await);
}

async fn start(
    gateway: &Gateway,
    backend: &VaultBackend,
    options: &AccountOptions,
    turns: mpsc::Sender<Turn>,
) -> anyhow::Result<(BotHandle, Ending)> {
    let transport = match &options.network {
        Some(network) => TokioWebSocketTransportFactory::new().with_url(network),
        None => TokioWebSocketTransportFactory::new(),
    };
    let code = pair_code(options, backend.load().await?.as_ref());
    let (notices, forwarder) = Notices::new();
    let ending = notices.ending();
    tokio::spawn(forwarder.run(gateway.clone(), backend.clone(), turns));
    let mut bot = Bot::builder()
        .with_backend(backend.clone())
        .with_transport_factory(transport)
        .with_http_client(UreqHttpClient::new())
        .with_runtime(TokioRuntime)
        .with_wanted_pre_key_count(PRE_KEYS)
        .with_inbound_durability_hook(Inbound::new(gateway.clone(), backend.clone()))
        .with_event_handler(notices);
    if options.network.is_some() {
        // A fixed version: asking for the present one goes to the real network.
        bot = bot.with_version((2, 3000, 0));
    }
    if let Some(code) = code {
        bot = bot.with_pair_code(code);
    }
    Ok((bot.build().await?.spawn(), ending))
}

/// The code to be typed in, if one is to be asked for. An account that is paired has no need of one.
fn pair_code(options: &AccountOptions, account: Option<&Device>) -> Option<PairCodeOptions> {
    let is_paired = account.is_some_and(|account| account.pn.is_some());
    let phone = options.phone.clone().filter(|_| !is_paired)?;
    Some(PairCodeOptions {
        phone_number: phone,
        ..PairCodeOptions::default()
    })
}

/// How long the network asks to be left alone.
fn pause(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(AFTER_REFUSAL).max(AFTER_REFUSAL)
}

#[cfg(test)]
mod tests {
    use super::{AccountOptions, Device, pair_code};

    #[test]
    fn a_code_is_asked_for_until_the_account_is_paired() {
        let options = AccountOptions {
            file: None,
            phone: Some("15551234567".to_owned()),
            network: None,
        };
        let mut account = Device::new();
        assert!(pair_code(&options, None).is_some());
        let code = pair_code(&options, Some(&account));
        assert_eq!(code.map(|code| code.phone_number), options.phone);
        account.pn = Some("15551234567:3@s.whatsapp.net".parse().unwrap());
        assert!(pair_code(&options, Some(&account)).is_none());
    }
}
