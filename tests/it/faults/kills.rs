//! Fifty times `kill -9` at random moments, under ingest and delivery.

use std::collections::{HashMap, HashSet};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

use crate::harness::{
    Engine, Sink,
    client::number,
    export::fetch_verified,
    load::{Acknowledged, Load},
    until,
};

const KILLS: usize = 50;
const IN_FLIGHT_MAX: usize = 16;
const SEED: u64 = 0x7472_756e_6b6c_696e;

/// What one webhook has got, life by life of the engine.
#[derive(Default)]
struct Arrivals {
    seen: HashSet<String>,
    duplicates_worst: usize,
}

impl Arrivals {
    /// Takes what came on the connections of the life that just ended; what came on later ones is handed back.
    fn take_life(&mut self, sink: &Sink, secret: &str, ended_before: u64) {
        let mut duplicates = 0;
        let mut within_life = HashSet::new();
        for received in sink.take() {
            assert!(
                received.connection < ended_before,
                "nobody delivers while nothing runs"
            );
            received.verify(secret);
            let id = received.event_id().to_owned();
            let is_new_in_this_life = within_life.insert(id.clone());
            assert!(
                is_new_in_this_life,
                "{id} came twice in one life, though it was answered 200"
            );
            duplicates += usize::from(!self.seen.insert(id));
        }
        self.duplicates_worst = self.duplicates_worst.max(duplicates);
        assert!(
            duplicates <= IN_FLIGHT_MAX,
            "{duplicates} duplicates after a restart, with {IN_FLIGHT_MAX} in flight at most"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_no_acknowledged_event_and_repeat_few_deliveries() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let body = json!({ "url": sink.url(), "max_in_flight": IN_FLIGHT_MAX });
    let webhook = client.post("/v1/webhooks", &body).await.ok(201).data();
    let secret = webhook["secret"].as_str().unwrap();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut arrivals = Arrivals::default();
    let load = Load::start(&client, 8, "under.fire");
    for round in 0..KILLS {
        // A random amount of work is a random moment, whatever the machine's speed.
        let enough = load.count() + random.random_range(0..250);
        until(&format!("round {round} has done its work"), async || {
            (load.count() >= enough).then_some(())
        })
        .await;
        engine.kill_9().await;
        let ended_before = sink.mark().await;
        arrivals.take_life(&sink, secret, ended_before);
        engine.start_again().await;
    }
    let acknowledged = load.stop().await;
    let kept = fetch_verified(&engine, &client).await;
    assert_log_is_whole(&kept, &acknowledged);
    let expected: HashSet<_> = kept
        .iter()
        .filter_map(|event| event["id"].as_str().map(str::to_owned))
        .collect();
    until("the webhook has got every event", async || {
        let last_life = sink.received();
        let ids = last_life
            .iter()
            .map(|received| received.event_id().to_owned());
        let all: HashSet<_> = arrivals.seen.iter().cloned().chain(ids).collect();
        (all.len() >= expected.len()).then(|| assert_eq!(all, expected))
    })
    .await;
    arrivals.take_life(&sink, secret, u64::MAX);
    eprintln!(
        "{} events kept, {} acknowledged, at most {} repeated after one of {KILLS} kills",
        kept.len(),
        acknowledged.len(),
        arrivals.duplicates_worst
    );
}

/// Checks that positions have no hole and that whatever was acknowledged stands where its receipt says.
fn assert_log_is_whole(kept: &[Value], acknowledged: &[Acknowledged]) {
    for (index, event) in kept.iter().enumerate() {
        assert_eq!(number(event, "position"), index as u64 + 1, "no hole");
    }
    for one in acknowledged {
        let index = usize::try_from(one.position - 1).expect("a small number");
        let event = kept.get(index).unwrap_or_else(|| panic!("{one:?} is lost"));
        assert_eq!(event["id"], one.id.as_str(), "{one:?}");
        assert_eq!(event["payload"]["n"], one.number, "{one:?}");
    }
    let mut times: HashMap<u64, usize> = HashMap::new();
    for event in kept {
        *times.entry(number(&event["payload"], "n")).or_default() += 1;
    }
    assert!(
        times.values().all(|times| *times == 1),
        "no event was written twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_reconnects_across_kills_has_no_gap_and_no_duplicate() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let mut random = StdRng::seed_from_u64(SEED);
    let load = Load::start(&client, 4, "under.fire");
    let mut last = 0;
    for _ in 0..8 {
        let mut tail = client.tail("", Some(last)).await;
        let enough = last + random.random_range(1..200);
        while last < enough {
            let frame = tail.event().await.expect("the tail goes on");
            assert_eq!(frame.id, Some(last + 1));
            last += 1;
        }
        engine.kill_9().await;
        while let Some(frame) = tail.event().await {
            assert_eq!(frame.id, Some(last + 1));
            last += 1;
        }
        engine.start_again().await;
    }
    load.stop().await;
    let kept = fetch_verified(&engine, &client).await;
    assert!(kept.len() as u64 >= last, "what a tail showed is there");
}
