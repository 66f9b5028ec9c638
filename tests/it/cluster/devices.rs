//! A device whose session is on one node is the same device on all.

use reqwest::Method;
use serde_json::json;

use super::nodes::{Cluster, NODES};
use crate::harness::{Client, Gateway, Reply, client::text, engine::Tenant, until};

struct Devices {
    cluster: Cluster,
    tenant: Tenant,
    clients: Vec<Client>,
}

async fn devices() -> Devices {
    let cluster = Cluster::start().await;
    let tenant = cluster.node(1).engine.tenant("acme", "enterprise").await;
    let clients = cluster.clients(&tenant);
    Devices {
        cluster,
        tenant,
        clients,
    }
}

impl Devices {
    async fn made(&self) -> String {
        let made = self.clients[0].post("/v1/devices", &json!({ "name": "phone" }));
        text(&made.await.ok(201).data(), "id").to_owned()
    }

    async fn connected_at(&self, node: usize, device: &str) -> Gateway {
        let base = self.clients[node].base();
        let gateway = Gateway::connected(base, &self.tenant.key, device).await;
        for client in &self.clients {
            until_state(client, device, "connected").await;
        }
        gateway
    }
}

async fn until_state(client: &Client, device: &str, state: &str) -> serde_json::Value {
    let path = format!("/v1/devices/{device}");
    until("the device is in that state", async || {
        let device = client.get(&path).await.ok(200).data();
        (device["state"] == state).then_some(device)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_shows_a_device_and_reaches_its_gateway() {
    let devices = devices().await;
    let device = devices.made().await;
    let mut asked = 0;
    for at in 0..NODES {
        let mut gateway = devices.connected_at(at, &device).await;
        let pairing = json!({ "kind": "state", "state": "pairing", "qr": "2@scan-me" });
        gateway.say(&pairing).await;
        for client in &devices.clients {
            assert_eq!(
                until_state(client, &device, "pairing").await["qr"],
                "2@scan-me"
            );
        }
        gateway
            .say(&json!({ "kind": "state", "state": "connected" }))
            .await;
        let position = gateway
            .event(json!({ "type": "group.updated", "data": at }))
            .await;
        let mut sent = 0;
        let serving = gateway.serve(move |command| {
            sent += 1;
            let id = format!("net-{at}-{sent}");
            let key = json!({ "chat": command["args"]["to"], "sender": "", "id": id });
            Reply::Done(json!({ "key": key }))
        });
        for (from, client) in devices.clients.iter().enumerate() {
            let path = format!("/v1/devices/{device}");
            let body = json!({ "to": "1234567890", "text": format!("from {from} to {at}") });
            let answer = client
                .post(&format!("{path}/messages"), &body)
                .await
                .ok(202);
            asked += 1;
            let listed = client.every_page(&format!("{path}/messages")).await;
            assert_eq!(listed.len(), asked);
            assert_eq!(listed[0]["id"], answer.data()["id"], "the newest first");
            assert_eq!(listed[0]["state"], "sent");
            let events = format!("{path}/events?type=group.updated");
            let last = client.every_page(&events).await.pop().expect("an event");
            assert_eq!(last["position"], position);
        }
        assert_eq!(serving.commands().len(), NODES);
    }
    assert_eq!(devices.cluster.homes_of(&devices.tenant).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_ended_from_any_node() {
    let devices = devices().await;
    for at in 0..NODES {
        let device = devices.made().await;
        let mut gateway = devices.connected_at(at, &device).await;
        let client = &devices.clients[(at + 1) % NODES];
        let path = format!("/v1/devices/{device}");
        let ended = client.post(&format!("{path}/disconnect"), &json!({})).await;
        assert_eq!(ended.ok(200).data()["disconnected"], true);
        assert_eq!(gateway.expect("bye").await["reason"], "revoked");
        for client in &devices.clients {
            until_state(client, &device, "offline").await;
        }
        let mut gateway = devices.connected_at(at, &device).await;
        client.call(Method::DELETE, &path).await.ok(204);
        assert_eq!(gateway.expect("bye").await["reason"], "revoked");
        for client in &devices.clients {
            client.get(&path).await.problem(404, "not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_moves_to_the_node_that_its_newest_session_reached() {
    let devices = devices().await;
    let device = devices.made().await;
    let mut old = devices.connected_at(0, &device).await;
    for round in 1..=2 * NODES {
        let at = round % NODES;
        let new = devices.connected_at(at, &device).await;
        assert!(new.fence > old.fence);
        assert_eq!(old.expect("bye").await["reason"], "replaced");
        let owners: Vec<_> = {
            let mut owners = Vec::new();
            for client in &devices.clients {
                let shown = until_state(client, &device, "connected").await;
                assert_eq!(shown["fence"], new.fence);
                owners.push(shown["owner"].clone());
            }
            owners
        };
        assert!(owners.iter().all(|owner| *owner == owners[0]), "{owners:?}");
        old = new;
    }
}
