//! A device that is too fast, and one that does not read, cost themselves only.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{device, frame, gateway, until_state};
use crate::harness::{Client, Engine, Gateway, Settings, process::anonymous_memory_bytes, until};

/// Events a minute of the plan that is soon spent.
pub(super) const PER_MINUTE: usize = 20;
pub(super) const EVENT_BYTES: usize = 16 * 1024;
/// More than what connection and engine together may take without an acknowledgement; most of it is the kernel's.
const TAKEN_MAX: usize = 24 * 1024 * 1024;
pub(super) const OFFERED: usize = 96 * 1024 * 1024;
/// Looks without a change after which nothing moves any more: longer than a device may be silent.
const LOOKS: usize = 500;

/// Waits until nothing more is taken of what is offered, and checks that neither much was taken nor much is held. `before` is
/// what the engine held when nothing was offered yet.
pub(super) async fn until_nothing_is_taken(engine: &Engine, taken: &AtomicUsize, before: u64) {
    let (mut last, mut looks) = (0, 0);
    until("nothing more is taken", async || {
        let now = taken.load(Ordering::Relaxed);
        looks = if now == last && now > 0 { looks + 1 } else { 0 };
        last = now;
        (looks >= LOOKS).then_some(())
    })
    .await;
    assert!(last < TAKEN_MAX, "{last} bytes were taken");
    let grown = anonymous_memory_bytes(engine.process_id()).saturating_sub(before);
    assert!(grown < TAKEN_MAX as u64, "{grown} bytes are held");
}

/// Checks that no more than what the slow plan allows was stored.
pub(super) async fn check_kept(slow: &Client) {
    let kept = super::log(slow).await.len();
    // The minute goes on meanwhile.
    assert!(kept <= PER_MINUTE * 4, "{kept} events are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_acknowledged_is_not_read_for_ever() {
    let settings = Settings::default()
        .with("TRUNKLINE__DEVICES__HEARTBEAT_SECONDS", "1")
        .with(
            "TRUNKLINE__PLANS__FREE__EVENTS_PER_MINUTE",
            PER_MINUTE.to_string(),
        );
    let engine = Engine::start_with(settings).await;
    let slow = engine.tenant("slow", "free").await;
    let id = device(&slow.client).await;
    let mut gateway = Gateway::connect(slow.client.base(), &slow.key, &id).await;
    let before = anonymous_memory_bytes(engine.process_id());

    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let offering = tokio::spawn(async move {
        let data = "x".repeat(EVENT_BYTES);
        for number in 0..OFFERED / EVENT_BYTES {
            let event = json!({ "type": "sensor.reading", "data": data });
            gateway.say(&frame(&number.to_string(), event)).await;
            counted.fetch_add(EVENT_BYTES, Ordering::Relaxed);
        }
    });
    until_nothing_is_taken(&engine, &taken, before).await;
    assert!(!offering.is_finished());

    // It waits, and is not idle; nobody else waits.
    let shown = slow
        .client
        .get(&format!("/v1/devices/{id}"))
        .await
        .ok(200)
        .data();
    assert_eq!(shown["state"], "connecting");
    let other = device(&engine.client()).await;
    let mut other = super::gateway(&engine, &other).await;
    other
        .event(json!({ "type": "sensor.reading", "data": 1 }))
        .await;
    check_kept(&slow.client).await;
    offering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_does_not_read_is_given_up() {
    let engine = Engine::start().await;
    let client = engine.client();
    let id = device(&client).await;
    let mut gateway = gateway(&engine, &id).await;
    gateway
        .say(&json!({ "kind": "state", "state": "connected" }))
        .await;
    until_state(&client, &id, "connected").await;
    let before = anonymous_memory_bytes(engine.process_id());
    let flooding = tokio::spawn(async move {
        // Each ping is answered, and nobody takes the answers.
        while gateway.send(Message::Ping(vec![7; 125].into())).await {}
    });
    let shown = until_state(&client, &id, "offline").await;
    assert_eq!(shown["reason"], "connection_lost");
    let grown = anonymous_memory_bytes(engine.process_id()).saturating_sub(before);
    assert!(grown < 8 * 1024 * 1024, "{grown} bytes were held");
    flooding.abort();
}
