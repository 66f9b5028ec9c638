//! `Idempotency-Key` on every POST: the same request twice has one effect and one answer.

use serde_json::{Value, json};

use crate::harness::{Answer, Behaviour, Client, Engine, Sink, client::text};

async fn post(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    client.post(path, body).header("idempotency-key", key).await
}

/// What an answer is, apart from the headers that each answer has of its own.
fn essence(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_event_sent_twice_with_one_key_is_there_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1 });
    let first = post(&client, "/v1/events", "k1", &event).await.ok(202);
    assert_eq!(first.header("idempotency-replayed"), None);
    let second = post(&client, "/v1/events", "k1", &event).await.ok(202);
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(essence(&first), essence(&second));
    let kept = client.get("/v1/events").await.ok(200).data();
    assert_eq!(kept.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_sent_twice_with_one_key_is_there_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let batch = json!([{ "type": "a", "payload": 1 }, { "type": "", "payload": 1 }]);
    let first = post(&client, "/v1/events", "k1", &batch).await.ok(202);
    let second = post(&client, "/v1/events", "k1", &batch).await.ok(202);
    assert_eq!(essence(&first), essence(&second));
    let kept = client.get("/v1/events").await.ok(200).data();
    assert_eq!(kept.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_mismatch() {
    let engine = Engine::start().await;
    let client = engine.client();
    post(
        &client,
        "/v1/events",
        "k1",
        &json!({ "type": "a", "payload": 1 }),
    )
    .await
    .ok(202);
    let other = post(
        &client,
        "/v1/events",
        "k1",
        &json!({ "type": "a", "payload": 2 }),
    )
    .await;
    other.problem(422, "idempotency_mismatch");
    let body = json!({ "slug": "one", "name": "One" });
    post(&client, "/v1/workspaces", "k2", &body).await.ok(201);
    let other = json!({ "slug": "two", "name": "Two" });
    post(&client, "/v1/workspaces", "k2", &other)
        .await
        .problem(422, "idempotency_mismatch");
}

#[tokio::test]
async fn every_post_that_makes_something_makes_it_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let cases = [
        ("/v1/webhooks", json!({ "url": "http://127.0.0.1:9/hook" })),
        (
            "/v1/keys",
            json!({ "name": "one", "permissions": ["events:read"] }),
        ),
        ("/v1/workspaces", json!({ "slug": "one", "name": "One" })),
    ];
    for (path, body) in cases {
        let before = client.every_page(path).await.len();
        let first = post(&client, path, path, &body).await.ok(201);
        let second = post(&client, path, path, &body).await.ok(201);
        assert_eq!(
            second.header("idempotency-replayed"),
            Some("true"),
            "{path}"
        );
        assert_eq!(
            essence(&first),
            essence(&second),
            "{path}: secrets are shown again too"
        );
        assert_eq!(client.every_page(path).await.len(), before + 1, "{path}");
    }
}

#[tokio::test]
async fn a_key_counts_for_one_api_key_only() {
    let engine = Engine::start().await;
    let client = engine.client();
    let other = engine.tenant("other", "growth").await.client;
    let event = json!({ "type": "a", "payload": 1 });
    let mine = post(&client, "/v1/events", "k1", &event)
        .await
        .ok(202)
        .data();
    let theirs = post(&other, "/v1/events", "k1", &event).await.ok(202);
    assert_eq!(theirs.header("idempotency-replayed"), None);
    assert_ne!(theirs.data()["id"], mine["id"]);
}

#[tokio::test]
async fn of_many_equal_requests_at_once_one_has_an_effect() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1 });
    let calls = (0..50).map(|_| post(&client, "/v1/events", "k1", &event));
    let answers = futures_util::future::join_all(calls).await;
    let mut ids = Vec::new();
    for answer in answers {
        if answer.status == 409 {
            answer.problem(409, "idempotency_in_flight");
        } else {
            ids.push(text(&answer.ok(202).data(), "id").to_owned());
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "every answer is about the one event");
    assert_eq!(
        client
            .get("/v1/events")
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_request_whose_twin_is_being_worked_on_is_told_so() {
    let engine = Engine::start().await;
    let client = engine.client();
    // A test ping lasts as long as its receiver wants.
    let sink = Sink::that(Behaviour::Hang).await;
    let body = json!({ "url": sink.url(), "timeout_ms": 60_000 });
    let webhook = client.post("/v1/webhooks", &body).await.ok(201).data();
    let path = format!("/v1/webhooks/{}/test", text(&webhook, "id"));
    let slow = {
        let (client, path) = (client.clone(), path.clone());
        tokio::spawn(async move { post(&client, &path, "k1", &json!({})).await })
    };
    sink.wait_for(1).await;
    let twin = post(&client, &path, "k1", &json!({})).await;
    twin.problem(409, "idempotency_in_flight");
    assert_eq!(sink.count(), 1);
    slow.abort();
}

#[tokio::test]
async fn an_answer_is_remembered_across_a_restart() {
    let mut engine = Engine::start().await;
    let event = json!({ "type": "a", "payload": 1 });
    let first = post(&engine.client(), "/v1/events", "k1", &event)
        .await
        .ok(202);
    let workspace = json!({ "slug": "one", "name": "One" });
    let made = post(&engine.client(), "/v1/workspaces", "k2", &workspace)
        .await
        .ok(201);
    engine.restart().await;
    let second = post(&engine.client(), "/v1/events", "k1", &event)
        .await
        .ok(202);
    assert_eq!(essence(&first), essence(&second));
    let again = post(&engine.client(), "/v1/workspaces", "k2", &workspace)
        .await
        .ok(201);
    assert_eq!(essence(&made), essence(&again));
}

#[tokio::test]
async fn a_request_that_failed_may_be_repeated_with_its_key() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1, "workspace": "later" });
    post(&client, "/v1/events", "k1", &event)
        .await
        .problem(422, "invalid_field");
    client
        .post("/v1/workspaces", &json!({ "slug": "later", "name": "L" }))
        .await
        .ok(201);
    post(&client, "/v1/events", "k1", &event).await.ok(202);
}

#[tokio::test]
async fn keys_that_are_too_long_or_not_visible_are_bad_requests() {
    let engine = Engine::start().await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1 });
    for key in ["", &"x".repeat(256), "tab\there"] {
        post(&client, "/v1/events", key, &event)
            .await
            .problem(400, "bad_request");
    }
    post(&client, "/v1/events", &"x".repeat(255), &event)
        .await
        .ok(202);
}

#[tokio::test]
async fn a_client_that_hangs_up_gets_its_answer_when_it_comes_again() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::After(std::time::Duration::from_secs(1), 200)).await;
    let webhook = client
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201)
        .data();
    let path = format!("/v1/webhooks/{}/test", text(&webhook, "id"));
    let asked = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { post(&client, &path, "k1", &json!({})).await }
    });
    sink.wait_for(1).await;
    // Dropping the call closes its connection while the receiver has not answered yet.
    asked.abort();
    let answer = crate::harness::until("the first request is answered", async || {
        let again = post(&client, &path, "k1", &json!({})).await;
        (again.status != 409).then_some(again)
    })
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(sink.count(), 1, "the work was done once");
}
