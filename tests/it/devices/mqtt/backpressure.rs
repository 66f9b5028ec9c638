//! A device that is too fast costs itself only: its socket is not read, and it is not taken for silent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{connected, device, log, settings, until_state};
use crate::harness::{
    Engine,
    mqtt::{Connect, Mqtt, publish},
    process::anonymous_memory_bytes,
    until,
};

/// Events a minute of the plan that is soon spent.
const PER_MINUTE: usize = 20;
const EVENT_BYTES: usize = 16 * 1024;
/// More than what connection and engine together may take without an acknowledgement; most of it is the kernel's.
const TAKEN_MAX: usize = 24 * 1024 * 1024;
const OFFERED: usize = 96 * 1024 * 1024;
/// Looks without a change after which nothing moves any more: longer than a device may be silent.
const LOOKS: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_acknowledged_is_not_read_for_ever() {
    let settings = settings().with(
        "TRUNKLINE__PLANS__FREE__EVENTS_PER_MINUTE",
        PER_MINUTE.to_string(),
    );
    let engine = Engine::start_with(settings).await;
    let slow = engine.tenant("slow", "free").await;
    let id = device(&slow.client).await;
    let connect = Connect {
        keep_alive: 1,
        ..Connect::new(4, &id, &slow.key)
    };
    let mut mqtt = Mqtt::connect_as(&engine, &connect).await;
    let before = anonymous_memory_bytes(engine.process_id());

    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let offering = tokio::spawn(async move {
        let bytes = publish(
            "events/sensor.reading",
            1,
            1,
            None,
            &vec![b'x'; EVENT_BYTES],
        );
        for _ in 0..OFFERED / EVENT_BYTES {
            mqtt.send(&bytes).await;
            counted.fetch_add(EVENT_BYTES, Ordering::Relaxed);
        }
    });
    let (mut last, mut looks) = (0, 0);
    until("nothing more is taken", async || {
        let now = taken.load(Ordering::Relaxed);
        looks = if now == last && now > 0 { looks + 1 } else { 0 };
        last = now;
        (looks >= LOOKS).then_some(())
    })
    .await;
    assert!(last < TAKEN_MAX, "{last} bytes were taken");
    assert!(!offering.is_finished());
    let grown = anonymous_memory_bytes(engine.process_id()).saturating_sub(before);
    assert!(grown < TAKEN_MAX as u64, "{grown} bytes are held");

    // It waits, and is not silent; nobody else waits.
    until_state(&slow.client, &id, "connected").await;
    let (_, mut other) = connected(&engine, 5).await;
    other
        .send(&publish("events/a.b", 1, 1, Some(&[]), b"1"))
        .await;
    other.expect(0x40).await;
    let kept = log(&slow.client).await;
    // The minute goes on meanwhile.
    assert!(
        kept.len() <= PER_MINUTE * 4,
        "{} events are kept",
        kept.len()
    );
    offering.abort();
}
