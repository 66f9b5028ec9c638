//! A device whose session is on one node is the same device on all.

use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::nodes::{Cluster, NODES};
use crate::harness::{
    Client, Gateway, Reply,
    client::text,
    engine::Tenant,
    mqtt::{self, Connect, Mqtt, publish},
    until,
};

/// Three nodes and the tenant whose devices they have.
pub(super) struct Devices {
    pub(super) cluster: Cluster,
    pub(super) tenant: Tenant,
    pub(super) clients: Vec<Client>,
}

pub(super) async fn devices() -> Devices {
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
    pub(super) async fn made(&self) -> String {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_of_a_device_whose_node_cannot_be_told_is_noted_once_and_told_by_the_same_call() {
    let devices = devices().await;
    let device = devices.made().await;
    let other = json!({ "name": "Other", "slug": "other" });
    let client = &devices.clients[0];
    client.post("/v1/workspaces", &other).await.ok(201);
    let mut gateway = devices.connected_at(1, &device).await;
    let path = format!("/v1/devices/{device}");
    let move_it = || {
        let body = json!({ "workspace": "other" });
        client.call(Method::PATCH, &path).json(&body)
    };
    let noted = async || {
        let path = "/v1/audit-logs?action=device.updated";
        client.every_page(path).await.len()
    };
    devices.cluster.node(0).to_nats.cut();
    move_it().await.problem(503, "store_unavailable");
    assert_eq!(noted().await, 1, "it has moved, and that is noted");
    devices.cluster.node(0).to_nats.mend();
    until("the node reaches the other one", async || {
        (move_it().await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.expect("bye").await["reason"], "shutdown");
    assert_eq!(noted().await, 1, "it is noted once");
}

/// Connects by MQTT to a node.
async fn by_mqtt(devices: &Devices, node: usize, level: u8, device: &str) -> Mqtt {
    let connect = Connect::new(level, device, &devices.tenant.key);
    let client = Mqtt::connect_as(&devices.cluster.node(node).engine, &connect).await;
    until_state(&devices.clients[node], device, "connected").await;
    client
}

/// A publish of one event, which is answered if it is taken.
fn event(level: u8, id: u16, kind: &str) -> Vec<u8> {
    let properties = (level == 5).then_some(&[][..]);
    publish(&format!("events/{kind}"), 1, id, properties, b"{}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_comes_by_mqtt_to_another_node_is_taken_over_and_publishes_nothing_more_here()
{
    let devices = devices().await;
    for level in [4, 5] {
        let device = devices.made().await;
        let mut old = by_mqtt(&devices, 0, level, &device).await;
        let mut expected = Vec::new();
        for round in 1..=2 * NODES {
            let kind = format!("round.{round}");
            old.send(&event(level, 7, &kind)).await;
            assert_eq!(old.expect(0x40).await[..2], [0, 7], "it is durable");
            let mut new = by_mqtt(&devices, round % NODES, level, &device).await;
            // Whether its socket is still open or not: the store takes nothing of it any more.
            old.send(&event(level, 8, "late")).await;
            let said = old.closed().await;
            assert!(said.iter().all(|(first, _)| *first != 0x40), "{said:x?}");
            if level == 5 {
                let (first, body) = said.last().expect("it is told why");
                assert_eq!((*first, body[0]), (0xe0, 0x8e), "session taken over");
            }
            let again = format!("again.{round}");
            new.send(&event(level, 9, &again)).await;
            assert_eq!(new.expect(0x40).await[..2], [0, 9]);
            expected.extend([kind, again]);
            old = new;
        }
        let path = format!("/v1/devices/{device}/events");
        for client in &devices.clients {
            let events = client.every_page(&path).await;
            let kinds = events.iter().map(|event| text(event, "type").to_owned());
            let (own, said): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.starts_with("device."));
            assert_eq!(said, expected, "in the order in which they were sent");
            let coming_and_going = ["device.connected", "device.disconnected"];
            assert!(
                own.iter()
                    .zip(coming_and_going.iter().cycle())
                    .all(|(a, b)| a == b)
            );
            assert_eq!(own.len(), 4 * NODES + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_before_its_session_is_there_takes_the_device_from_nobody() {
    let devices = devices().await;
    let node = devices.cluster.node(0);
    let (base, key) = (devices.clients[0].base(), &devices.tenant.key);
    let port = mqtt::port(&node.engine).await;
    for level in [None, Some(4), Some(5)] {
        let device = devices.made().await;
        let mut holder = devices.connected_at(1, &device).await;
        let fence = holder.fence;
        // Nothing is answered by the control plane while somebody connects, and leaves again.
        match level {
            None => {
                let socket = Gateway::try_open(base, key, &device).await;
                let mut socket = socket.expect("the upgrade");
                node.to_postgres.silence();
                socket
                    .say(&json!({ "kind": "hello", "gateway": "test/1" }))
                    .await;
                socket.send(Message::Close(None)).await;
                assert_eq!(socket.closed().await, Some(1000), "it is let go");
            }
            Some(level) => {
                let mut client = Mqtt::open(port).await;
                node.to_postgres.silence();
                client
                    .send(&Connect::new(level, &device, key).bytes())
                    .await;
                client.finish().await;
                assert_eq!(client.closed().await, [], "it is let go");
            }
        }
        node.to_postgres.mend();
        // The node has done by now what it had begun: it opens the next session after it.
        let other = devices.made().await;
        drop(devices.connected_at(0, &other).await);
        holder
            .event(json!({ "type": "group.updated", "data": 1 }))
            .await;
        let shown = until_state(&devices.clients[2], &device, "connected").await;
        assert_eq!(shown["fence"], fence, "nobody took it");
    }
}
