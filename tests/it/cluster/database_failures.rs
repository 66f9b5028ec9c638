//! PostgreSQL ends, freezes, or cannot be reached by one node.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    ingest::Fate,
    nodes::{Cluster, Node},
    stand::Stand,
};
use crate::harness::until;

/// How long PostgreSQL is frozen.
const FROZEN_FOR: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgres_loses_nothing_and_doubles_nothing() {
    let mut stand = Stand::start(Cluster::start_on_own_postgres().await).await;
    for is_orderly in [true, false] {
        let moment = Instant::now();
        if is_orderly {
            stand.cluster.postgres_mut().stop().await;
        } else {
            stand.cluster.postgres_mut().crash().await;
        }
        somebody_is_refused(&stand, moment).await;
        stand.cluster.postgres_mut().start_again().await;
        stand.goes_on().await;
        stand.print_silence("a restart of PostgreSQL", moment);
        stand.cluster.until_whole(&stand.tenants).await;
    }
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_freezes_for_half_a_minute_loses_nothing() {
    let mut stand = Stand::start(Cluster::start_on_own_postgres().await).await;
    let moment = Instant::now();
    stand.cluster.postgres_mut().freeze().await;
    // Ten times as long as a lease.
    stand.outlast(FROZEN_FOR).await;
    stand.cluster.postgres_mut().thaw().await;
    stand.goes_on().await;
    stand.print_silence("PostgreSQL frozen", moment);
    stand.cluster.until_whole(&stand.tenants).await;
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connections_to_postgres_are_cut_leaves_its_tenants_to_others() {
    one_node_loses(|node| node.to_postgres.cut()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_from_postgres_leaves_its_tenants_to_others() {
    one_node_loses(|node| node.to_postgres.silence()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_alone_in_the_dark_leaves_its_tenants_to_others() {
    one_node_loses(|node| {
        node.to_postgres.silence();
        node.to_nats.silence();
    })
    .await;
}

async fn one_node_loses(lose: impl Fn(&Node)) {
    let stand = Stand::start(Cluster::start().await).await;
    let moment = Instant::now();
    let lost = stand.cluster.home_of(&stand.tenants[0]).await;
    lose(stand.cluster.node(lost));
    stand
        .taken_over("a node without PostgreSQL", lost, moment)
        .await;
    stand.goes_on().await;
    stand.cluster.until_ready(lost, false).await;
    stand.cluster.node(lost).to_postgres.mend();
    stand.cluster.node(lost).to_nats.mend();
    stand.cluster.until_ready(lost, true).await;
    stand.cluster.until_whole(&stand.tenants).await;
    stand.finish().await;
}

/// Waits until clients have noticed.
async fn somebody_is_refused(stand: &Stand, since: Instant) {
    until("a client is refused", async || {
        let attempts = stand.ingest.attempts();
        let mut late = attempts.iter().filter(|attempt| attempt.at > since);
        late.any(|attempt| !matches!(attempt.fate, Fate::Acknowledged { .. }))
            .then_some(())
    })
    .await;
}
