//! An installation whose oldest events have outlived their retention: they go, and everything else goes on.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    contract::proofs::assert_proven,
    harness::{
        Behaviour, Client, Engine, Settings, Sink, Store,
        client::{number, text},
        export::fetch_verified,
        postgres::{Database, query},
        sink::Received,
        until,
    },
};

/// Events that are there before, and how many of them are old.
const EVENTS: u64 = 10;
const OLD: u64 = 6;
/// Three days, in microseconds.
const AGO: u64 = 3 * 24 * 60 * 60 * 1_000_000;

/// Makes the oldest events of the stopped engine older than they are, behind its back.
async fn make_old(engine: &Engine, upto: u64) {
    let set =
        format!("SET received_at = received_at - {AGO} WHERE (place & 1099511627775) <= {upto}");
    match engine.store() {
        Store::Postgres(database) => {
            query(&database.url(), &format!("UPDATE region_au.events {set}"));
        }
        Store::Embedded | Store::Given => {
            let done = tokio::process::Command::new("sqlite3")
                .arg(engine.data_dir().join("AU.db"))
                .arg(format!("UPDATE events {set}"))
                .output()
                .await
                .expect("sqlite3 can be run");
            let errors = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{errors}");
        }
    }
}

async fn send(client: &Client, count: u64) -> Vec<Value> {
    let mut receipts = Vec::new();
    for number in 0..count {
        let event = json!({ "type": "a", "payload": number });
        receipts.push(client.send_event(&event).await);
    }
    receipts
}

async fn listed(client: &Client) -> Vec<Value> {
    client.every_page("/v1/events?order=asc").await
}

fn positions(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| number(event, "position"))
        .collect()
}

/// Stops it, makes its oldest events old, and starts it again; answers when they have gone.
async fn outlive(engine: &mut Engine, upto: u64) {
    engine.send_sigterm().await;
    let status = engine.ended().await;
    assert!(status.success(), "{status}: {}", engine.log());
    make_old(engine, upto).await;
    engine.start_again().await;
    let client = engine.client();
    until("the old events have gone", async || {
        let events = listed(&client).await;
        let oldest = events
            .first()
            .map_or(u64::MAX, |event| number(event, "position"));
        (oldest > upto).then_some(())
    })
    .await;
}

async fn webhook(client: &Client, sink: &Sink) -> String {
    let made = client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await;
    text(&made.ok(201).data(), "id").to_owned()
}

/// What is set up before anything goes.
struct Installation {
    fine: Sink,
    late: Sink,
    _failing: Sink,
    paused: String,
    workspace: String,
    receipts: Vec<Value>,
}

impl Installation {
    /// Webhooks that deliver, stand still, and fail; a workspace that keeps its events for a day; events, and a checkpoint.
    async fn set_up(client: &Client) -> Installation {
        let (fine, late, failing) = (
            Sink::start().await,
            Sink::start().await,
            Sink::that(Behaviour::Answer(503)).await,
        );
        webhook(client, &fine).await;
        let paused = format!("/v1/webhooks/{}", webhook(client, &late).await);
        webhook(client, &failing).await;
        let pause = format!("{paused}/pause");
        client.post(&pause, &json!({})).await.ok(200);
        let workspace = client.every_page("/v1/workspaces").await[0].clone();
        let workspace = format!("/v1/workspaces/{}", text(&workspace, "id"));
        let kept = json!({ "retention_days": 1 });
        let call = client.call(reqwest::Method::PATCH, &workspace).json(&kept);
        call.await.ok(200);
        let receipts = send(client, EVENTS).await;
        // What is signed now must be continued when the events of this time are gone.
        let checkpoint = format!("{workspace}/checkpoint");
        client.get(&checkpoint).await.ok(200);
        send(client, 1).await;
        fine.wait_for(11).await;
        failing.wait_for(10).await;
        Installation {
            fine,
            late,
            _failing: failing,
            paused,
            workspace,
            receipts,
        }
    }

    /// What is kept is served as ever, and what is gone is gone.
    async fn check_reads(&self, engine: &Engine, client: &Client) -> Vec<Value> {
        let events = listed(client).await;
        assert_eq!(positions(&events), [7, 8, 9, 10, 11]);
        let gone = format!("/v1/events/{}", text(&self.receipts[0], "id"));
        client.get(&gone).await.problem(404, "not_found");
        let proof = format!("{gone}/proof");
        client.get(&proof).await.problem(404, "not_found");
        for event in &events {
            assert_proven(client, event).await;
        }
        assert_eq!(fetch_verified(engine, client).await.len(), 5);
        events
    }

    /// Whoever stood before the oldest event that is kept goes on with that.
    async fn check_readers(&self, client: &Client, events: &[Value]) {
        let mut tail = client.tail("", Some(3)).await;
        let gap = tail.event().await.expect("the tail goes on");
        assert_eq!(gap.event.as_deref(), Some("gap"));
        assert_eq!(gap.json(), json!({ "oldest": 7 }));
        let first = tail.event().await.expect("the tail goes on");
        assert_eq!(number(&first.json(), "position"), 7);

        let next = async || {
            let inbox = client.get("/v1/inbox").await.ok(200).data();
            number(&inbox[0], "position")
        };
        assert_eq!(next().await, 7);
        let ack = format!("/v1/events/{}/ack", text(&events[0], "id"));
        client.post(&ack, &json!({})).await.ok(200);
        assert_eq!(next().await, 8);

        let resume = format!("{}/resume", self.paused);
        client.post(&resume, &json!({})).await.ok(200);
        let received = self.late.wait_for(5).await;
        let received: Vec<Value> = received.iter().map(Received::json).collect();
        let mut of_late = positions(&received);
        of_late.sort_unstable();
        assert_eq!(of_late, [7, 8, 9, 10, 11]);
    }
}

#[tokio::test]
async fn what_has_outlived_its_retention_goes_and_everything_else_goes_on() {
    let settings = Settings::default().with("TRUNKLINE__ENGINE__RETENTION_EVERY_SECONDS", "1");
    let mut engine = Engine::start_with(settings).await;
    let installation = Installation::set_up(&engine.client()).await;
    outlive(&mut engine, OLD).await;
    let client = engine.client();
    let events = installation.check_reads(&engine, &client).await;
    installation.check_readers(&client, &events).await;
    let next = send(&client, 1).await;
    assert_eq!(number(&next[0], "position"), 12);
    installation.fine.wait_for(12).await;

    // Killed right after all the rest has gone, too.
    outlive(&mut engine, 12).await;
    engine.kill_9().await;
    engine.start_again().await;
    let client = engine.client();
    assert_eq!(listed(&client).await, Vec::<Value>::new());
    let checkpoint = format!("{}/checkpoint", installation.workspace);
    let note = client.get(&checkpoint).await.ok(200).text();
    assert_eq!(note.lines().nth(1), Some("12"));
    let next = send(&client, 2).await;
    assert_eq!(number(&next[0], "position"), 13);
    let events = listed(&client).await;
    assert_eq!(positions(&events), [13, 14]);
    for event in &events {
        assert_proven(&client, event).await;
    }
    assert_eq!(fetch_verified(&engine, &client).await.len(), 2);
    installation.fine.wait_for(14).await;
}

/// Makes the months January to March of 2020, and puts events into them: the first two of the tenant on the free plan into January,
/// its third one into February with the first of the other tenant, whose second one goes into March.
const OLD_MONTHS: &str = "
    SET search_path = region_au;
    CREATE TABLE events_2020_01 PARTITION OF events FOR VALUES FROM (1577836800000000) TO (1580515200000000);
    CREATE TABLE events_2020_02 PARTITION OF events FOR VALUES FROM (1580515200000000) TO (1583020800000000);
    CREATE TABLE events_2020_03 PARTITION OF events FOR VALUES FROM (1583020800000000) TO (1585699200000000);
    UPDATE events SET received_at = 1577836800000000 + (place & 1099511627775)
    WHERE  place >> 40 = (SELECT no FROM tenants WHERE head = 4) AND place & 1099511627775 <= 2;
    UPDATE events SET received_at = 1580515200000000
    WHERE  place >> 40 = (SELECT no FROM tenants WHERE head = 4) AND place & 1099511627775 = 3
           OR place >> 40 = (SELECT no FROM tenants WHERE head = 3) AND place & 1099511627775 = 1;
    UPDATE events SET received_at = 1583020800000000
    WHERE  place >> 40 = (SELECT no FROM tenants WHERE head = 3) AND place & 1099511627775 = 2";

#[tokio::test]
async fn months_go_in_which_nobody_has_anything_to_keep_and_no_others() {
    let store = Store::Postgres(Arc::new(Database::fresh()));
    let settings = Settings::default()
        .on(store)
        .with("TRUNKLINE__ENGINE__RETENTION_EVERY_SECONDS", "1");
    let mut engine = Engine::start_with(settings).await;
    let tenant = engine.tenant("short", "free").await;
    let (endless, free) = (engine.client(), tenant.client);
    let short = json!({ "slug": "brief", "retention_days": 1 });
    endless.post("/v1/workspaces", &short).await.ok(201);
    send(&free, 4).await;
    // The second one has outlived its time, and waits for the first one, which is kept for ever.
    send(&endless, 1).await;
    let brief = json!({ "type": "a", "payload": 1, "workspace": "brief" });
    endless.send_event(&brief).await;
    send(&endless, 1).await;
    engine.send_sigterm().await;
    let status = engine.ended().await;
    assert!(status.success(), "{status}: {}", engine.log());
    let Store::Postgres(database) = engine.store().clone() else {
        panic!("it runs on PostgreSQL");
    };
    query(&database.url(), OLD_MONTHS);
    engine.start_again().await;

    let (endless, free) = (engine.client(), engine.anonymous().with_key(&tenant.key));
    until("what the free plan does not keep has gone", async || {
        (positions(&listed(&free).await) == [4]).then_some(())
    })
    .await;
    let left =
        "SELECT count(*) FROM pg_class WHERE relname LIKE 'events_2020_0_' AND relkind = 'r'";
    until("the first month has gone", async || {
        let said = query(&database.url(), left);
        said.trim().ends_with('2').then_some(())
    })
    .await;
    assert!(
        engine
            .log()
            .contains("dropped the partition region_au.events_2020_01")
    );
    assert_eq!(positions(&listed(&endless).await), [1, 2, 3]);
    let next = send(&free, 1).await;
    assert_eq!(number(&next[0], "position"), 5);
}
