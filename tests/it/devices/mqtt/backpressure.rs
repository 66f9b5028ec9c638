//! A device that is too fast costs itself only: its socket is not read, and it is not taken for silent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    super::backpressure::{EVENT_BYTES, OFFERED, PER_MINUTE, check_kept, until_nothing_is_taken},
    connected, device, settings, until_state,
};
use crate::harness::{
    Engine,
    mqtt::{Connect, Mqtt, publish},
    process::anonymous_memory_bytes,
};

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
    until_nothing_is_taken(&engine, &taken, before).await;
    assert!(!offering.is_finished());

    // It waits, and is not silent; nobody else waits.
    until_state(&slow.client, &id, "connected").await;
    let (_, mut other) = connected(&engine, 5).await;
    other
        .send(&publish("events/a.b", 1, 1, Some(&[]), b"1"))
        .await;
    other.expect(0x40).await;
    check_kept(&slow.client).await;
    offering.abort();
}
