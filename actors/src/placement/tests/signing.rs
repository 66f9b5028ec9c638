//! What nodes of a cluster sign when they have not signed for long.

use std::time::Duration;

use domain::{region::Region, retention::Retention};

use super::stand::Stand;

#[actix::test]
async fn a_node_that_was_away_for_longer_than_events_are_kept_signs_as_one_that_has_just_joined() {
    let stand = Stand::open().await;
    let node = stand.node("a").await;
    let customer = node.customer("acme").await;
    let sign = || {
        let (id, workspace) = (customer.id, customer.workspace);
        node.engine.checkpoint(id, Region::Au, workspace)
    };
    node.ingest(customer).await.unwrap();
    assert_eq!(sign().await.unwrap().checkpoint.size, 1);
    for _ in 0..260 {
        node.ingest(customer).await.unwrap();
    }
    let retention = Retention::new(Some(1), []);
    let day = Duration::from_secs(24 * 60 * 60);
    let later = node.engine.clock().now().plus(day * 2);
    while let Some(cut) = stand
        .log
        .outlived(customer.id, &retention, later)
        .await
        .unwrap()
    {
        stand.log.remove_up_to(customer.id, cut).await.unwrap();
    }
    assert_eq!(sign().await.unwrap().checkpoint.size, 261);
}
