//! API §5: pulling events with consumers.

use serde_json::{Value, json};

use crate::harness::{Behaviour, Client, Engine, Sink, client::text, until};

async fn fill(client: &Client, count: u64) {
    let events: Vec<Value> = (1..=count)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(events)).await.ok(202);
}

async fn pull(client: &Client, query: &str) -> Vec<u64> {
    let events = client
        .get(&format!("/v1/inbox?{query}"))
        .await
        .ok(200)
        .data();
    let payload = |event: &Value| event["payload"].as_u64().expect("a number");
    events
        .as_array()
        .expect("a list")
        .iter()
        .map(payload)
        .collect()
}

async fn ack_up_to(client: &Client, consumer: &str, position: u64) {
    let body = json!({ "consumer": consumer, "up_to": position });
    client.post("/v1/inbox/ack", &body).await.ok(200);
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 5).await;
    assert_eq!(pull(&client, "limit=2").await, [1, 2]);
    assert_eq!(pull(&client, "limit=2").await, [1, 2]);
    ack_up_to(&client, "default", 2).await;
    assert_eq!(pull(&client, "").await, [3, 4, 5]);
}

#[tokio::test]
async fn a_single_event_may_be_acknowledged_before_those_before_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 4).await;
    let events = client.get("/v1/inbox").await.ok(200).data();
    let second = text(&events[1], "id");
    client
        .post(&format!("/v1/events/{second}/ack"), &json!({}))
        .await
        .ok(200);
    assert_eq!(pull(&client, "").await, [1, 3, 4]);
    let first = text(&events[0], "id");
    client
        .post(
            &format!("/v1/events/{first}/ack?consumer=default"),
            &json!({}),
        )
        .await
        .ok(200);
    assert_eq!(pull(&client, "").await, [3, 4]);
}

#[tokio::test]
async fn consumers_do_not_know_of_each_other() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 3).await;
    ack_up_to(&client, "one", 2).await;
    assert_eq!(pull(&client, "consumer=one").await, [3]);
    assert_eq!(pull(&client, "consumer=two").await, [1, 2, 3]);
    assert_eq!(pull(&client, "").await, [1, 2, 3]);
}

#[tokio::test]
async fn a_consumer_goes_back_by_position_and_by_time() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 3).await;
    fill(&client, 3).await;
    ack_up_to(&client, "c", 6).await;
    assert_eq!(pull(&client, "consumer=c").await, [0_u64; 0]);
    let seek = json!({ "consumer": "c", "position": 4 });
    client.post("/v1/inbox/seek", &seek).await.ok(200);
    assert_eq!(
        pull(&client, "consumer=c").await,
        [1, 2, 3],
        "the event at the position comes next"
    );
    let seek = json!({ "consumer": "c", "time": "2000-01-01T00:00:00Z" });
    client.post("/v1/inbox/seek", &seek).await.ok(200);
    assert_eq!(pull(&client, "consumer=c").await.len(), 6);
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_something_comes() {
    let engine = Engine::start().await;
    let client = engine.client();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { pull(&client, "wait=30").await })
    };
    // The poll may or may not be waiting when the event comes; both must give it.
    client
        .send_event(&json!({ "type": "a", "payload": 7 }))
        .await;
    assert_eq!(waiting.await.unwrap(), [7]);
}

#[tokio::test]
async fn a_long_poll_without_events_ends_empty() {
    let engine = Engine::start().await;
    assert_eq!(pull(&engine.client(), "wait=1").await, [0_u64; 0]);
}

#[tokio::test]
async fn acknowledgements_are_remembered_across_a_kill() {
    let mut engine = Engine::start().await;
    fill(&engine.client(), 5).await;
    ack_up_to(&engine.client(), "c", 3).await;
    engine.kill_9().await;
    engine.start_again().await;
    assert_eq!(pull(&engine.client(), "consumer=c").await, [4, 5]);
}

#[tokio::test]
async fn a_workspace_key_pulls_its_workspace_only() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "own", "name": "Own" });
    let workspace = client.post("/v1/workspaces", &body).await.ok(201).data();
    let body = json!({ "name": "k", "scope": workspace["id"], "permissions": ["*"] });
    let made = client.post("/v1/keys", &body).await.ok(201).text();
    let confined = client.with_key(crate::harness::engine::find_key(&made).unwrap());
    fill(&client, 2).await;
    client
        .send_event(&json!({ "type": "a", "payload": 9, "workspace": "own" }))
        .await;
    assert_eq!(pull(&confined, "").await, [9]);
    ack_up_to(&confined, "default", 3).await;
    assert_eq!(pull(&confined, "").await, [0_u64; 0]);
    assert_eq!(
        pull(&client, "").await,
        [1, 2, 9],
        "the tenant's consumer is another one"
    );
}

#[tokio::test]
async fn the_inbox_can_be_asked_by_how_deliveries_stand() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|received, _| {
        let payload = received.json()["data"].as_u64().expect("a number");
        Behaviour::Answer(if payload == 2 { 400 } else { 200 })
    })
    .await;
    client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    fill(&client, 3).await;
    until("deliveries have come to their end", async || {
        let delivered = pull(&client, "status=delivered").await;
        let dead = pull(&client, "status=dead_letter").await;
        (delivered == [1, 3] && dead == [2]).then_some(())
    })
    .await;
    assert_eq!(pull(&client, "status=failed").await, [0_u64; 0]);
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    for query in [
        "limit=0",
        "limit=501",
        "wait=31",
        "wait=x",
        "status=lost",
        "consumer=",
    ] {
        client
            .get(&format!("/v1/inbox?{query}"))
            .await
            .problem(400, "bad_request");
    }
    for body in [
        json!({}),
        json!({ "up_to": -1 }),
        json!({ "up_to": 1, "consumer": 7 }),
    ] {
        client
            .post("/v1/inbox/ack", &body)
            .await
            .problem(422, "invalid_field");
    }
    for body in [
        json!({}),
        json!({ "position": 1, "time": "2000-01-01T00:00:00Z" }),
    ] {
        client
            .post("/v1/inbox/seek", &body)
            .await
            .problem(422, "invalid_field");
    }
    let body = json!({ "up_to": 1, "surprise": 1 });
    client
        .post("/v1/inbox/ack", &body)
        .await
        .problem(422, "unknown_field");
}

#[tokio::test]
async fn nothing_beyond_the_head_can_be_acknowledged() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 2).await;
    let answer = client.post("/v1/inbox/ack", &json!({ "up_to": 3 })).await;
    assert!(matches!(answer.status, 404 | 422), "{}", answer.text());
    let events = client.get("/v1/events").await.ok(200).data();
    let id = text(&events[1], "id");
    let unknown = format!(
        "{}{}",
        &id[..id.len() - 1],
        if id.ends_with('0') { 1 } else { 0 }
    );
    client
        .post(&format!("/v1/events/{unknown}/ack"), &json!({}))
        .await
        .problem(404, "not_found");
}
