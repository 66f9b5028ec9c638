//! The disk of the store is full: 507, nothing is acknowledged that is not there, and service resumes when there is room.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    Answer, Client, Engine, MemoryDisk, Settings, Sink,
    client::{number, text},
    export::fetch_verified,
    until,
};

const DISK_MIB: usize = 80;
const BALLAST_MIB: usize = 24;

fn put_ballast(disk: &Path) {
    fs::write(disk.join("ballast"), vec![1; BALLAST_MIB << 20]).expect("it fits");
}

fn drop_ballast(disk: &Path) {
    fs::remove_file(disk.join("ballast")).expect("it was there");
}

fn event(n: usize) -> Value {
    json!({ "type": "big", "payload": { "n": n, "fill": "x".repeat(60_000) } })
}

/// Sends events until the disk is full; answers the receipts.
async fn fill(client: &Client) -> Vec<Value> {
    let mut receipts = Vec::new();
    for n in 0.. {
        let answer: Answer = client.post("/v1/events", &event(n)).await;
        if answer.status != 202 {
            answer.problem(507, "storage_full");
            break;
        }
        receipts.push(answer.data());
        assert!(n < 100_000, "the disk never fills");
    }
    receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_of_an_embedded_store_is_answered_507_and_service_resumes_when_there_is_room() {
    let disk = MemoryDisk::mount(DISK_MIB);
    put_ballast(disk.path());
    let folder = disk.path().join("data");
    let settings = Settings::default().in_folder(&folder).embedded();
    let mut engine = Engine::start_with(settings).await;
    let client = &engine.client();
    let sink = Sink::start().await;
    client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);

    let mut receipts = fill(client).await;
    assert!(!receipts.is_empty());
    for n in 0..20 {
        let answer = client.post("/v1/events", &event(n)).await;
        if answer.status == 202 {
            receipts.push(answer.data());
        } else {
            answer.problem(507, "storage_full");
        }
    }
    // All who come at once are told the same, also those whose events followed others that did not fit.
    let many = (0..32).map(|n| async move { client.post("/v1/events", &event(n)).await });
    for answer in futures_util::future::join_all(many).await {
        if answer.status == 202 {
            receipts.push(answer.data());
        } else {
            answer.problem(507, "storage_full");
        }
    }
    // What is there can still be read.
    let last = receipts.last().unwrap();
    client
        .get(&format!("/v1/events/{}", text(last, "id")))
        .await
        .ok(200);
    engine.anonymous().get("/health").await.ok(200);

    drop_ballast(disk.path());
    until("events are taken again, without a restart", async || {
        let answer = client.post("/v1/events", &event(0)).await;
        let is_taken = answer.status == 202;
        is_taken.then(|| receipts.push(answer.data()))
    })
    .await;
    for n in 0..50 {
        receipts.push(client.send_event(&event(n)).await);
    }
    assert_all_there(&engine, &receipts).await;
    until("the webhook has every event", async || {
        (sink.count() >= receipts.len()).then_some(())
    })
    .await;
    engine.kill_9().await;
    engine.start_again().await;
    assert_all_there(&engine, &receipts).await;
}

async fn assert_all_there(engine: &Engine, receipts: &[Value]) {
    let kept = fetch_verified(engine, &engine.client()).await;
    assert_eq!(
        kept.len(),
        receipts.len(),
        "what was refused is not there, the rest is"
    );
    for (event, receipt) in kept.iter().zip(receipts) {
        assert_eq!(event["id"], receipt["id"]);
        assert_eq!(number(event, "position"), number(receipt, "position"));
    }
}
