//! Everything but messages, in the order in which the network told it.
//!
//! The library hands events over without waiting; here they wait in a queue, and when that is full the library waits.

use std::{sync::Arc, time::Duration};

use gateway::{EventError, Gateway, Receipt, Report};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};
use whatsapp_rust::{
    types::events::{ConnectFailureReason, Event, EventHandler, EventInterest, EventKind},
    wacore_binary::JidExt as _,
    waproto::whatsapp::history_sync::HistorySyncType,
};

use super::pause;
use crate::{
    backend::VaultBackend,
    told::{self, Told},
};

/// Events that may wait.
const WAITING_MAX: usize = 1_024;

/// What makes an end of the connection for now, or for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another client of the account took its place.
    Replaced,
    /// The account was unlinked, or locked. The reason goes to the engine.
    LoggedOut(&'static str),
    /// The network does not let the account in, for so long. The reason goes to the engine.
    Refused(&'static str, Duration),
    /// The library's client has ended by itself: nobody has scanned its codes.
    GivenUp,
    /// Somebody asked for the end.
    Stopped,
}

impl Turn {
    /// What the engine hears of it, if anything.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Turn::Replaced => Some("replaced"),
            Turn::LoggedOut(reason) | Turn::Refused(reason, _) => Some(reason),
            Turn::GivenUp => Some("pairing_timed_out"),
            Turn::Stopped => None,
        }
    }
}

/// What waits in the queue.
enum Heard {
    Event(Arc<Event>),
    /// Nothing comes after it that has to be told.
    End,
}

/// Says that the library's client has ended.
pub(super) struct Ending {
    queue: mpsc::Sender<Heard>,
}

impl Ending {
    /// Puts the end behind what waits. It is answered with [`Turn::GivenUp`] when the engine has all of that.
    pub(super) async fn tell(&self) {
        if self.queue.send(Heard::End).await.is_err() {
            debug!("the engine has ended the session before");
        }
    }
}

/// The library's end of the queue.
pub(super) struct Notices {
    queue: mpsc::Sender<Heard>,
}

/// The other end.
pub(super) struct Forwarder {
    queue: mpsc::Receiver<Heard>,
    /// The last QR code, which a code to type in stands beside.
    qr: Option<String>,
}

impl Notices {
    /// Both ends of a new queue.
    pub(super) fn new() -> (Notices, Forwarder) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let forwarder = Forwarder {
            queue: receiver,
            qr: None,
        };
        (Notices { queue: sender }, forwarder)
    }

    /// The way to say that nothing more comes.
    pub(super) fn ending(&self) -> Ending {
        Ending {
            queue: self.queue.clone(),
        }
    }
}

/// What is followed or told. Nothing else waits in the queue.
const INTEREST: [EventKind; 17] = [
    EventKind::Connected,
    EventKind::Disconnected,
    EventKind::PairSuccess,
    EventKind::PairError,
    EventKind::LoggedOut,
    EventKind::PairingQrCode,
    EventKind::PairingCode,
    EventKind::PairingCodeError,
    EventKind::ClientOutdated,
    EventKind::Messages,
    EventKind::Receipt,
    EventKind::GroupUpdate,
    EventKind::ContactUpdate,
    EventKind::HistorySync,
    EventKind::StreamReplaced,
    EventKind::TemporaryBan,
    EventKind::ConnectFailure,
];

impl EventHandler for Notices {
    fn interest(&self) -> EventInterest {
        EventInterest::of(&INTEREST)
    }

    fn handle_event(&self, event: Arc<Event>) {
        if let Err(mpsc::error::TrySendError::Full(event)) =
            self.queue.try_send(Heard::Event(event))
        {
            // The library's own task waits here, and other tasks take its thread's place.
            let queue = self.queue.clone();
            let sent = tokio::task::block_in_place(move || queue.blocking_send(event));
            if sent.is_err() {
                warn!("an event of the network came after the end of its session");
            }
        }
    }
}

impl Forwarder {
    /// Tells the engine until the library is gone or the engine has ended the session.
    pub(super) async fn run(
        mut self,
        gateway: Gateway,
        addresses: VaultBackend,
        turns: mpsc::Sender<Turn>,
    ) {
        let mut last = None;
        while let Some(heard) = self.queue.recv().await {
            let Heard::Event(event) = heard else {
                // The engine takes events in their order: whoever has its answer to the last one has all.
                if let Some(last) = last.take() {
                    settled(last).await;
                }
                tell(&turns, Turn::GivenUp).await;
                continue;
            };
            if let Some(turn) = self.follow(&gateway, &event) {
                tell(&turns, turn).await;
            }
            for told in told_by(&addresses, &event) {
                // Kept by the gateway until the engine has it.
                match gateway.send(told.event()).await {
                    Ok(receipt) => last = Some(receipt),
                    Err(EventError::Refused { code, message }) => {
                        error!("an event is not taken by the engine: {code}: {message}");
                    }
                    Err(EventError::Ended(_)) => return,
                }
            }
        }
    }

    /// What an event says about the connection.
    fn follow(&mut self, gateway: &Gateway, event: &Event) -> Option<Turn> {
        match event {
            Event::PairingQrCode(qr) => {
                info!("scan the code: {}", qr.code);
                self.qr = Some(qr.code.clone());
                self.pairing(gateway, "scan the code".to_owned());
            }
            Event::PairingCode(code) => {
                let what = format!("scan the code, or type {} in", code.code);
                info!("type this code in on the phone: {}", code.code);
                // Whoever asked for such a code can do without a picture.
                self.qr.get_or_insert_with(|| code.code.clone());
                self.pairing(gateway, what);
            }
            Event::PairingCodeError(failed) => {
                warn!("there is no code to type in: {}", failed.error);
            }
            Event::PairError(failed) => warn!("the account is not paired: {}", failed.error),
            Event::PairSuccess(_) => info!("the account is paired"),
            Event::Connected(_) => {
                info!("connected to the network");
                gateway.report(Report::Connected { reason: None });
            }
            Event::Disconnected(lost) => {
                info!("the connection to the network is lost: {}", lost.reason);
                offline(gateway, "connection_lost");
            }
            Event::StreamReplaced(_) => return Some(Turn::Replaced),
            Event::LoggedOut(out) => {
                let is_locked = out.reason == ConnectFailureReason::AccountLocked;
                return Some(Turn::LoggedOut(if is_locked {
                    "forbidden"
                } else {
                    "logged_out"
                }));
            }
            Event::TemporaryBan(ban) => {
                warn!("the network has banned the account for {}", ban.expire);
                return Some(Turn::Refused("banned", pause(ban.expire.to_std().ok())));
            }
            Event::ClientOutdated(_) => {
                warn!("the network wants a newer client than this connector's");
                return Some(Turn::Refused("client_outdated", pause(None)));
            }
            Event::ConnectFailure(failure) => {
                warn!("the network refuses the account: {:?}", failure.reason);
                if !failure.reason.should_reconnect() {
                    return Some(Turn::Refused("refused", pause(None)));
                }
                // The library tries again by itself.
                offline(gateway, "refused");
            }
            _ => {}
        }
        None
    }

    fn pairing(&self, gateway: &Gateway, reason: String) {
        gateway.report(Report::Pairing {
            qr: self.qr.clone(),
            reason: Some(reason),
        });
    }
}

/// Waits for the engine's answer to an event.
async fn settled(receipt: Receipt) {
    if let Err(error) = receipt.await {
        debug!("the last event before the end is not taken: {error}");
    }
}

async fn tell(turns: &mpsc::Sender<Turn>, turn: Turn) {
    if turns.send(turn).await.is_err() {
        debug!("the connection has ended before {turn:?}");
    }
}

/// Says that there is no connection to the network.
pub(super) fn offline(gateway: &Gateway, reason: &str) {
    gateway.report(Report::Offline {
        reason: Some(reason.into()),
    });
}

/// What an event tells beside the connection.
fn told_by(addresses: &VaultBackend, event: &Event) -> Vec<Told> {
    match event {
        Event::Receipt(receipt) => told::receipts(addresses, receipt),
        Event::GroupUpdate(update) => vec![told::group(addresses, update)],
        Event::ContactUpdate(update) => vec![told::contact(addresses, update)],
        // What the phone sends unasked is large, and not even inflated.
        Event::HistorySync(sent) if sent.sync_type() == HistorySyncType::ON_DEMAND as i32 => sent
            .get()
            .map(|sent| told::history(addresses, sent))
            .unwrap_or_default(),
        // Most messages come through the hook. What it never sees is known by where it comes from.
        Event::Messages(batch) => batch
            .iter()
            .filter(|inbound| {
                inbound.info.source.chat.is_newsletter()
                    || inbound.info.unavailable_request_id.is_some()
            })
            .filter_map(|inbound| told::message(addresses, inbound))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
