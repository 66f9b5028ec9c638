//! API §4: the live tail.

use serde_json::{Value, json};

use super::keys::make;
use crate::harness::{Client, Engine, client::text};

async fn fill(client: &Client, count: u64) {
    let events: Vec<Value> = (1..=count)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(events)).await.ok(202);
}

#[tokio::test]
async fn a_tail_starts_now_and_shows_what_comes() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 3).await;
    let mut tail = client.tail("", None).await;
    let receipt = client
        .send_event(&json!({ "type": "b.c", "payload": { "k": 1 } }))
        .await;
    let frame = tail.event().await.unwrap();
    assert_eq!(tail.retry_ms, Some(2000));
    assert_eq!(frame.id, Some(4));
    assert_eq!(frame.event.as_deref(), Some("b.c"));
    let read = client
        .get(&format!("/v1/events/{}", receipt["id"].as_str().unwrap()))
        .await
        .data();
    assert_eq!(frame.json(), read, "the data is the event as it is read");
    assert_eq!(tail.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_tail_starts_where_it_is_asked_to() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 5).await;
    for (query, last_event_id, first) in [
        ("from=earliest", None, 1),
        ("from=1", None, 1),
        ("from=4", None, 4),
        ("", Some(0), 1),
        ("", Some(2), 3),
        ("from=earliest", Some(4), 5),
    ] {
        let mut tail = client.tail(query, last_event_id).await;
        let frame = tail.event().await.unwrap();
        assert_eq!(frame.id, Some(first), "{query} {last_event_id:?}");
    }
}

#[tokio::test]
async fn filters_leave_out_what_they_do_not_name() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .post(
            "/v1/workspaces",
            &json!({ "slug": "other", "name": "Other" }),
        )
        .await
        .ok(201);
    let events = json!([
        { "type": "order.paid", "payload": 1, "category": "money" },
        { "type": "order.sent", "payload": 2 },
        { "type": "order", "payload": 3 },
        { "type": "user.login", "payload": 4, "workspace": "other" },
        { "type": "end", "payload": 5, "workspace": "other", "category": "money" },
    ]);
    client.post("/v1/events", &events).await.ok(202);
    let cases: &[(&str, &[u64])] = &[
        ("type=order.*", &[1, 2]),
        ("type=order,user.*", &[3, 4]),
        ("type=*", &[1, 2, 3, 4, 5]),
        ("workspace=other", &[4, 5]),
        ("category=money", &[1, 5]),
        ("workspace=other&category=money", &[5]),
    ];
    for (query, expected) in cases {
        let mut tail = client.tail(&format!("from=earliest&{query}"), None).await;
        let frames = tail.events(expected.len()).await;
        let ids: Vec<_> = frames.iter().filter_map(|frame| frame.id).collect();
        assert_eq!(ids, *expected, "{query}");
    }
}

#[tokio::test]
async fn a_heartbeat_names_the_head_even_if_nothing_matched() {
    let engine = Engine::start().await;
    let client = engine.client();
    let mut tail = client.tail("type=never", None).await;
    let opening = tail.frame().await.unwrap();
    assert_eq!(
        (opening.id, opening.data),
        (Some(0), None),
        "from where to reconnect"
    );
    fill(&client, 3).await;
    let heartbeat = tail.frame().await.unwrap();
    assert_eq!((heartbeat.id, heartbeat.data), (Some(3), None));
}

#[tokio::test]
async fn a_tail_ends_when_its_key_does() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (reader, made) = make(&client, json!({ "name": "reader" })).await;
    let mut tail = reader.tail("", None).await;
    tail.frame().await.unwrap();
    client
        .call(
            reqwest::Method::DELETE,
            &format!("/v1/keys/{}", text(&made, "id")),
        )
        .await
        .ok(204);
    // It may say that it is alive before it is looked whether it may go on.
    while let Some(frame) = tail.frame().await {
        assert_eq!(frame.data, None);
    }
}

#[tokio::test]
async fn a_tail_ends_when_the_plan_has_none_any_more() {
    let engine = Engine::start().await;
    let tenant = engine.tenant("shrinks", "growth").await;
    let mut tail = tenant.client.tail("", None).await;
    tail.frame().await.unwrap();
    let smaller = engine
        .operator()
        .call(
            reqwest::Method::PATCH,
            &format!("/internal/tenants/{}", tenant.id),
        )
        .json(&json!({ "plan": "free" }));
    smaller.await.ok(200);
    while let Some(frame) = tail.frame().await {
        assert_eq!(frame.data, None);
    }
}

#[tokio::test]
async fn plans_below_growth_have_no_tail() {
    let engine = Engine::start().await;
    for plan in ["free", "starter"] {
        let tenant = engine.tenant(plan, plan).await;
        tenant
            .client
            .get("/v1/events/tail")
            .await
            .problem(403, "plan_required");
    }
    engine
        .tenant("growth", "growth")
        .await
        .client
        .tail("", None)
        .await;
}

#[tokio::test]
async fn beginnings_that_make_no_sense_are_bad_requests() {
    let engine = Engine::start().await;
    let client = engine.client();
    for query in ["from=x", "from=-1", "type=a..b", "device=x", "colour=red"] {
        client
            .get(&format!("/v1/events/tail?{query}"))
            .await
            .problem(400, "bad_request");
    }
    let call = client
        .get("/v1/events/tail")
        .header("last-event-id", "nonsense");
    call.await.problem(400, "bad_request");
}

#[tokio::test]
async fn many_readers_get_the_same() {
    let engine = Engine::start().await;
    let client = engine.client();
    let mut tails = Vec::new();
    for _ in 0..50 {
        tails.push(client.tail("", None).await);
    }
    fill(&client, 100).await;
    for tail in &mut tails {
        let ids: Vec<_> = tail
            .events(100)
            .await
            .iter()
            .filter_map(|frame| frame.id)
            .collect();
        assert_eq!(ids, (1..=100).collect::<Vec<u64>>());
    }
}

#[tokio::test]
async fn a_large_backlog_is_read_from_the_store_and_then_goes_live() {
    let engine = Engine::start().await;
    let client = engine.client();
    // More events than the ring keeps in memory.
    for _ in 0..6 {
        fill(&client, 1000).await;
    }
    let mut tail = client.tail("from=earliest", None).await;
    let ids: Vec<_> = tail
        .events(6000)
        .await
        .iter()
        .filter_map(|frame| frame.id)
        .collect();
    assert_eq!(ids, (1..=6000).collect::<Vec<u64>>());
    client
        .send_event(&json!({ "type": "live", "payload": 1 }))
        .await;
    assert_eq!(tail.event().await.unwrap().id, Some(6001));
}
