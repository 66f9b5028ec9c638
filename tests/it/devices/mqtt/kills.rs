//! What was acknowledged by PUBACK or PUBREC is there after `kill -9`, and what has a name is there once.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpStream, task::JoinSet, time::sleep};

use super::{device, engine, payloads};
use crate::harness::{
    Engine,
    mqtt::{Connect, Mqtt, port, publish},
    until,
};

const DEVICES: usize = 20;
const KILLS: usize = 5;
/// Publishes that a device sends before it waits for their answers.
const TOGETHER: u16 = 16;

#[derive(Default)]
struct Fleet {
    is_over: AtomicBool,
    port: Mutex<u16>,
    count: AtomicUsize,
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Fleet {
    /// One device: connects whenever it can, and sends its messages until each is acknowledged.
    async fn run(self: Arc<Fleet>, connect: Connect, name: usize) {
        let mut next = 0_usize;
        while !self.is_over.load(Ordering::Relaxed) {
            let port = *self.port.lock().expect("not poisoned");
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                self.session(port, &connect, name, &mut next).await;
            }
            // The device's own pause, and no wait of the test: one that is refused because it came too often comes back later.
            sleep(Duration::from_millis(300)).await;
        }
    }

    async fn session(&self, port: u16, connect: &Connect, name: usize, next: &mut usize) {
        let mut mqtt = Mqtt::open(port).await;
        mqtt.send(&connect.bytes()).await;
        let Some((0x20, body)) = mqtt.packet().await else {
            return;
        };
        if body[1] != 0 {
            return;
        }
        while !self.is_over.load(Ordering::Relaxed) {
            let mut bytes = Vec::new();
            for id in 1..=TOGETHER {
                let message = format!("{name}-{}", *next + usize::from(id));
                let payload = format!(
                    r#"{{"key":{{"chat":"c","sender":"s","id":"{message}"}},"m":"{message}"}}"#
                );
                let qos = 1 + u8::try_from(id % 2).expect("0 or 1");
                bytes.extend(publish(
                    "events/message.received",
                    qos,
                    id,
                    None,
                    payload.as_bytes(),
                ));
            }
            mqtt.send(&bytes).await;
            for id in 1..=TOGETHER {
                let Some((first, body)) = mqtt.packet().await else {
                    return;
                };
                assert_eq!(body[..2], id.to_be_bytes(), "{first:x}");
                let message = format!("{name}-{}", *next + usize::from(id));
                self.acknowledged
                    .lock()
                    .expect("not poisoned")
                    .insert(message);
                self.count.fetch_add(1, Ordering::Relaxed);
                if first == 0x50 {
                    mqtt.send(&[&[0x62, 2][..], &id.to_be_bytes()].concat())
                        .await;
                }
            }
            for id in (1..=TOGETHER).filter(|id| id % 2 == 1) {
                let Some((0x70, body)) = mqtt.packet().await else {
                    return;
                };
                assert_eq!(body, id.to_be_bytes());
            }
            *next += usize::from(TOGETHER);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_and_is_there_once() {
    let mut engine = engine().await;
    let client = engine.client();
    let fleet = Arc::new(Fleet::default());
    note_port(&fleet, &engine).await;
    let mut running = JoinSet::new();
    for name in 0..DEVICES {
        let id = device(&client).await;
        let connect = Connect::new(4, &id, engine.key());
        running.spawn(Arc::clone(&fleet).run(connect, name));
    }
    for _ in 0..KILLS {
        let enough = fleet.count.load(Ordering::Relaxed) + DEVICES * usize::from(TOGETHER) * 3;
        until("there is work before the kill", async || {
            (fleet.count.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        engine.kill_9().await;
        engine.start_again().await;
        note_port(&fleet, &engine).await;
    }
    fleet.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended.expect("devices do not panic");
    }
    let kept = payloads(&client, "message.received").await;
    let kept: Vec<String> = kept
        .iter()
        .map(|payload| payload["m"].as_str().expect("a text").to_owned())
        .collect();
    let once: BTreeSet<String> = kept.iter().cloned().collect();
    assert_eq!(once.len(), kept.len(), "nothing is there twice");
    let acknowledged = fleet.acknowledged.lock().expect("not poisoned");
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    eprintln!(
        "{} acknowledged, {} kept, {KILLS} kills",
        acknowledged.len(),
        kept.len()
    );
}

/// Each start takes another port.
async fn note_port(fleet: &Fleet, engine: &Engine) {
    let port = port(engine).await;
    *fleet.port.lock().expect("not poisoned") = port;
}
