//! Many devices send while the node is killed, paused and restarted: nothing that was acknowledged is lost, nothing is kept
//! twice, and an edit that overtook its message is joined to it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gateway::{Builder, Bytes, DeviceEvent, EventType, Gateway, MessageKey, Receipt, Report};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::device;
use crate::harness::{
    Client, Engine, Settings,
    client::{number, text},
    export::fetch_verified,
    process, until,
};

/// How often each device has something to say.
const PACE: Duration = Duration::from_secs(1);
/// Messages that a device does not wait for.
const UNACKED_MAX: usize = 8;
/// One message in so many is edited, and the edit comes first.
const EDITED: usize = 5;
/// How often gateways say something.
const HEARTBEAT_SECONDS: u32 = 3;
/// How long the process stands still: longer than gateways wait for it.
const PAUSED_FOR: Duration = Duration::from_secs(12);
const SEED: u64 = 0x6465_7669_6365_7321;

/// What happens to the node.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Kill,
    Pause,
    Restart,
}

#[derive(Default)]
struct Fleet {
    is_over: AtomicBool,
    count: AtomicUsize,
    acked: Mutex<Vec<Acked>>,
}

/// An event that the engine said it keeps.
struct Acked {
    device: String,
    kind: &'static str,
    message: String,
    position: u64,
}

fn event(kind: &'static str, message: &str) -> DeviceEvent {
    DeviceEvent {
        id: "".into(),
        kind: EventType::new(kind).expect("a type"),
        at: None,
        key: Some(MessageKey {
            chat: "1@s.whatsapp.net".into(),
            sender: "1@s.whatsapp.net".into(),
            id: message.into(),
        }),
        data: Bytes::from(format!(r#"{{"text":"{kind} {message}"}}"#)),
    }
}

fn connect(engine: &Engine, device: &str) -> Gateway {
    let id = device.parse().expect("an id");
    Builder::new(engine.client().base(), id, engine.key())
        .expect("a URL and a key")
        .backoff(Duration::from_millis(500), Duration::from_secs(5))
        .start()
}

impl Fleet {
    /// One device that sends until it is told to stop, and then waits for what it has sent.
    async fn run(self: Arc<Fleet>, gateway: Gateway, device: String, first: Duration) {
        sleep(first).await;
        gateway.report(Report::Connected { reason: None });
        let mut waiting: VecDeque<(&'static str, String, Receipt)> = VecDeque::new();
        let mut beat = interval(PACE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for number in 0_usize.. {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            beat.tick().await;
            let message = format!("M{number}");
            if number.is_multiple_of(EDITED) {
                let receipt = gateway.send(event("message.updated", &message)).await;
                let receipt = receipt.expect("the gateway runs");
                waiting.push_back(("message.updated", message.clone(), receipt));
            }
            let receipt = gateway.send(event("message.received", &message)).await;
            let receipt = receipt.expect("the gateway runs");
            waiting.push_back(("message.received", message, receipt));
            while waiting.len() > UNACKED_MAX {
                self.note(&device, waiting.pop_front()).await;
            }
        }
        while !waiting.is_empty() {
            self.note(&device, waiting.pop_front()).await;
        }
        gateway.close().await;
    }

    async fn note(&self, device: &str, sent: Option<(&'static str, String, Receipt)>) {
        let Some((kind, message, receipt)) = sent else {
            return;
        };
        let position = receipt.await.expect("the event is taken").get();
        let acked = Acked {
            device: device.to_owned(),
            kind,
            message,
            position,
        };
        self.acked.lock().expect("not poisoned").push(acked);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn strike(engine: &mut Engine, blow: Blow) {
    match blow {
        Blow::Kill => {
            engine.kill_9().await;
            engine.start_again().await;
        }
        Blow::Pause => {
            let process_id = engine.process_id();
            process::signal(process_id, "STOP").await;
            // Nothing can be waited for: that nothing happens is the point.
            sleep(PAUSED_FOR).await;
            process::signal(process_id, "CONT").await;
        }
        Blow::Restart => engine.restart().await,
    }
}

/// Puts devices under fire, and checks what is left.
async fn under_fire(devices: usize, blows: &[Blow]) {
    let heartbeat = HEARTBEAT_SECONDS.to_string();
    let settings = Settings::default().with("TRUNKLINE__DEVICES__HEARTBEAT_SECONDS", heartbeat);
    let mut engine = Engine::start_with(settings).await;
    let client = engine.client();
    let mut random = StdRng::seed_from_u64(SEED);
    let fleet = Arc::new(Fleet::default());
    let mut running = JoinSet::new();
    let mut ids = Vec::new();
    for _ in 0..devices {
        ids.push(device(&client).await);
    }
    for id in &ids {
        let gateway = connect(&engine, id);
        let first = PACE.mul_f64(random.random_range(0.0..1.0));
        running.spawn(Arc::clone(&fleet).run(gateway, id.clone(), first));
    }
    for blow in blows {
        // A random amount of work is a random moment, whatever the machine's speed.
        let count = fleet.count.load(Ordering::Relaxed);
        let enough = count + devices * 2 + random.random_range(0..devices * 2);
        until(&format!("there is work before {blow:?}"), async || {
            (fleet.count.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        strike(&mut engine, *blow).await;
    }
    fleet.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended.expect("devices do not panic");
    }
    let kept = fetch_verified(&engine, &client).await;
    check(&kept, &fleet.acked.lock().expect("not poisoned"));
    check_messages(&client, &ids[0], &kept).await;
    eprintln!(
        "{devices} devices, {} events kept, {} acknowledged, {} blows",
        kept.len(),
        fleet.count.load(Ordering::Relaxed),
        blows.len(),
    );
}

/// That nothing acknowledged is lost or moved, and nothing is there twice.
fn check(kept: &[Value], acked: &[Acked]) {
    let mut times: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for (index, event) in kept.iter().enumerate() {
        assert_eq!(number(event, "position"), index as u64 + 1, "no hole");
        let kind = text(event, "type");
        if let Some(said) = event["payload"]["text"].as_str() {
            let key = (text(event, "device"), kind, said);
            *times.entry(key).or_default() += 1;
        }
    }
    assert!(
        times.values().all(|times| *times == 1),
        "nothing is kept twice"
    );
    for one in acked {
        let index = usize::try_from(one.position - 1).expect("a small number");
        let event = kept.get(index).expect("what was acknowledged is kept");
        assert_eq!(event["device"], one.device.as_str());
        assert_eq!(event["type"], one.kind);
        let said = format!("{} {}", one.kind, one.message);
        assert_eq!(event["payload"]["text"], said.as_str());
    }
}

/// That one device's messages are all there, once, each with the edit that came before it.
async fn check_messages(client: &Client, device: &str, kept: &[Value]) {
    let path = format!("/v1/devices/{device}/messages?limit=500");
    let messages = client.every_page(&path).await;
    let of_device =
        |event: &&Value| event["device"] == device && event["type"] == "message.received";
    let received = kept.iter().filter(of_device).count();
    assert_eq!(messages.len(), received);
    for message in &messages {
        let shown = message.to_string();
        let name = text(message, "message_id");
        let number: usize = name[1..].parse().expect("as the device named it");
        let edit = format!("message.updated {name}\"");
        assert_eq!(
            shown.contains(&edit),
            number.is_multiple_of(EDITED),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_devices_lose_nothing_while_their_node_is_killed_paused_and_restarted() {
    let blows = [
        Blow::Kill,
        Blow::Pause,
        Blow::Restart,
        Blow::Kill,
        Blow::Pause,
    ];
    under_fire(1_000, &blows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_devices_lose_nothing_in_half_a_dozen_kills() {
    under_fire(50, &[Blow::Kill; 6]).await;
}
