//! Nodes that die, and one that comes back from the dead.

use tokio::time::Instant;

use super::{
    nodes::{Cluster, NODES},
    stand::Stand,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_in_turn_is_killed_and_its_tenants_go_on_elsewhere() {
    let mut stand = Stand::start(Cluster::start().await).await;
    for node in 0..NODES {
        stand.spread().await;
        let moment = Instant::now();
        stand.cluster.engine_mut(node).kill_9().await;
        let what = format!("kill -9 of {}", Cluster::name(node));
        stand.taken_over(&what, node, moment).await;
        stand.goes_on().await;
        stand.cluster.engine_mut(node).start_again().await;
        stand.goes_on().await;
    }
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_sleeps_past_its_lease_does_no_harm_when_it_wakes() {
    let stand = Stand::start(Cluster::start().await).await;
    for node in 0..NODES {
        stand.spread().await;
        let moment = Instant::now();
        stand.cluster.freeze(node).await;
        let what = format!("SIGSTOP of {}", Cluster::name(node));
        stand.taken_over(&what, node, moment).await;
        stand.goes_on().await;
        stand.cluster.thaw(node).await;
        stand.cluster.until_ready(node, true).await;
        stand.goes_on().await;
    }
    stand.cluster.until_whole(&stand.tenants).await;
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_sleeps_for_less_than_its_lease_goes_on_as_before() {
    let stand = Stand::start(Cluster::start().await).await;
    let before = stand.cluster.home_of(&stand.tenants[0]).await;
    stand.cluster.freeze(before).await;
    stand.cluster.thaw(before).await;
    stand.goes_on().await;
    stand.cluster.until_whole(&stand.tenants).await;
    stand.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_are_killed_at_once_and_come_back() {
    let mut stand = Stand::start(Cluster::start().await).await;
    let moment = Instant::now();
    for node in 0..NODES {
        stand.cluster.engine_mut(node).kill_9().await;
    }
    for node in 0..NODES {
        stand.cluster.engine_mut(node).start_again().await;
    }
    stand.goes_on().await;
    stand.print_silence("kill -9 of all nodes", moment);
    stand.cluster.until_whole(&stand.tenants).await;
    stand.finish().await;
}
