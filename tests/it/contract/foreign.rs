//! DESIGN §2.10: what belongs to another tenant is answered as what does not exist.

use reqwest::Method;
use serde_json::{Value, json};

use super::{devices, webhooks::make};
use crate::harness::{Behaviour, Client, Engine, Sink, client::text, until};

/// One thing of each kind, all of one tenant.
struct Things {
    event: String,
    workspace: String,
    key: String,
    webhook: String,
    delivery: String,
    dead_letter: String,
    replay: String,
    device: String,
}

async fn make_things(owner: &Client, sink: &Sink) -> Things {
    let webhook = make(owner, json!({ "url": sink.url() })).await;
    let webhook = text(&webhook, "id").to_owned();
    let event = owner
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let dead = until("the delivery is dead", async || {
        owner.every_page("/v1/dead-letters").await.first().cloned()
    })
    .await;
    let deliveries = owner
        .every_page(&format!("/v1/webhooks/{webhook}/deliveries"))
        .await;
    let key = owner
        .post("/v1/keys", &json!({ "name": "k" }))
        .await
        .ok(201)
        .data();
    let replay = owner
        .post(&format!("/v1/webhooks/{webhook}/replay"), &json!({}))
        .await
        .data();
    Things {
        event: text(&event, "id").to_owned(),
        workspace: text(&event, "workspace").to_owned(),
        key: text(&key, "id").to_owned(),
        delivery: text(&deliveries[0], "id").to_owned(),
        dead_letter: text(&dead, "id").to_owned(),
        replay: text(&replay, "id").to_owned(),
        device: devices::made(owner).await,
        webhook,
    }
}

/// Calls with the name of a thing in their path.
const CALLS: &[(&str, &str)] = &[
    ("GET", "/v1/events/{event}"),
    ("GET", "/v1/events/{event}/proof"),
    ("POST", "/v1/events/{event}/ack"),
    ("POST", "/api/ack/{event}"),
    ("GET", "/v1/events?workspace={workspace}"),
    ("GET", "/v1/events/tail?workspace={workspace}"),
    ("GET", "/v1/events/export.json?workspace={workspace}"),
    ("GET", "/v1/workspaces/{workspace}"),
    ("PATCH", "/v1/workspaces/{workspace}"),
    ("DELETE", "/v1/workspaces/{workspace}"),
    ("GET", "/v1/workspaces/{workspace}/checkpoint"),
    ("GET", "/v1/workspaces/{workspace}/template"),
    ("PUT", "/v1/workspaces/{workspace}/template"),
    ("DELETE", "/v1/workspaces/{workspace}/template"),
    ("GET", "/v1/keys/{key}"),
    ("PATCH", "/v1/keys/{key}"),
    ("POST", "/v1/keys/{key}/rotate"),
    ("DELETE", "/v1/keys/{key}"),
    ("GET", "/v1/webhooks/{webhook}"),
    ("PATCH", "/v1/webhooks/{webhook}"),
    ("POST", "/v1/webhooks/{webhook}/test"),
    ("POST", "/v1/webhooks/{webhook}/pause"),
    ("POST", "/v1/webhooks/{webhook}/resume"),
    ("POST", "/v1/webhooks/{webhook}/rotate-secret"),
    ("POST", "/v1/webhooks/{webhook}/replay"),
    ("GET", "/v1/webhooks/{webhook}/replays"),
    ("GET", "/v1/webhooks/{webhook}/replays/{replay}"),
    ("GET", "/v1/webhooks/{webhook}/deliveries"),
    ("GET", "/v1/deliveries/{delivery}"),
    ("GET", "/v1/dead-letters/{dead_letter}"),
    ("POST", "/v1/dead-letters/{dead_letter}/replay"),
    ("DELETE", "/v1/dead-letters/{dead_letter}"),
    ("DELETE", "/v1/webhooks/{webhook}"),
];

impl Things {
    fn named(&self) -> [(&'static str, &str); 8] {
        [
            ("{event}", &self.event),
            ("{workspace}", &self.workspace),
            ("{key}", &self.key),
            ("{webhook}", &self.webhook),
            ("{delivery}", &self.delivery),
            ("{dead_letter}", &self.dead_letter),
            ("{replay}", &self.replay),
            ("{device}", &self.device),
        ]
    }

    fn put_into(&self, path: &str) -> String {
        let put = |path: String, (name, id): (&str, &str)| path.replace(name, id);
        self.named().into_iter().fold(path.to_owned(), put)
    }
}

#[tokio::test]
async fn what_belongs_to_another_tenant_is_not_found_and_stays_as_it_is() {
    let engine = Engine::start().await;
    let owner = engine.client();
    let stranger = engine.tenant("stranger", "enterprise").await.client;
    let sink = Sink::that(Behaviour::Answer(400)).await;
    let things = make_things(&owner, &sink).await;
    let sent = sink.count();
    for (method, path) in CALLS {
        let method: Method = method.parse().unwrap();
        let call = stranger.call(method.clone(), &things.put_into(path));
        let call = if method == Method::GET {
            call
        } else {
            call.json(&json!({}))
        };
        call.await.problem(404, "not_found");
    }
    let put = stranger.call(Method::PUT, &things.put_into("/v1/webhooks/{webhook}"));
    put.json(&json!({ "url": "https://example.com" }))
        .await
        .problem(404, "not_found");
    for (method, path) in devices::CALLS {
        let call = devices::bare_call(&stranger, method, &things.put_into(path));
        call.await.problem(404, "not_found");
    }
    assert_eq!(owner.every_page("/v1/devices").await.len(), 1);
    assert_eq!(owner.every_page("/v1/dead-letters").await.len(), 1);
    assert_eq!(owner.every_page("/v1/webhooks").await.len(), 1);
    owner.get(&format!("/v1/keys/{}", things.key)).await.ok(200);
    assert!(sink.count() <= sent + 1, "nothing was sent for a stranger");
}

#[tokio::test]
async fn lists_show_nothing_of_another_tenant() {
    let engine = Engine::start().await;
    let owner = engine.client();
    let stranger = engine.tenant("stranger", "enterprise").await.client;
    let sink = Sink::that(Behaviour::Answer(400)).await;
    let things = make_things(&owner, &sink).await;
    for path in [
        "/v1/events",
        "/v1/inbox",
        "/v1/webhooks",
        "/v1/dead-letters",
        "/v1/keys",
        "/v1/devices",
        "/v1/workspaces",
        "/v1/audit-logs",
        "/v1/events/export.json",
        "/v1/events/export.csv",
        "/v1/events/export.ndjson",
        "/api/inbox",
    ] {
        let seen = stranger.get(path).await.ok(200).text();
        for (name, id) in things.named() {
            assert!(!seen.contains(id), "{path} shows {name} {id}");
        }
    }
}

#[tokio::test]
async fn tails_webhooks_and_inboxes_carry_nothing_of_another_tenant() {
    let engine = Engine::start().await;
    let owner = engine.client();
    let stranger = engine.tenant("stranger", "enterprise").await.client;
    let sink = Sink::start().await;
    make(&stranger, json!({ "url": sink.url() })).await;
    let mut tail = stranger.tail("", None).await;
    for n in 0..10 {
        owner
            .send_event(&json!({ "type": "theirs", "payload": n }))
            .await;
    }
    stranger
        .send_event(&json!({ "type": "mine", "payload": 1 }))
        .await;
    assert_eq!(tail.event().await.unwrap().event.as_deref(), Some("mine"));
    assert_eq!(
        sink.wait_for(1).await[0].header("x-event-type"),
        Some("mine")
    );
    let inbox = stranger.get("/v1/inbox").await.ok(200).data();
    assert_eq!(inbox.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn another_tenants_workspace_takes_no_events_and_no_webhooks() {
    let engine = Engine::start().await;
    let owner = engine.client();
    let stranger = engine.tenant("stranger", "enterprise").await.client;
    let workspace = owner.every_page("/v1/workspaces").await[0]["id"].clone();
    let event = json!({ "type": "a", "payload": 1, "workspace": workspace });
    stranger
        .post("/v1/events", &event)
        .await
        .problem(422, "invalid_field");
    let webhook = json!({ "url": "https://example.com", "workspace": workspace });
    stranger
        .post("/v1/webhooks", &webhook)
        .await
        .problem(422, "invalid_field");
    let key = json!({ "name": "k", "scope": workspace });
    stranger
        .post("/v1/keys", &key)
        .await
        .problem(422, "invalid_field");
    let device = json!({ "name": "d", "workspace": workspace });
    stranger
        .post("/v1/devices", &device)
        .await
        .problem(422, "invalid_field");
    assert_eq!(owner.every_page("/v1/events").await, Vec::<Value>::new());
}
