//! Deliveries that do not go through at once.

use serde_json::{Value, json};
use tokio::time::Duration;

use crate::harness::{
    Behaviour, Client, Engine, Settings, Sink,
    client::{number, text},
    sink::Received,
    until,
};

async fn webhook(client: &Client, body: Value) -> Value {
    client.post("/v1/webhooks", &body).await.ok(201).data()
}

fn of_payload(received: &[Received], payload: u64) -> Vec<Received> {
    let is_it = |one: &&Received| one.json()["data"] == payload;
    received.iter().filter(is_it).cloned().collect()
}

#[tokio::test]
async fn a_failure_is_tried_again_as_the_schedule_says() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|_, n| Behaviour::Answer(if n < 3 { 500 } else { 200 })).await;
    let retry = json!({ "schedule": [0, 1, 1, 1] });
    let made = webhook(&client, json!({ "url": sink.url(), "retry": retry })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let received = sink.wait_for(4).await;
    let attempts: Vec<_> = received.iter().map(Received::attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);
    for pair in received.windows(2) {
        assert_eq!(pair[0].body, pair[1].body);
        assert_eq!(pair[0].event_id(), pair[1].event_id());
        // A second, shorter by at most a fifth.
        assert!(
            pair[1].at - pair[0].at >= Duration::from_millis(800),
            "not before it is due"
        );
        pair[1].verify(text(&made, "secret"));
    }
}

#[tokio::test]
async fn after_the_last_attempt_it_is_a_dead_letter() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(503)).await;
    let retry = json!({ "schedule": [0, 0, 0] });
    webhook(&client, json!({ "url": sink.url(), "retry": retry })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    until("it is dead", async || {
        (client.every_page("/v1/dead-letters").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(sink.count(), 3);
}

#[tokio::test]
async fn answers_are_judged_as_the_design_says() {
    let engine = Engine::start().await;
    let client = engine.client();
    // Each status, and how often it is tried when two attempts are allowed.
    let cases = [
        (200, 1),
        (204, 1),
        (299, 1),
        (301, 2),
        (302, 2),
        (307, 2),
        (400, 1),
        (401, 1),
        (403, 1),
        (404, 1),
        (408, 2),
        (413, 1),
        (422, 1),
        (425, 2),
        (429, 2),
        (500, 2),
        (502, 2),
        (503, 2),
        (504, 2),
    ];
    for (status, attempts) in cases {
        let sink = Sink::that(Behaviour::Answer(status)).await;
        let body = json!({ "url": sink.url(), "retry": { "schedule": [0, 0] } });
        let made = webhook(&client, body).await;
        client
            .send_event(&json!({ "type": "a", "payload": status }))
            .await;
        let path = format!("/v1/webhooks/{}/deliveries", text(&made, "id"));
        let delivery = until(
            &format!("the delivery answered {status} is settled"),
            async || {
                let listed = client.get(&path).await.ok(200).data();
                let is_settled =
                    |one: &&Value| one["state"] == "delivered" || one["state"] == "dead_letter";
                listed.as_array()?.iter().find(is_settled).cloned()
            },
        )
        .await;
        let expected = if status < 300 {
            "delivered"
        } else {
            "dead_letter"
        };
        assert_eq!(delivery["state"], expected, "{status}: {delivery}");
        assert_eq!(sink.count(), attempts, "{status}");
        let path = format!("/v1/webhooks/{}", text(&made, "id"));
        client.call(reqwest::Method::DELETE, &path).await.ok(204);
    }
}

#[tokio::test]
async fn a_receiver_may_say_when_to_come_back() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|_, n| match n {
        0 => Behaviour::AnswerWith(429, ("retry-after", "2".to_owned()), String::new()),
        _ => Behaviour::Answer(200),
    })
    .await;
    webhook(
        &client,
        json!({ "url": sink.url(), "retry": { "schedule": [0, 0] } }),
    )
    .await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let received = sink.wait_for(2).await;
    assert!(received[1].at - received[0].at >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_receiver_that_is_gone_disables_its_webhook() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(410)).await;
    let made = webhook(&client, json!({ "url": sink.url() })).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    until("it is disabled", async || {
        (client.get(&path).await.ok(200).data()["state"] == "disabled").then_some(())
    })
    .await;
    let sent = sink.count();
    client
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    sink.now(Behaviour::Answer(200));
    client
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .ok(200);
    until("what came meanwhile is delivered", async || {
        (!of_payload(&sink.received(), 2).is_empty()).then_some(())
    })
    .await;
    assert!(sink.count() > sent);
}

#[tokio::test]
async fn retries_that_are_due_after_a_kill_are_made() {
    let mut engine = Engine::start().await;
    let sink = Sink::that(Behaviour::Answer(500)).await;
    let body = json!({ "url": sink.url(), "retry": { "schedule": [0, 2, 2] } });
    webhook(&engine.client(), body).await;
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    sink.wait_for(1).await;
    engine.kill_9().await;
    sink.now(Behaviour::Answer(200));
    engine.start_again().await;
    sink.wait_for(2).await;
}

#[tokio::test]
async fn ten_failures_open_the_breaker_and_one_probe_closes_it() {
    let settings = Settings::default().with("TRUNKLINE__WEBHOOKS__BREAKER_OPEN_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(500)).await;
    let retry = json!({ "schedule": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] });
    let body = json!({ "url": sink.url(), "retry": retry, "max_in_flight": 1 });
    let made = webhook(&client, body).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    for n in 0..3 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    sink.wait_for(10).await;
    sink.now(Behaviour::Answer(200));
    until("everything is delivered", async || {
        (0..3)
            .all(|n| of_payload(&sink.received(), n).len() > 1 || n > 0)
            .then_some(())?;
        let state = client.get(&path).await.ok(200).data()["state"].clone();
        (state == "active" && sink.count() >= 13).then_some(())
    })
    .await;
    let received = sink.received();
    let pause = received[10].at - received[9].at;
    assert!(
        pause >= Duration::from_secs(1),
        "nothing was sent while it was open: {pause:?}"
    );
}

#[tokio::test]
async fn three_openings_suspend_a_webhook_until_it_is_resumed() {
    let settings = Settings::default().with("TRUNKLINE__WEBHOOKS__BREAKER_OPEN_SECONDS", "1");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Reset).await;
    let retry = json!({ "schedule": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] });
    let body = json!({ "url": sink.url(), "retry": retry });
    let made = webhook(&client, body).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    until("it is suspended", async || {
        (client.get(&path).await.ok(200).data()["state"] == "suspended").then_some(())
    })
    .await;
    sink.now(Behaviour::Answer(200));
    client
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    assert_eq!(of_payload(&sink.received(), 2).len(), 0);
    client
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .ok(200);
    until("both are delivered", async || {
        let received = sink.received();
        (!of_payload(&received, 2).is_empty() && received.len() >= 14).then_some(())
    })
    .await;
    assert_eq!(client.get(&path).await.ok(200).data()["state"], "active");
}

#[tokio::test]
async fn ordered_events_of_one_key_wait_for_each_other_and_others_do_not() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|received, _| {
        let is_first_of_a = received.json()["data"] == 1 && received.attempt() < 3;
        Behaviour::Answer(if is_first_of_a { 500 } else { 200 })
    })
    .await;
    let retry = json!({ "schedule": [0, 1, 1] });
    webhook(
        &client,
        json!({ "url": sink.url(), "retry": retry, "ordered": true }),
    )
    .await;
    let events = json!([
        { "type": "a", "payload": 1, "ordering_key": "a" },
        { "type": "a", "payload": 2, "ordering_key": "a" },
        { "type": "a", "payload": 3, "ordering_key": "b" },
        { "type": "a", "payload": 4, "ordering_key": "a" },
    ]);
    client.post("/v1/events", &events).await.ok(202);
    let received = sink.wait_for(6).await;
    let of_a: Vec<_> = received
        .iter()
        .filter_map(|one| one.json()["data"].as_u64())
        .filter(|payload| *payload != 3)
        .collect();
    assert_eq!(of_a, [1, 1, 1, 2, 4]);
    let first_of_b = received
        .iter()
        .position(|one| one.json()["data"] == 3)
        .unwrap();
    assert!(first_of_b <= 1, "another key does not wait");
}

#[tokio::test]
async fn deliveries_keep_to_their_rate() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    webhook(&client, json!({ "url": sink.url(), "rate_per_second": 10 })).await;
    let batch: Vec<_> = (0..40)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(batch)).await.ok(202);
    let received = sink.wait_for(40).await;
    // A full bucket may go at once; the other thirty take a tenth of a second each.
    let took = received[39].at - received[0].at;
    assert!(took >= Duration::from_millis(2_800), "{took:?}");
}

#[tokio::test]
async fn no_more_deliveries_than_allowed_are_on_their_way() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Hang).await;
    let body = json!({ "url": sink.url(), "max_in_flight": 3, "timeout_ms": 60_000 });
    webhook(&client, body).await;
    let other = Sink::start().await;
    webhook(&client, json!({ "url": other.url() })).await;
    let batch: Vec<_> = (0..50)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(batch)).await.ok(202);
    other.wait_for(50).await;
    sink.wait_for(3).await;
    assert_eq!(sink.count(), 3);
    assert_eq!(number(&json!({ "c": sink.connections() }), "c"), 3);
}
