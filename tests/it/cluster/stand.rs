//! A cluster under way: tenants whose clients send, whose tails read on every node and whose webhooks deliver.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    ingest::{Attempt, Ingest},
    judge,
    nodes::{Cluster, LEASE, NODES},
    readers::Reader,
};
use crate::harness::{Client, Sink, engine::Tenant, export::fetch_verified, until};

/// So many that every node has some.
const TENANTS: usize = 4;
/// Events that each tenant must get acknowledged before something is taken to go on.
const STEP: usize = 8;
/// How long a client waits for a node that may be frozen before it asks another one.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for those that look when a tenant has found a new home.
const PROBES_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a client waits that must get an answer to every request; guards against hanging only.
const FULL_PATIENCE: Duration = Duration::from_secs(120);

/// The cluster and everybody around it.
#[derive(Debug)]
pub(super) struct Stand {
    /// The nodes.
    pub(super) cluster: Cluster,
    /// The tenants.
    pub(super) tenants: Vec<Tenant>,
    /// The clients that send.
    pub(super) ingest: Ingest,
    readers: Vec<Vec<Reader>>,
    sinks: Vec<Sink>,
}

impl Stand {
    /// Starts everybody, and answers when everything flows.
    pub(super) async fn start(cluster: Cluster) -> Stand {
        let client = |cluster: &Cluster, node, tenant: &Tenant| cluster.client(node, tenant);
        Stand::with_clients(cluster, PATIENCE, client).await
    }

    /// The same with clients that wait for an answer as long as it takes. On some nodes they keep connections open, on others
    /// they open one for each request.
    pub(super) async fn start_strict(cluster: Cluster) -> Stand {
        let client = |cluster: &Cluster, node: usize, tenant: &Tenant| {
            let client = cluster.client(node, tenant);
            if node.is_multiple_of(2) {
                return client;
            }
            let base = client.base().to_owned();
            Client::without_keep_alive(base).with_key(&tenant.key)
        };
        Stand::with_clients(cluster, FULL_PATIENCE, client).await
    }

    async fn with_clients(
        cluster: Cluster,
        patience: Duration,
        client: impl Fn(&Cluster, usize, &Tenant) -> Client,
    ) -> Stand {
        let mut tenants = Vec::new();
        let mut sinks = Vec::new();
        let mut readers = Vec::new();
        for number in 0..TENANTS {
            let slug = format!("tenant-{number}");
            let maker = &cluster.node(number % NODES).engine;
            let tenant = maker.tenant(&slug, "enterprise").await;
            let sink = Sink::start().await;
            let webhook = json!({ "url": sink.url() });
            let other = cluster.client((number + 1) % NODES, &tenant);
            other.post("/v1/webhooks", &webhook).await.ok(201);
            let read = |node| {
                let what = format!("the tail of {slug} on {}", Cluster::name(node));
                Reader::start(what, cluster.client(node, &tenant))
            };
            readers.push((0..NODES).map(read).collect());
            sinks.push(sink);
            tenants.push(tenant);
        }
        let row = |tenant| {
            (0..NODES)
                .map(|node| client(&cluster, node, tenant))
                .collect()
        };
        let ingest = Ingest::start(tenants.iter().map(row).collect(), patience);
        let stand = Stand {
            cluster,
            tenants,
            ingest,
            readers,
            sinks,
        };
        stand.spread().await;
        stand.goes_on().await;
        stand
    }

    /// Gives every node a tenant at least.
    pub(super) async fn spread(&self) {
        for (number, tenant) in self.tenants.iter().enumerate() {
            self.cluster.move_tenant(tenant, number % NODES).await;
        }
    }

    /// Waits until every tenant has got further events acknowledged.
    pub(super) async fn goes_on(&self) {
        let before = self.ingest.counts();
        until("every tenant goes on", async || {
            let now = self.ingest.counts();
            let mut pairs = now.iter().zip(&before);
            pairs
                .all(|(now, before)| *now >= before + STEP)
                .then_some(())
        })
        .await;
    }

    /// Waits until the other nodes take events for every tenant, and prints how long after a moment they did.
    pub(super) async fn taken_over(&self, what: &str, lost: usize, since: Instant) {
        let others = (0..NODES).filter(|node| *node != lost);
        let pairs = others.flat_map(|node| self.tenants.iter().map(move |tenant| (node, tenant)));
        let takes = pairs.map(|(node, tenant)| async move {
            let client = self.cluster.client(node, tenant);
            let event = json!({ "type": "taken.over", "payload": { "by": node } });
            until("another node takes events for the tenant", async || {
                let sent = client.post("/v1/events", &event).within(PROBES_PATIENCE);
                (sent.attempt().await.ok()?.status == 202).then_some(())
            })
            .await;
            since.elapsed()
        });
        let took = join_all(takes).await.into_iter().max();
        let took = took.expect("there are tenants and nodes");
        eprintln!("{what}: other nodes had every tenant after {took:.2?} (lease {LEASE:?})");
    }

    /// Lets this much time pass. What is looked at is what happens then, not how long it takes.
    pub(super) async fn outlast(&self, time: Duration) {
        sleep(time).await;
    }

    /// Prints how long the tenant that waited longest had to wait after a moment.
    pub(super) fn print_silence(&self, what: &str, since: Instant) {
        let silence = judge::longest_silence(&self.ingest.attempts(), since);
        eprintln!("{what}: tenants went on after {silence:.2?} at the latest (lease {LEASE:?})");
    }

    /// Stops everybody, and checks what must be true; answers what the clients saw.
    pub(super) async fn finish(self) -> Vec<Attempt> {
        let attempts = self.ingest.stop().await;
        let mut readers = self.readers;
        for (number, tenant) in self.tenants.iter().enumerate() {
            let engine = &self.cluster.node(number % NODES).engine;
            let client = self.cluster.client(number % NODES, tenant);
            let kept = fetch_verified(engine, &client).await;
            let own: Vec<_> = attempts
                .iter()
                .filter(|attempt| attempt.tenant == number)
                .cloned()
                .collect();
            judge::assert_log_is_whole(&kept, &own);
            let expected = judge::ids(&kept);
            for reader in &mut readers[number] {
                assert_eq!(reader.has_seen(expected.len()).await, expected);
            }
            has_delivered(&self.sinks[number], &expected).await;
        }
        judge::assert_refusals_are_fair(&attempts);
        eprintln!("{:?}", judge::summary(&attempts));
        attempts
    }
}

/// Waits until a receiver has got every event of a log, and checks that it got nothing else.
async fn has_delivered(sink: &Sink, expected: &[String]) {
    until("the webhook has got every event", async || {
        let received = sink.received();
        let found: HashSet<String> = received
            .iter()
            .map(|one| one.event_id().to_owned())
            .collect();
        judge::missing(expected, &found).is_empty().then(|| {
            assert_eq!(
                found.len(),
                expected.len(),
                "nothing that is not in the log"
            );
        })
    })
    .await;
}
