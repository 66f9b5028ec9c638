//! What is said to one node is true on all.

use serde_json::{Value, json};

use super::nodes::{Cluster, NODES};
use crate::harness::{Client, Sink, client::text, engine::Tenant, until};

struct House {
    cluster: Cluster,
    tenant: Tenant,
    /// The first is the owner's.
    clients: Vec<Client>,
}

/// A cluster with a tenant that has a home.
async fn house() -> House {
    let cluster = Cluster::start().await;
    let tenant = cluster.node(1).engine.tenant("acme", "enterprise").await;
    let mut clients = cluster.clients(&tenant);
    clients[1]
        .send_event(&json!({ "type": "first", "payload": 0 }))
        .await;
    let home = cluster.home_of(&tenant).await;
    clients.rotate_left(home);
    House {
        cluster,
        tenant,
        clients,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_takes_events_for_a_tenant_and_one_node_has_it() {
    let house = house().await;
    for round in 0..30_u64 {
        let client = &house.clients[usize::try_from(round).unwrap() % NODES];
        let receipt = client
            .send_event(&json!({ "type": "a", "payload": round }))
            .await;
        assert_eq!(receipt["position"], round + 2);
        for client in &house.clients {
            let path = format!("/v1/events/{}", text(&receipt, "id"));
            client.get(&path).await.ok(200);
        }
    }
    assert_eq!(house.cluster.homes_of(&house.tenant).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_batch_passes_through_a_node_that_does_not_own_the_tenant() {
    let house = house().await;
    let fill = "x".repeat(40_000);
    let events: Vec<Value> = (0..100)
        .map(|n| json!({ "type": "big", "payload": { "n": n, "fill": fill } }))
        .collect();
    let batch = json!({ "events": events });
    for client in &house.clients {
        let answer = client.post("/v1/events", &batch).await.ok(202).data();
        let items = answer.as_array().unwrap();
        assert!(items.iter().all(|item| item["status"] == "accepted"));
        assert_eq!(items.len(), 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_on_one_node_is_refused_by_all() {
    let house = house().await;
    for round in 0..NODES {
        let made = house.clients[round]
            .post("/v1/keys", &json!({ "name": "short-lived" }))
            .await
            .ok(201)
            .data();
        let guests: Vec<Client> = house
            .clients
            .iter()
            .map(|client| client.with_key(text(&made, "key")))
            .collect();
        // Everybody knows it, and remembers it.
        for guest in &guests {
            guest.get("/v1/events").await.ok(200);
        }
        let path = format!("/v1/keys/{}", text(&made, "id"));
        let revoke = house.clients[(round + 1) % NODES].call(reqwest::Method::DELETE, &path);
        let answer = revoke.await;
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
        for guest in &guests {
            until("the key is refused", async || {
                (guest.get("/v1/events").await.status == 401).then_some(())
            })
            .await;
            let sent = guest.post("/v1/events", &json!({ "type": "a", "payload": 1 }));
            sent.await.problem(401, "revoked_key");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_is_changed_on_another_node_delivers_as_it_was_told() {
    let house = house().await;
    let (before, after) = (Sink::start().await, Sink::start().await);
    let made = house.clients[1]
        .post("/v1/webhooks", &json!({ "url": before.url() }))
        .await
        .ok(201)
        .data();
    house.clients[0]
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    before.wait_for(1).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    let change = house.clients[2].call(reqwest::Method::PATCH, &path);
    change.json(&json!({ "url": after.url() })).await.ok(200);
    for client in &house.clients {
        client
            .send_event(&json!({ "type": "a", "payload": 2 }))
            .await;
    }
    after.wait_for(NODES).await;
    assert_eq!(before.count(), 1, "the old address gets nothing more");
    for client in &house.clients {
        let shown = client.get(&path).await.ok(200).data();
        assert_eq!(text(&shown, "url"), after.url());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspaces_template_that_is_set_on_one_node_binds_on_all() {
    let house = house().await;
    let made = house.clients[1]
        .post("/v1/workspaces", &json!({ "slug": "shop" }))
        .await
        .ok(201)
        .data();
    let event = json!({ "type": "order.paid", "workspace": "shop", "payload": { "k": 1 } });
    for client in &house.clients {
        client.post("/v1/events", &event).await.ok(202);
    }
    let path = format!("/v1/workspaces/{}/template", text(&made, "id"));
    let template = json!({ "required_payload_keys": ["amount"] });
    let put = house.clients[2].call(reqwest::Method::PUT, &path);
    put.json(&template).await.ok(200);
    for client in &house.clients {
        let answer = client.post("/v1/events", &event).await;
        answer.problem(422, "template_violation");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_repeated_on_another_node_is_answered_as_the_first_time() {
    let house = house().await;
    let event = json!({ "type": "once", "payload": 1 });
    for round in 0..NODES {
        let key = format!("round-{round}");
        let send = |client: &Client| {
            client
                .post("/v1/events", &event)
                .header("idempotency-key", &key)
        };
        let first = send(&house.clients[round]).await.ok(202);
        for client in &house.clients {
            let again = send(client).await.ok(202);
            assert_eq!(again.body, first.body);
            assert_eq!(again.header("idempotency-replayed"), Some("true"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_wakes_on_a_node_that_does_not_own_the_tenant() {
    let house = house().await;
    for round in 0..10_u64 {
        let waiting = house.clients[1].clone();
        let poll = tokio::spawn(async move {
            let path = "/v1/inbox?consumer=far&wait=30";
            waiting.get(path).await.ok(200).data()
        });
        let receipt = house.clients[0]
            .send_event(&json!({ "type": "a", "payload": round }))
            .await;
        let found = poll.await.unwrap();
        let position = receipt["position"].as_u64().unwrap();
        // In the first round it may have found what was there before.
        let last = found.as_array().unwrap().last().cloned();
        if round > 0 {
            assert_eq!(last.unwrap()["position"], position);
        }
        let ack = json!({ "consumer": "far", "up_to": position });
        house.clients[2].post("/v1/inbox/ack", &ack).await.ok(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_on_a_node_that_does_not_own_the_tenant_shows_events_as_they_come() {
    let house = house().await;
    let mut tails = Vec::new();
    for client in &house.clients {
        tails.push(client.tail("", Some(0)).await);
    }
    for tail in &mut tails {
        assert_eq!(tail.event().await.unwrap().id, Some(1));
    }
    for round in 0..50_u64 {
        let client = &house.clients[usize::try_from(round).unwrap() % NODES];
        client
            .send_event(&json!({ "type": "a", "payload": round }))
            .await;
        for tail in &mut tails {
            assert_eq!(tail.event().await.unwrap().id, Some(round + 2));
        }
    }
}
