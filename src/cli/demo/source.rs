//! A simulated source: a shop's messages and orders, sent as they might come in.
//!
//! Invents everything; the names belong to nobody.

use std::time::Duration;

use anyhow::Context as _;
use outbound::ApiClient;
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cli::{Failure, print};

const NAMES: [&str; 6] = ["Amara", "Bjarne", "Chiyo", "Dawit", "Elena", "Farid"];
const TEXTS: [&str; 5] = [
    "Is my parcel on its way?",
    "Thank you, it has arrived!",
    "Can I still change the address?",
    "Please call me back.",
    "Do you have it in blue?",
];
/// The shortest and the longest pause between two events.
const PAUSE_MS: std::ops::Range<u64> = 200..1_200;

#[derive(Deserialize)]
struct Answer {
    data: Receipt,
}

#[derive(Deserialize)]
struct Receipt {
    position: u64,
}

/// Sends events until a call fails.
pub(super) async fn send(api: &ApiClient, mut random: StdRng) -> Result<(), Failure> {
    loop {
        let (kind, payload) = invent(&mut random);
        let event = json!({ "type": kind, "payload": payload });
        let answer = api.post("/v1/events", event.to_string().into_bytes()).await;
        let answer = answer.context("send an event")?;
        let Answer {
            data: Receipt { position },
        } = serde_json::from_slice(&answer).context("read a receipt")?;
        print(&format!(
            "sent       {kind:<18} position {position}, on disk\n"
        ))?;
        sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
    }
}

fn invent(random: &mut StdRng) -> (&'static str, Value) {
    let name = NAMES.choose(random).copied().unwrap_or_default();
    match random.random_range(0..10) {
        0..=4 => {
            let text = TEXTS.choose(random).copied().unwrap_or_default();
            ("message.received", json!({ "from": name, "text": text }))
        }
        5 | 6 => ("receipt.read", json!({ "by": name })),
        7 => ("contact.updated", json!({ "name": name, "language": "en" })),
        _ => {
            let cents: u32 = random.random_range(500..20_000);
            (
                "order.paid",
                json!({ "customer": name, "cents": cents, "currency": "EUR" }),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::event::EventType;
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_invented_type_is_one_that_the_engine_takes() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            assert!(EventType::new(invent(&mut random).0).is_ok());
        }
    }
}
