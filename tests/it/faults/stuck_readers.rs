//! Readers that stop reading cost themselves only, and are closed in the end.

use serde_json::json;

use crate::harness::{
    Client, Engine, process::anonymous_memory_bytes, process::established_connections, until,
    wire::Wire,
};

const STUCK: usize = 200;
const BYTES_EACH_MAX: u64 = 64 * 1024;
/// Batches of a hundred events of two KiB.
const BATCHES: usize = 120;

async fn pour(client: &Client) {
    let payload = "x".repeat(2048);
    let batch = json!(vec![json!({ "type": "a", "payload": payload }); 100]);
    for _ in 0..BATCHES {
        client.post("/v1/events", &batch).await.ok(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_reading_holds_less_than_64_kib_and_is_closed() {
    let engine = Engine::start().await;
    let client = engine.client();
    // Whatever fills up once and for all, such as the ring of newest events, is full before anything is measured.
    pour(&client).await;
    pour(&client).await;
    let before = anonymous_memory_bytes(engine.process_id());

    let mut stuck = Vec::new();
    for _ in 0..STUCK {
        let mut wire = Wire::open_narrow(engine.port()).await;
        let request = format!(
            "GET /v1/events/tail HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            engine.key()
        );
        wire.send(request.as_bytes()).await.expect("it can be sent");
        assert!(wire.read_until("retry: 2000").await.contains(" 200 "));
        stuck.push(wire);
    }
    let mut reading = client.tail("", None).await;
    pour(&client).await;
    let events = reading.events(BATCHES * 100).await;
    assert_eq!(
        events.len(),
        BATCHES * 100,
        "a reader beside them gets everything"
    );
    let after = anonymous_memory_bytes(engine.process_id());
    let each = after.saturating_sub(before) / STUCK as u64;
    eprintln!("a stuck reader holds {each} bytes");
    assert!(each < BYTES_EACH_MAX, "{each} bytes a reader");

    until("they are closed", async || {
        (established_connections(engine.port()) < STUCK / 10).then_some(())
    })
    .await;
    drop(stuck);
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
}
