//! /v1/dead-letters: listed, read, deleted, sent again, one by one and many at once.

use reqwest::Method;
use serde_json::{Value, json};

use super::webhooks::make;
use crate::harness::{Behaviour, Client, Engine, Sink, client::text, until};

/// A webhook with so many dead letters, of events with the payloads 1, 2, 3 …
async fn with_dead_letters(client: &Client, sink: &Sink, count: usize) -> Value {
    let webhook = make(client, json!({ "url": sink.url() })).await;
    for n in 1..=count {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    until("all deliveries are dead", async || {
        (client.every_page("/v1/dead-letters").await.len() == count).then_some(())
    })
    .await;
    webhook
}

#[tokio::test]
async fn a_refused_delivery_is_a_dead_letter_at_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(400)).await;
    let webhook = with_dead_letters(&client, &sink, 1).await;
    assert_eq!(sink.count(), 1, "a refusal is not tried again");
    let listed = client.every_page("/v1/dead-letters").await;
    let read = client
        .get(&format!("/v1/dead-letters/{}", text(&listed[0], "id")))
        .await
        .ok(200);
    assert_eq!(read.data()["webhook_id"], webhook["id"]);
    assert!(read.text().contains("400"), "{}", read.text());
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_when_asked() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(400)).await;
    with_dead_letters(&client, &sink, 2).await;
    sink.now(Behaviour::Answer(200));
    let listed = client.every_page("/v1/dead-letters").await;
    let path = format!("/v1/dead-letters/{}/replay", text(&listed[0], "id"));
    client.post(&path, &json!({})).await.ok(202);
    let received = sink.wait_for(3).await;
    assert_eq!(received[2].attempt(), 2);
    until("one is left", async || {
        (client.every_page("/v1/dead-letters").await == [listed[1].clone()]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_dead_letters_are_sent_again_when_asked() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(400)).await;
    with_dead_letters(&client, &sink, 5).await;
    sink.now(Behaviour::Answer(200));
    client
        .post("/v1/dead-letters/replay", &json!({}))
        .await
        .ok(202);
    until("none is left", async || {
        client
            .every_page("/v1/dead-letters")
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    assert_eq!(sink.count(), 10);
}

#[tokio::test]
async fn a_dead_letter_that_is_deleted_is_gone() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(400)).await;
    with_dead_letters(&client, &sink, 2).await;
    let listed = client.every_page("/v1/dead-letters").await;
    let path = format!("/v1/dead-letters/{}", text(&listed[0], "id"));
    client.call(Method::DELETE, &path).await.ok(204);
    client.get(&path).await.problem(404, "not_found");
    client
        .call(Method::DELETE, &path)
        .await
        .problem(404, "not_found");
    client
        .post(&format!("{path}/replay"), &json!({}))
        .await
        .problem(404, "not_found");
    assert_eq!(client.every_page("/v1/dead-letters").await.len(), 1);
}

#[tokio::test]
async fn dead_letters_have_pages_and_a_filter() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::that(Behaviour::Answer(400)).await;
    let webhook = with_dead_letters(&client, &sink, 5).await;
    assert_eq!(client.every_page("/v1/dead-letters?limit=2").await.len(), 5);
    let of = format!("/v1/dead-letters?webhook={}", text(&webhook, "id"));
    assert_eq!(client.every_page(&of).await.len(), 5);
    let other = make(&client, json!({ "url": sink.url() })).await;
    let of = format!("/v1/dead-letters?webhook={}", text(&other, "id"));
    assert_eq!(client.every_page(&of).await, Vec::<Value>::new());
}

#[tokio::test]
async fn dead_letters_survive_a_kill() {
    let mut engine = Engine::start().await;
    let sink = Sink::that(Behaviour::Answer(400)).await;
    with_dead_letters(&engine.client(), &sink, 3).await;
    engine.kill_9().await;
    engine.start_again().await;
    assert_eq!(
        engine.client().every_page("/v1/dead-letters").await.len(),
        3
    );
}
