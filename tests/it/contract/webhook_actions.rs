//! POST /v1/webhooks/{id}/test, /pause, /resume, /rotate-secret, /replay.

use serde_json::{Value, json};

use super::webhooks::make;
use crate::harness::{
    Behaviour, Client, Engine, Sink,
    client::{number, text},
    until,
};

async fn act(client: &Client, webhook: &Value, action: &str, body: &Value) -> Value {
    let path = format!("/v1/webhooks/{}/{action}", text(webhook, "id"));
    let answer = client.post(&path, body).await;
    assert!(
        matches!(answer.status, 200..=202),
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    answer.data()
}

async fn state(client: &Client, webhook: &Value) -> String {
    let read = client
        .get(&format!("/v1/webhooks/{}", text(webhook, "id")))
        .await
        .ok(200)
        .data();
    text(&read, "state").to_owned()
}

#[tokio::test]
async fn a_test_ping_is_sent_now_and_answered_with_what_came_back() {
    let engine = Engine::start().await;
    let client = engine.client();
    let pong = ("x-pong", "1".to_owned());
    let sink = Sink::that(Behaviour::AnswerWith(
        418,
        pong,
        "short and stout".to_owned(),
    ))
    .await;
    let webhook = make(&client, json!({ "url": sink.url(), "events": ["never"] })).await;
    let answer = act(&client, &webhook, "test", &json!({})).await;
    let received = &sink.received()[0];
    received.verify(text(&webhook, "secret"));
    assert_eq!(received.header("x-event-type"), Some("test.ping"));
    assert_eq!(received.json()["type"], "test.ping");
    assert_eq!(answer["status"], 418);
    assert!(answer.to_string().contains("short and stout"), "{answer}");
    assert_eq!(
        client.get("/v1/events").await.data(),
        json!([]),
        "a ping is no event"
    );
}

#[tokio::test]
async fn a_test_ping_that_fails_says_how() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Reset).await;
    let webhook = make(&client, json!({ "url": sink.url() })).await;
    let answer = act(&client, &webhook, "test", &json!({})).await;
    assert_eq!(answer["status"], Value::Null);
    assert!(!text(&answer, "error").is_empty());
}

#[tokio::test]
async fn a_paused_webhook_gets_nothing_and_everything_after_its_resumption() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (quiet, loud) = (Sink::start().await, Sink::start().await);
    let webhook = make(&client, json!({ "url": quiet.url() })).await;
    make(&client, json!({ "url": loud.url() })).await;
    act(&client, &webhook, "pause", &json!({})).await;
    assert_eq!(state(&client, &webhook).await, "paused");
    for n in 0..20 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    loud.wait_for(20).await;
    assert_eq!(quiet.count(), 0);
    act(&client, &webhook, "resume", &json!({})).await;
    assert_eq!(state(&client, &webhook).await, "active");
    let received = quiet.wait_for(20).await;
    let mut got: Vec<_> = received
        .iter()
        .filter_map(|one| one.json()["data"].as_u64())
        .collect();
    got.sort_unstable();
    assert_eq!(got, (0..20).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_pause_survives_a_restart() {
    let mut engine = Engine::start().await;
    let sink = Sink::start().await;
    let webhook = make(&engine.client(), json!({ "url": sink.url() })).await;
    act(&engine.client(), &webhook, "pause", &json!({})).await;
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    engine.restart().await;
    assert_eq!(state(&engine.client(), &webhook).await, "paused");
    assert_eq!(sink.count(), 0);
    act(&engine.client(), &webhook, "resume", &json!({})).await;
    sink.wait_for(1).await;
}

#[tokio::test]
async fn after_a_rotation_both_secrets_verify() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let webhook = make(&client, json!({ "url": sink.url() })).await;
    let rotated = act(&client, &webhook, "rotate-secret", &json!({})).await;
    let (old, new) = (text(&webhook, "secret"), text(&rotated, "secret"));
    assert_ne!(old, new);
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let received = &sink.wait_for(1).await[0];
    received.verify(old);
    received.verify(new);
    let stranger = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr";
    assert!(
        received.try_verify(stranger).is_err(),
        "not everything verifies"
    );
}

#[tokio::test]
async fn a_replay_sends_a_range_again() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let webhook = make(&client, json!({ "url": sink.url() })).await;
    let events = json!([
        { "type": "a", "payload": 1 }, { "type": "b", "payload": 2 }, { "type": "a", "payload": 3 },
    ]);
    client.post("/v1/events", &events).await.ok(202);
    sink.wait_for(3).await;

    let range =
        json!({ "from": "2000-01-01T00:00:00Z", "types": ["a"], "only": "all", "dry_run": true });
    let planned = act(&client, &webhook, "replay", &range).await;
    assert_eq!(number(&planned, "total"), 2);
    assert_eq!(sink.count(), 3, "a dry run sends nothing");

    let range = json!({ "from": "2000-01-01T00:00:00Z", "types": ["a"], "only": "all" });
    let replay = act(&client, &webhook, "replay", &range).await;
    let path = format!(
        "/v1/webhooks/{}/replays/{}",
        text(&webhook, "id"),
        text(&replay, "id")
    );
    let done = until("the replay has ended", async || {
        let replay = client.get(&path).await.ok(200).data();
        (replay["state"] != "running").then_some(replay)
    })
    .await;
    assert_eq!(number(&done, "total"), 2);
    assert_eq!(number(&done, "done"), 2);
    assert_eq!(number(&done, "failed"), 0);
    let received = sink.received();
    let mut again: Vec<_> = received[3..]
        .iter()
        .filter_map(|one| one.json()["data"].as_u64())
        .collect();
    // The webhook did not ask for order.
    again.sort_unstable();
    assert_eq!(again, [1, 3]);
    received[3].verify(text(&webhook, "secret"));
    assert_eq!(received[3].attempt(), 2, "a replay is a further attempt");
}

#[tokio::test]
async fn a_replay_of_failures_sends_dead_letters_only() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|received, _| {
        let is_refused = received.json()["data"] == 2;
        Behaviour::Answer(if is_refused { 400 } else { 200 })
    })
    .await;
    let webhook = make(&client, json!({ "url": sink.url() })).await;
    for n in 1..=3 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    until("one delivery is dead", async || {
        (client.every_page("/v1/dead-letters").await.len() == 1).then_some(())
    })
    .await;
    sink.wait_for(3).await;
    sink.now(Behaviour::Answer(200));
    let range = json!({ "from": "2000-01-01T00:00:00Z", "only": "failed" });
    act(&client, &webhook, "replay", &range).await;
    let received = sink.wait_for(4).await;
    assert_eq!(received[3].json()["data"], 2);
    until("nothing is dead any more", async || {
        client
            .every_page("/v1/dead-letters")
            .await
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn replays_that_make_no_sense_are_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let webhook = make(&client, json!({ "url": "https://example.com" })).await;
    let path = format!("/v1/webhooks/{}/replay", text(&webhook, "id"));
    for (body, code) in [
        (json!({ "from": "yesterday" }), "invalid_field"),
        (json!({ "only": "some" }), "invalid_field"),
        (json!({ "types": ["a..b"] }), "invalid_field"),
        (json!({ "dry_run": "yes" }), "invalid_field"),
        (
            json!({ "from": "2001-01-01T00:00:00Z", "to": "2000-01-01T00:00:00Z" }),
            "invalid_field",
        ),
        (json!({ "colour": "red" }), "unknown_field"),
    ] {
        client.post(&path, &body).await.problem(422, code);
    }
    let unknown = "/v1/webhooks/wh_00000000000000000000000000000000";
    for action in ["test", "pause", "resume", "rotate-secret", "replay"] {
        let answer = client
            .post(&format!("{unknown}/{action}"), &json!({}))
            .await;
        answer.problem(404, "not_found");
    }
}
