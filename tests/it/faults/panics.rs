//! A panic in each kind of actor: its neighbours answer on, and it comes back with its state.

use serde_json::{Value, json};

use crate::harness::{
    Client, Engine, Settings, Sink,
    client::text,
    export::fetch_verified,
    load::{Acknowledged, Load},
    until,
};

const PANICS: usize = 6;

async fn start() -> Engine {
    Engine::start_with(Settings::default().with("TRUNKLINE__ENGINE__FAULTS", "true")).await
}

/// Makes an actor panic; it must be running.
async fn panic_in(engine: &Engine, kind: &str, key: &str) {
    let body = json!({ "kind": kind, "key": key });
    until(&format!("the {kind} {key} runs, and panics"), async || {
        let answer = engine
            .operator()
            .post("/internal/faults/panic", &body)
            .await;
        assert!(
            matches!(answer.status, 200..=204 | 404),
            "{}",
            answer.text()
        );
        (answer.status != 404).then_some(())
    })
    .await;
}

/// Waits until a load has got further by so many events.
async fn further(load: &Load, by: usize) {
    let enough = load.count() + by;
    until("the load gets further", async || {
        (load.count() >= enough).then_some(())
    })
    .await;
}

async fn assert_kept(engine: &Engine, client: &Client, acknowledged: &[Acknowledged]) {
    let kept = fetch_verified(engine, client).await;
    for one in acknowledged {
        let index = usize::try_from(one.position - 1).expect("a small number");
        assert_eq!(kept[index]["id"], one.id.as_str());
    }
}

fn assert_undisturbed(load: &Load) {
    let refused = load.refused();
    assert!(refused.is_empty(), "{:?}", refused.first());
    assert_eq!(load.unanswered(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_panic_is_its_own_and_it_comes_back_with_its_state() {
    let engine = start().await;
    let hit = engine.tenant("hit", "enterprise").await;
    let neighbour = engine.tenant("neighbour", "enterprise").await;
    let once = json!({ "type": "a", "payload": { "n": 1_000_000 }, "dedup_id": "once" });
    let first = hit.client.send_event(&once).await;
    let (hit_load, other) = (
        Load::start(&hit.client, 8, "a"),
        Load::start(&neighbour.client, 4, "a"),
    );
    for _ in 0..PANICS {
        further(&hit_load, 30).await;
        panic_in(&engine, "tenant", &hit.id).await;
        further(&other, 30).await;
        further(&hit_load, 30).await;
    }
    assert_undisturbed(&other);
    for answer in hit_load.refused() {
        // In the middle of a request, or while it rests after several panics.
        let code = text(&answer.json()["error"], "code").to_owned();
        assert!(
            ["store_unavailable", "overloaded"].contains(&code.as_str()),
            "{code}"
        );
        answer.problem(503, &code);
    }
    let problem = hit
        .client
        .post("/v1/events", &once)
        .await
        .problem(409, "duplicate_event");
    assert_eq!(problem["existing_id"], first["id"]);
    assert_kept(&engine, &hit.client, &hit_load.stop().await).await;
    assert_kept(&engine, &neighbour.client, &other.stop().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhooks_panic_is_its_own_and_it_comes_back_where_it_stood() {
    let engine = start().await;
    let client = engine.client();
    let (hit, neighbour) = (Sink::start().await, Sink::start().await);
    let webhook = async |sink: &Sink| -> Value {
        client
            .post("/v1/webhooks", &json!({ "url": sink.url() }))
            .await
            .ok(201)
            .data()
    };
    let made = webhook(&hit).await;
    webhook(&neighbour).await;
    let load = Load::start(&client, 4, "a");
    for _ in 0..PANICS {
        further(&load, 50).await;
        panic_in(&engine, "webhook", text(&made, "id")).await;
        let enough = neighbour.count() + 20;
        until("the neighbour gets more", async || {
            (neighbour.count() >= enough).then_some(())
        })
        .await;
        let enough = hit.count() + 20;
        until("the one that was hit too", async || {
            (hit.count() >= enough).then_some(())
        })
        .await;
    }
    assert_undisturbed(&load);
    let acknowledged = load.stop().await;
    for sink in [&hit, &neighbour] {
        until("every event has arrived", async || {
            let mut ids: Vec<_> = sink
                .received()
                .iter()
                .map(|one| one.event_id().to_owned())
                .collect();
            ids.sort_unstable();
            ids.dedup();
            (ids.len() == acknowledged.len()).then_some(())
        })
        .await;
    }
    assert_eq!(
        neighbour.count(),
        acknowledged.len(),
        "the neighbour got each event once"
    );
    let repeated = hit.count() - acknowledged.len();
    assert!(repeated <= PANICS * 64, "{repeated} repeated deliveries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_regions_panic_is_its_own_and_it_comes_back_with_its_state() {
    let engine = start().await;
    let hit = engine.tenant("hit", "enterprise").await;
    let body = json!({ "name": "n", "slug": "neighbour", "plan": "enterprise", "region": "EU" });
    let made = engine
        .operator()
        .post("/internal/tenants", &body)
        .await
        .text();
    let key = crate::harness::engine::find_key(&made).unwrap();
    let neighbour = engine.anonymous().with_key(key);
    let (hit_load, other) = (
        Load::start(&hit.client, 8, "a"),
        Load::start(&neighbour, 4, "a"),
    );
    for _ in 0..PANICS {
        further(&hit_load, 30).await;
        further(&other, 30).await;
        panic_in(&engine, "region", "AU").await;
        further(&other, 30).await;
        further(&hit_load, 30).await;
    }
    assert_undisturbed(&other);
    assert_kept(&engine, &hit.client, &hit_load.stop().await).await;
    assert_kept(&engine, &neighbour, &other.stop().await).await;
}

#[tokio::test]
async fn deaths_are_counted_with_their_cause() {
    let engine = start().await;
    let client = engine.client();
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    panic_in(&engine, "tenant", &engine.first_tenant_id().await).await;
    until("it answers again", async || {
        let answer = client
            .post("/v1/events", &json!({ "type": "a", "payload": 2 }))
            .await;
        (answer.status == 202).then_some(())
    })
    .await;
    let metrics = engine.anonymous().get("/metrics").await.ok(200).text();
    let is_it = |line: &str| {
        line.starts_with("actor_deaths_total")
            && line.contains("kind=\"tenant\"")
            && line.contains("cause=\"panic\"")
    };
    assert!(metrics.lines().any(is_it), "{metrics}");
    let actors = engine
        .operator()
        .get("/internal/actors")
        .await
        .ok(200)
        .text();
    assert!(actors.contains("\"restarts\":1"), "{actors}");
}
