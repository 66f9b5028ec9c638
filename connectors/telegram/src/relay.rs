//! Brings updates from Telegram to the engine, in their order.
//!
//! An update is confirmed to Telegram (by the offset of the next call) only after the engine has acknowledged every event
//! that was made of it. What was not confirmed Telegram delivers again, and the engine drops what it has already.

use std::time::Duration;

use gateway::{DeviceEvent, Ended, EventError, Gateway, Receipt, Report};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    bot::{Bot, BotError, Me},
    mapping,
};

/// The shortest and the longest wait after a failure.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// A poll that ends sooner without updates was not a long one; the next one waits.
const POLL_AT_LEAST: Duration = Duration::from_millis(300);
/// So many times in a row somebody else may fetch the updates before this connector gives way.
const CONFLICTS_MAX: u32 = 5;

/// Why nothing is relayed any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The token is wrong, or somebody else fetches the bot's updates.
    #[error(transparent)]
    Bot(#[from] BotError),
    /// The engine ended the session.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// The way from Telegram to the engine.
#[derive(Debug)]
pub(crate) struct Relay {
    bot: Bot,
    gateway: Gateway,
    /// The first update that is not confirmed.
    offset: i64,
    failures: u32,
    conflicts: u32,
    /// What the engine was told last.
    is_connected: bool,
}

#[derive(Deserialize)]
struct Head {
    update_id: i64,
}

impl Relay {
    pub(crate) fn new(bot: Bot, gateway: Gateway) -> Relay {
        Relay {
            bot,
            gateway,
            offset: 0,
            failures: 0,
            conflicts: 0,
            is_connected: false,
        }
    }

    /// Relays until there is no point in going on.
    pub(crate) async fn run(mut self) -> RelayError {
        let me = loop {
            match self.bot.me().await {
                Ok(me) => break me,
                Err(error) => {
                    if let Err(error) = self.outlast(error).await {
                        return error;
                    }
                }
            }
        };
        info!("receives for @{}", me.username);
        loop {
            if let Err(error) = self.poll(&me).await {
                return error;
            }
        }
    }

    /// One call for updates, and all that follows from it.
    async fn poll(&mut self, me: &Me) -> Result<(), RelayError> {
        let began = Instant::now();
        let updates = match self.bot.updates(self.offset).await {
            Ok(updates) => updates,
            Err(error) => return self.outlast(error).await,
        };
        self.failures = 0;
        self.conflicts = 0;
        if !self.is_connected {
            self.gateway.report(Report::Connected { reason: None });
            self.is_connected = true;
        }
        if updates.is_empty() {
            let early = POLL_AT_LEAST.saturating_sub(began.elapsed());
            sleep(early).await;
            return Ok(());
        }
        self.pass_on(me, &updates).await
    }

    /// Sends everything, then waits until the engine has it, then moves the offset.
    async fn pass_on(&mut self, me: &Me, updates: &[Box<RawValue>]) -> Result<(), RelayError> {
        let mut sent: Vec<(i64, Vec<Receipt>)> = Vec::new();
        for update in updates {
            let Ok(Head { update_id }) = serde_json::from_str(update.get()) else {
                warn!("passed over an update without a number");
                continue;
            };
            let events = mapping::events(me, update).unwrap_or_else(|error| {
                warn!(update.id = update_id, "passed over an update: {error}");
                Vec::new()
            });
            let mut receipts = Vec::new();
            for event in events {
                receipts.extend(self.send(event).await?);
            }
            sent.push((update_id, receipts));
        }
        for (update_id, receipts) in sent {
            for receipt in receipts {
                match receipt.await {
                    Ok(_position) => {}
                    Err(EventError::Refused { code, message }) => {
                        warn!(
                            update.id = update_id,
                            "the engine refused an event with {code}: {message}"
                        );
                    }
                    Err(EventError::Ended(ended)) => return Err(ended.into()),
                }
            }
            self.offset = self.offset.max(update_id.saturating_add(1));
        }
        Ok(())
    }

    async fn send(&self, event: DeviceEvent) -> Result<Option<Receipt>, RelayError> {
        let id = event.id.clone();
        match self.gateway.send(event).await {
            Ok(receipt) => Ok(Some(receipt)),
            Err(EventError::Refused { code, message }) => {
                warn!("the event {id} cannot be sent, {code}: {message}");
                Ok(None)
            }
            Err(EventError::Ended(ended)) => Err(ended.into()),
        }
    }

    /// Waits after a failure, or says that waiting does not help.
    async fn outlast(&mut self, error: BotError) -> Result<(), RelayError> {
        let (least, most) = WAITS;
        let wait = most.min(least * (1 << self.failures.min(10)));
        self.failures += 1;
        let (reason, wait) = match &error {
            BotError::Unauthorized => {
                self.down("unauthorized");
                return Err(error.into());
            }
            BotError::Conflict(_) => {
                self.conflicts += 1;
                if self.conflicts == CONFLICTS_MAX {
                    // To fight for the updates would lose some for both.
                    self.down("replaced");
                    return Err(error.into());
                }
                ("conflict", wait)
            }
            BotError::TooMany { after } => ("too_many_requests", *after),
            BotError::Refused { .. } => ("refused", wait),
            BotError::Unreachable(_) => ("telegram_unreachable", wait),
        };
        warn!(cause = ?error, "the next attempt is in {wait:?}: {error}");
        if self.failures > 1 || !self.is_connected {
            self.down(reason);
        }
        sleep(wait).await;
        Ok(())
    }

    fn down(&mut self, reason: &str) {
        self.is_connected = false;
        self.gateway.report(Report::Offline {
            reason: Some(reason.to_owned()),
        });
    }
}
