//! Two nodes of the program that both want the same devices: at any moment one session's events are taken, and no older one's.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::devices::{Devices, devices};
use crate::harness::{
    Gateway,
    client::{number, text},
};

/// Devices that are contested at the same time, and how often each: a device may open ten sessions a minute on each node.
const DEVICES: usize = 8;
const ROUNDS: usize = 8;
/// What each contender wants to say.
const EVENTS: usize = 5;

/// What became of one contender.
struct Contender {
    gateway: Gateway,
    /// Ids of messages that were acknowledged.
    acknowledged: Vec<String>,
    /// Whether it was told that somebody else has the device.
    is_replaced: bool,
}

impl Contender {
    /// Opens a session on a node and says what it has to say, until it is told to stop.
    async fn contend(devices: &Devices, node: usize, device: &str, round: usize) -> Contender {
        let base = devices.clients[node].base();
        let mut gateway = Gateway::connect(base, &devices.tenant.key, device).await;
        let connected = json!({ "kind": "state", "state": "connected" });
        // Somebody may have taken the device already.
        gateway.send(Message::text(connected.to_string())).await;
        let mut contender = Contender {
            gateway,
            acknowledged: Vec::new(),
            is_replaced: false,
        };
        for event in 0..EVENTS {
            contender.say(&format!("{node}-{round}-{event}")).await;
        }
        contender
    }

    async fn say(&mut self, id: &str) {
        if self.is_replaced {
            return;
        }
        let key = json!({ "chat": "c@g.us", "sender": "s", "id": id });
        let data = json!({ "by": self.gateway.fence, "id": id });
        let event = json!({ "kind": "event", "id": id, "type": "message.received", "key": key, "data": data });
        if !self.gateway.send(Message::text(event.to_string())).await {
            self.is_replaced = true;
            return;
        }
        match self.gateway.next().await {
            Some(frame) if frame["kind"] == "ack" => {
                assert_eq!(frame["id"], id);
                self.acknowledged.push(id.to_owned());
            }
            Some(frame) => {
                assert_eq!(frame, json!({ "kind": "bye", "reason": "replaced" }));
                self.is_replaced = true;
            }
            None => self.is_replaced = true,
        }
    }
}

/// Has both nodes want the device again and again; answers what was acknowledged.
async fn contests(devices: &Devices, device: &str) -> HashSet<String> {
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        let (mut one, mut other) = tokio::join!(
            Contender::contend(devices, 0, device, round),
            Contender::contend(devices, 1, device, round)
        );
        assert_ne!(one.gateway.fence, other.gateway.fence);
        if one.gateway.fence > other.gateway.fence {
            std::mem::swap(&mut one, &mut other);
        }
        let (mut loser, mut winner) = (one, other);
        winner.say(&format!("last-{round}")).await;
        assert_eq!(
            winner.acknowledged.len(),
            EVENTS + 1,
            "nothing of it is refused"
        );
        loser.say(&format!("late-{round}")).await;
        assert!(loser.is_replaced, "its late write is refused");
        acknowledged.extend(winner.acknowledged);
        acknowledged.extend(loser.acknowledged);
    }
    acknowledged
}

/// What the log says of a device: each coming and going once, and nothing of a session after a newer one's word.
fn judge(events: &[Value], acknowledged: &HashSet<String>) {
    let (mut highest, mut is_connected) = (0, false);
    let mut there = HashSet::new();
    for event in events {
        let payload = &event["payload"];
        let fence = match text(event, "type") {
            "message.received" => {
                let id = text(payload, "id").to_owned();
                assert!(there.insert(id), "{event} is there twice");
                number(payload, "by")
            }
            "device.connected" => {
                assert!(!is_connected, "{event}");
                is_connected = true;
                number(payload, "fence")
            }
            "device.disconnected" => {
                assert!(is_connected, "{event}");
                is_connected = false;
                continue;
            }
            other => panic!("{other}: {event}"),
        };
        assert!(fence >= highest, "{fence} after {highest}: {event}");
        highest = fence;
    }
    assert!(
        acknowledged.is_subset(&there),
        "what is acknowledged is there"
    );
    assert!(there.iter().all(|id| !id.starts_with("late")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_want_a_device_the_newest_session_alone_is_taken() {
    let devices = devices().await;
    let mut contested = Vec::new();
    for _ in 0..DEVICES {
        contested.push(devices.made().await);
    }
    let all = contested.iter().map(|device| contests(&devices, device));
    let acknowledged = join_all(all).await;
    for (device, acknowledged) in contested.iter().zip(&acknowledged) {
        let path = format!("/v1/devices/{device}/events");
        let events = devices.clients[2].every_page(&path).await;
        judge(&events, acknowledged);
    }
}
