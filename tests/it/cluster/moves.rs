//! Tenants that move while they are in use: by restarts in turn, and by an operator's word.

use tokio::time::Instant;

use super::{
    judge,
    nodes::{Cluster, NODES},
    stand::Stand,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_answers_every_request() {
    let mut stand = Stand::start_strict(Cluster::start().await).await;
    for node in 0..NODES {
        stand.spread().await;
        let moment = Instant::now();
        let engine = stand.cluster.engine_mut(node);
        engine.send_sigterm().await;
        let status = engine.ended().await;
        assert!(status.success(), "{status}: {}", engine.log());
        stand.goes_on().await;
        stand.print_silence(&format!("SIGTERM of {}", Cluster::name(node)), moment);
        stand.cluster.engine_mut(node).start_again().await;
        stand.goes_on().await;
    }
    let attempts = stand.finish().await;
    judge::assert_all_answered(&attempts);
    eprintln!("refused: {:#?}", judge::refusals(&attempts));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_moves_a_tenant_under_load_and_every_request_is_answered() {
    let stand = Stand::start_strict(Cluster::start().await).await;
    let tenant = &stand.tenants[0];
    for round in 0..2 * NODES {
        let moment = Instant::now();
        let to = (stand.cluster.home_of(tenant).await + 1) % NODES;
        stand.cluster.move_tenant(tenant, to).await;
        stand.goes_on().await;
        stand.print_silence(&format!("move {round}"), moment);
        assert_eq!(stand.cluster.home_of(tenant).await, to, "it stays there");
    }
    let attempts = stand.finish().await;
    judge::assert_all_answered(&attempts);
}
