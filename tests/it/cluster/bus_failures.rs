//! NATS ends, or cannot be reached by one node: each node serves its own tenants and reads for all.

use tokio::time::Instant;

use super::{
    ingest::Fate,
    nodes::{Cluster, NODES},
    stand::Stand,
};
use crate::harness::{Proxy, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_every_node_serves_its_own_tenants_and_reads_for_all() {
    let mut stand = Stand::start(Cluster::start().await).await;
    let moment = Instant::now();
    stand.cluster.nats.kill_9().await;
    strangers_are_refused(&stand, moment).await;
    stand.goes_on().await;
    stand.print_silence("NATS killed", moment);
    everybody_reads(&stand).await;
    stand.cluster.nats.start_again().await;
    stand.cluster.until_whole(&stand.tenants).await;
    stand.goes_on().await;
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connection_to_nats_is_cut_serves_its_own_tenants() {
    one_node_loses_nats(Proxy::cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_from_nats_serves_its_own_tenants() {
    one_node_loses_nats(Proxy::silence).await;
}

async fn one_node_loses_nats(lose: fn(&Proxy)) {
    let stand = Stand::start(Cluster::start().await).await;
    let moment = Instant::now();
    let lost = stand.cluster.home_of(&stand.tenants[0]).await;
    lose(&stand.cluster.node(lost).to_nats);
    strangers_are_refused(&stand, moment).await;
    stand.goes_on().await;
    stand.print_silence("a node without NATS", moment);
    everybody_reads(&stand).await;
    let home = stand.cluster.home_of(&stand.tenants[0]).await;
    assert_eq!(home, lost, "its lease is alive, so its tenant stays");
    stand.cluster.node(lost).to_nats.mend();
    stand.cluster.until_whole(&stand.tenants).await;
    stand.goes_on().await;
    stand.finish().await;
}

/// Waits until a node has said that it cannot reach the owner of a tenant.
async fn strangers_are_refused(stand: &Stand, since: Instant) {
    until("a stranger is refused", async || {
        let attempts = stand.ingest.attempts();
        let mut late = attempts.iter().filter(|attempt| attempt.at > since);
        late.any(|attempt| {
            matches!(&attempt.fate, Fate::Refused { code, .. } if code == "owner_unreachable")
        })
        .then_some(())
    })
    .await;
}

/// Reads of every tenant on every node.
async fn everybody_reads(stand: &Stand) {
    for tenant in &stand.tenants {
        for node in 0..NODES {
            let client = stand.cluster.client(node, tenant);
            client.get("/v1/events?limit=5").await.ok(200);
        }
    }
}
