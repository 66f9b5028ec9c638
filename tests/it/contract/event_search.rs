//! GET /v1/events: filters, order, pages.

use serde_json::{Value, json};

use crate::harness::{Client, Engine, client::text};

/// Six events that differ in everything that can be asked for.
async fn fill(client: &Client) {
    client
        .post(
            "/v1/workspaces",
            &json!({ "slug": "other", "name": "Other" }),
        )
        .await
        .ok(201);
    let events = json!([
        { "type": "user.login", "payload": 1, "category": "auth", "actor": { "id": "ada" } },
        { "type": "user.logout", "payload": 2, "category": "auth", "actor": { "id": "bob" } },
        { "type": "order.paid", "payload": 3, "project": "shop", "dedup_id": "o-1" },
        { "type": "order.sent.late", "payload": 4, "project": "shop" },
        { "type": "order", "payload": 5, "workspace": "other" },
        { "type": "user.login", "payload": 6, "workspace": "other", "actor": { "id": "ada" } },
    ]);
    client.post("/v1/events", &events).await.ok(202);
}

fn payloads(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event["payload"].as_u64().expect("a number"))
        .collect()
}

#[tokio::test]
async fn filters_find_what_they_name_and_nothing_else() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client).await;
    let cases: &[(&str, &[u64])] = &[
        ("", &[1, 2, 3, 4, 5, 6]),
        ("type=user.login", &[1, 6]),
        ("type=user.*", &[1, 2, 6]),
        ("type=order.*", &[3, 4]),
        ("type=order,user.logout", &[2, 5]),
        ("type=*", &[1, 2, 3, 4, 5, 6]),
        ("category=auth", &[1, 2]),
        ("project=shop", &[3, 4]),
        ("actor=ada", &[1, 6]),
        ("dedup_id=o-1", &[3]),
        ("workspace=other", &[5, 6]),
        ("workspace=default&actor=ada", &[1]),
        ("after=4", &[5, 6]),
        ("after=6", &[]),
        ("category=nothing", &[]),
        ("from=2000-01-01T00:00:00Z", &[1, 2, 3, 4, 5, 6]),
        ("to=2000-01-01T00:00:00Z", &[]),
        ("from=2999-01-01T00:00:00Z", &[]),
    ];
    for (query, expected) in cases {
        let found = client
            .every_page(&format!("/v1/events?order=asc&{query}"))
            .await;
        assert_eq!(payloads(&found), *expected, "{query}");
    }
}

#[tokio::test]
async fn the_oldest_events_come_first_unless_asked_otherwise() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client).await;
    for (query, expected) in [
        ("", [1, 2, 3, 4, 5, 6]),
        ("order=desc", [6, 5, 4, 3, 2, 1]),
        ("order=asc", [1, 2, 3, 4, 5, 6]),
    ] {
        let found = client
            .get(&format!("/v1/events?{query}"))
            .await
            .ok(200)
            .data();
        assert_eq!(payloads(found.as_array().unwrap()), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_repetition_in_both_orders() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client).await;
    for (order, expected) in [("asc", [1, 2, 3, 4, 5, 6]), ("desc", [6, 5, 4, 3, 2, 1])] {
        for limit in [1, 2, 4, 5, 6, 7] {
            let path = format!("/v1/events?order={order}&limit={limit}");
            let found = client.every_page(&path).await;
            assert_eq!(payloads(&found), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_names_the_next_one_in_its_link() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client).await;
    let first = client
        .get("/v1/events?order=asc&limit=4&type=*")
        .await
        .ok(200);
    let link = first.header("link").expect("there is more").to_owned();
    let target = link.split(['<', '>']).nth(1).unwrap();
    assert!(link.contains(r#"rel="next""#), "{link}");
    let path = target.strip_prefix(client.base()).unwrap_or(target);
    let second = client.get(path).await.ok(200);
    assert_eq!(payloads(second.data().as_array().unwrap()), [5, 6]);
    assert_eq!(second.header("link"), None);
    assert_eq!(second.json()["meta"]["next_cursor"], Value::Null);
}

#[tokio::test]
async fn events_are_found_by_the_time_at_which_they_came() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client).await;
    let all = client.every_page("/v1/events?order=asc").await;
    let third = text(&all[2], "received_at");
    let from = client
        .every_page(&format!("/v1/events?order=asc&from={third}"))
        .await;
    let to = client
        .every_page(&format!("/v1/events?order=asc&to={third}"))
        .await;
    assert!(
        from.contains(&all[2]) && from.contains(&all[5]),
        "`from` is part of it"
    );
    assert!(!to.contains(&all[2]), "`to` is not");
    assert_eq!(from.len() + to.len(), all.len());
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_bad_requests() {
    let engine = Engine::start().await;
    let client = engine.client();
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "cursor=nonsense",
        "cursor=",
        "order=up",
        "after=-1",
        "after=x",
        "from=yesterday",
        "to=1",
        "type=a..b",
        "device=x",
        "colour=red",
    ] {
        client
            .get(&format!("/v1/events?{query}"))
            .await
            .problem(400, "bad_request");
    }
}
