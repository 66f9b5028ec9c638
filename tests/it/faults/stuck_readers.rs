//! Readers that stop reading cost themselves only, and are closed in the end.

use serde_json::json;

use crate::harness::{
    Client, Engine, Settings, process::anonymous_memory_bytes, process::established_connections,
    until, wire::Wire,
};

const GROUP: usize = 100;
/// Groups that are measured.
const GROUPS: usize = 5;
/// Looks without a new low after which memory counts as settled.
const LOOKS: usize = 100;
const BYTES_EACH_MAX: u64 = 64 * 1024;
/// Batches of a hundred events of two KiB.
const BATCHES: usize = 60;

async fn pour(client: &Client) {
    let payload = "x".repeat(2048);
    let batch = json!(vec![json!({ "type": "a", "payload": payload }); 100]);
    for _ in 0..BATCHES {
        client.post("/v1/events", &batch).await.ok(202);
    }
}

/// What the process holds when it has given back what it needed for a moment only.
async fn settled_memory(engine: &Engine) -> u64 {
    let mut least = u64::MAX;
    let mut looks = 0;
    until("the memory has settled", async || {
        let now = anonymous_memory_bytes(engine.process_id());
        looks = if now < least { 0 } else { looks + 1 };
        least = least.min(now);
        // A small request now and then lets every worker's allocator tidy up.
        engine.anonymous().get("/health").await.ok(200);
        (looks >= LOOKS).then_some(least)
    })
    .await
}

/// Opens tails that never read more than the beginning.
async fn open_stuck(engine: &Engine, count: usize) -> Vec<Wire> {
    let mut stuck = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::open_narrow(engine.port()).await;
        let request = format!(
            "GET /v1/events/tail HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            engine.key()
        );
        wire.send(request.as_bytes()).await.expect("it can be sent");
        assert!(wire.read_until("retry: 2000").await.contains(" 200 "));
        stuck.push(wire);
    }
    stuck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_reading_holds_less_than_64_kib_and_is_closed() {
    // Freed memory goes back to the system at once, so that what is left is what is held.
    let settings = Settings::default().with("MIMALLOC_PURGE_DELAY", "0");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let mut reading = client.tail("", None).await;
    let mut stuck = Vec::new();
    let mut at_first = 0;
    let mut at_last = 0;
    // The first group pays for whatever the pouring itself costs once, such as the ring of newest events.
    for group in 0..=GROUPS {
        stuck.extend(open_stuck(&engine, GROUP).await);
        pour(&client).await;
        let events = reading.events(BATCHES * 100).await;
        assert_eq!(
            events.len(),
            BATCHES * 100,
            "a reader beside them gets everything"
        );
        at_last = settled_memory(&engine).await;
        if group == 0 {
            at_first = at_last;
        }
    }
    let each = at_last.saturating_sub(at_first) / (GROUPS * GROUP) as u64;
    eprintln!("a stuck reader holds {each} bytes");
    assert!(each < BYTES_EACH_MAX, "{each} bytes a reader");

    until("they are closed", async || {
        (established_connections(engine.port()) < GROUP / 2).then_some(())
    })
    .await;
    drop(stuck);
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
}
