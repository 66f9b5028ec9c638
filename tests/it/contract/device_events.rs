//! API §8: what came from a device, by every way of reading.

use serde_json::{Value, json};

use super::{
    devices::{made, until_state},
    keys, webhooks,
};
use crate::harness::{
    Client, Engine, Gateway, Sink,
    client::{number, text},
};

const CHAT: &str = "1234567890@s.whatsapp.net";

/// Every type that a gateway says with an event frame.
const TYPES: [&str; 11] = [
    "message.received",
    "message.updated",
    "message.deleted",
    "receipt.delivery",
    "receipt.read",
    "group.created",
    "group.updated",
    "group.deleted",
    "participant.added",
    "participant.removed",
    "contact.updated",
];

fn event(kind: &str, n: usize) -> Value {
    let key = json!({ "chat": CHAT, "sender": CHAT, "id": "a" });
    json!({ "type": kind, "key": key, "data": { "n": n }, "at": "2026-01-01T00:00:00Z" })
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| text(event, "type")).collect()
}

async fn chatting(engine: &Engine, client: &Client) -> (String, Gateway) {
    let device = made(client).await;
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    until_state(client, &device, "connected").await;
    (device, gateway)
}

#[tokio::test]
async fn all_thirteen_types_reach_log_webhook_tail_and_pull() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    webhooks::make(&client, json!({ "url": sink.url() })).await;
    let mut tail = client.tail("", None).await;
    let (device, mut gateway) = chatting(&engine, &client).await;
    for (n, kind) in TYPES.into_iter().enumerate() {
        gateway.event(event(kind, n)).await;
    }
    gateway
        .say(&json!({ "kind": "state", "state": "offline", "reason": "logged out" }))
        .await;
    until_state(&client, &device, "offline").await;
    let mut expected = vec!["device.connected"];
    expected.extend(TYPES);
    expected.push("device.disconnected");

    let logged = client
        .every_page(&format!("/v1/devices/{device}/events"))
        .await;
    assert_eq!(types(&logged), expected);
    for (index, logged) in logged.iter().enumerate().skip(1).take(TYPES.len()) {
        assert_eq!(logged["payload"], json!({ "n": index - 1 }));
        assert_eq!(logged["device"], device.as_str());
        assert_eq!(logged["ordering_key"], CHAT);
        assert_eq!(logged["occurred_at"], "2026-01-01T00:00:00.000000Z");
    }
    assert_eq!(logged[0]["payload"]["state"], "connected");
    let last = logged.last().expect("some");
    assert_eq!(last["payload"]["reason"], "logged out");
    for kind in &expected {
        assert_eq!(tail.event().await.unwrap().event.as_deref(), Some(*kind));
    }
    let mut delivered: Vec<String> = sink
        .wait_for(expected.len())
        .await
        .iter()
        .filter_map(|received| received.header("x-event-type").map(str::to_owned))
        .collect();
    delivered.sort_unstable();
    let pulled = client.get("/v1/inbox").await.ok(200).data();
    assert_eq!(types(pulled.as_array().expect("a list")), expected);
    expected.sort_unstable();
    assert_eq!(delivered, expected);
}

#[tokio::test]
async fn events_are_listed_since_a_moment_by_type_and_page_by_page() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, mut gateway) = chatting(&engine, &client).await;
    for n in 0..4 {
        gateway.event(event("group.updated", n)).await;
    }
    gateway.event(event("contact.updated", 4)).await;
    let path = format!("/v1/devices/{device}/events");
    let count = async |query: &str| client.every_page(&format!("{path}?{query}")).await.len();
    assert_eq!(count("").await, 6);
    assert_eq!(count("limit=1").await, 6);
    assert_eq!(count("type=group.updated").await, 4);
    assert_eq!(count("type=group.*,contact.updated&limit=2").await, 5);
    assert_eq!(count("since=0").await, 6);
    assert_eq!(count("since=1767225600.5").await, 6);
    assert_eq!(count("since=2026-01-01T00:00:00Z").await, 6);
    assert_eq!(count("since=99999999999").await, 0);
    let all = client.every_page(&path).await;
    let third = text(&all[2], "received_at");
    let later = all
        .iter()
        .filter(|event| text(event, "received_at") >= third)
        .count();
    assert_eq!(count(&format!("since={third}")).await, later);
    for wrong in [
        "since=yesterday",
        "since=",
        "since=1e9",
        "type=..",
        "limit=0",
        "limit=501",
        "cursor=x",
        "from=0",
        "since=1&since=2",
    ] {
        let answer = client.get(&format!("{path}?{wrong}")).await;
        answer.problem(400, "bad_request");
    }
}

#[tokio::test]
async fn every_reader_can_be_narrowed_to_a_device() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, mut gateway) = chatting(&engine, &client).await;
    let (other, mut others) = chatting(&engine, &client).await;
    let query = format!("device={device}&type=group.*,contact.*");
    let mut tail = client.tail(&query, None).await;
    others.event(event("group.updated", 1)).await;
    client
        .send_event(&json!({ "type": "group.updated", "payload": 2 }))
        .await;
    gateway.event(event("contact.updated", 3)).await;
    let seen = tail.event().await.unwrap();
    assert_eq!(seen.event.as_deref(), Some("contact.updated"));
    let listed = client.every_page(&format!("/v1/events?{query}")).await;
    assert_eq!(types(&listed), ["contact.updated"]);
    let exported = client
        .get(&format!("/v1/events/export.ndjson?device={other}"))
        .await;
    assert!(!exported.ok(200).text().contains("contact.updated"));

    let stranger = engine.tenant("stranger", "enterprise").await.client;
    let theirs = stranger
        .every_page(&format!("/v1/events?device={device}"))
        .await;
    assert!(
        theirs.is_empty(),
        "a filter finds nothing of another tenant"
    );
    let wrong = client.get("/v1/events?device=phone").await;
    wrong.problem(400, "bad_request");
    let wrong = client.get("/v1/events/tail?device=phone").await;
    wrong.problem(400, "bad_request");
}

#[tokio::test]
async fn events_of_a_device_belong_to_its_workspace() {
    let engine = Engine::start().await;
    let client = engine.client();
    let body = json!({ "slug": "own", "name": "Own" });
    let workspace = client.post("/v1/workspaces", &body).await.ok(201).data();
    let body = json!({ "name": "k", "scope": workspace["id"], "permissions": ["*"] });
    let (own, key) = keys::make(&client, body).await;
    let device = made(&own).await;
    let mut gateway = Gateway::connected(client.base(), text(&key, "key"), &device).await;
    let position = gateway.event(event("group.updated", 1)).await;
    let events = own
        .every_page(&format!("/v1/devices/{device}/events?type=group.*"))
        .await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["workspace"], workspace["id"]);
    assert_eq!(number(&events[0], "position"), position);
    let elsewhere = made(&client).await;
    let refused = Gateway::try_connect(client.base(), text(&key, "key"), &elsewhere).await;
    assert_eq!(refused.unwrap_err(), 404);
}

#[tokio::test]
async fn events_of_a_deleted_device_stay_in_the_log() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, mut gateway) = chatting(&engine, &client).await;
    gateway.event(event("group.updated", 1)).await;
    let path = format!("/v1/devices/{device}");
    client.call(reqwest::Method::DELETE, &path).await.ok(204);
    let listed = client.get(&format!("{path}/events")).await;
    listed.problem(404, "not_found");
    let events = client
        .every_page(&format!("/v1/events?device={device}&type=group.*"))
        .await;
    assert_eq!(events.len(), 1);
}
