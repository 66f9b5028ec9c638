//! Two nodes and one device that both want, a thousand times: whatever they do at the same time, the writes of one session only
//! are taken at any moment, and the log says each coming and going once.

use std::sync::atomic::Ordering;

use domain::fence::Fence;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::stand::{Gateway, all, connect, connected, make_device, message};
use crate::{
    Engine,
    device::{DeviceItem, DeviceKey, OpenError, SessionError},
    placement::tests::stand::Stand,
};

const CONTESTS: u32 = 1_000;

/// Opens a session and sends events through it until it is refused. Answers the fence, and how many events were taken.
async fn contend(engine: &Engine, key: DeviceKey, name: &str, events: u32) -> (Fence, u32) {
    let gateway = open(engine, key).await;
    let fence = gateway.session.fence;
    let mut taken = 0;
    match engine.report(&gateway.session, connected()).await {
        Ok(()) => {}
        Err(SessionError::Replaced) => return (fence, 0),
        Err(error) => assert!(error.is_passing(), "{error}"),
    }
    while taken < events {
        let event = message("message.received", &format!("{name}-{fence}-{taken}"));
        match engine
            .ingest_from_device(&gateway.session, vec![event])
            .await
        {
            Ok(items) => {
                assert!(matches!(
                    items[0],
                    DeviceItem::Stored(_) | DeviceItem::Duplicate(_)
                ));
                taken += 1;
            }
            Err(SessionError::Replaced) => break,
            // The other one's refused write took this one with it.
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
    (fence, taken)
}

async fn open(engine: &Engine, key: DeviceKey) -> Gateway {
    loop {
        match connect(engine, key).await {
            Ok(gateway) => return gateway,
            // The test opens more sessions than a device may: what it is about is not the breaker.
            Err(OpenError::Flapping { .. }) => engine.inner.devices.board.forget_flapping(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[actix::test]
async fn of_two_nodes_that_want_a_device_at_most_one_can_write_at_any_moment() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    let device = make_device(&a.engine, customer.id).await;
    let key = DeviceKey {
        tenant: customer.id,
        device,
    };
    let mut random = StdRng::seed_from_u64(5);
    let mut taken = 0;
    for contest in 0..CONTESTS {
        // News come, get lost, or come half of the time.
        let lost = [0, 100, 50][(contest % 3) as usize];
        stand.wire.lost_percent.store(lost, Ordering::Relaxed);
        let (at_a, at_b) = (random.random_range(0..3), random.random_range(0..3));
        let ((one, by_a), (other, by_b)) = tokio::join!(
            contend(&a.engine, key, "a", at_a),
            contend(&b.engine, key, "b", at_b)
        );
        assert_ne!(one, other, "two sessions never have the same fence");
        taken += by_a + by_b;
        // Of the newer session everything was taken.
        let (newer, wanted) = if one > other {
            (by_a, at_a)
        } else {
            (by_b, at_b)
        };
        assert_eq!(newer, wanted, "contest {contest}");
    }
    let events = all(&*stand.log, customer.id).await;
    let (mut highest, mut is_connected, mut messages) = (0, false, 0);
    for event in &events {
        let fence: u64 = match event.kind.as_str() {
            "message.received" => {
                messages += 1;
                let text = String::from_utf8_lossy(&event.payload).into_owned();
                text.rsplit('-').nth(1).unwrap().parse().unwrap()
            }
            kind => {
                let data: serde_json::Value = serde_json::from_slice(&event.payload).unwrap();
                let comes = kind == "device.connected";
                assert_ne!(comes, is_connected, "{kind} at {}", event.position);
                is_connected = comes;
                // The end of a session is said by the next one, if it could not say it itself.
                if !comes {
                    continue;
                }
                data["fence"].as_u64().unwrap()
            }
        };
        assert!(
            fence >= highest,
            "at {}: {fence} after {highest}",
            event.position
        );
        highest = fence;
    }
    assert_eq!(messages, taken);
    stand.check_log(customer).await;
}
