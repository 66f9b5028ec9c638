//! To whom a tenant is given, what becomes of one whose new owner dies, and of a control plane that has forgotten owners.

use std::time::Duration;

use domain::{fence::Fence, position::Position};
use store::log::{Dispatch, Write};
use tokio::time::Instant;

use super::stand::{Stand, until};

#[actix::test]
async fn a_tenant_is_given_to_a_node_whose_heart_beats() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    // They live by the database's clock, but have not been heard of for most of their time.
    for number in 0..20 {
        let node = format!("dead-{number}");
        let short = Duration::from_secs(6);
        stand.control.begin_session(&node, short).await.unwrap();
    }
    for _ in 0..20 {
        let chosen = a.shared.successor().await.unwrap();
        assert_eq!(chosen.map(|node| node.id), Some(b.session()));
    }
}

#[actix::test]
async fn whoever_has_the_longest_lease_still_finds_somebody_to_give_its_tenants_to() {
    let stand = Stand::open().await;
    let a = stand.node("a").await;
    let shorter = Duration::from_secs(5);
    let other = stand.control.begin_session("b", shorter).await.unwrap();
    let chosen = a.shared.successor().await.unwrap();
    assert_eq!(chosen.map(|node| node.id), Some(other));
}

#[actix::test]
async fn a_tenant_whose_new_owner_dies_at_once_is_taken_over_when_that_session_has_ended() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let short = Duration::from_millis(300);
    let dying = stand.control.begin_session("c", short).await.unwrap();
    let settler = &*a.engine.inner;
    let until_then = Instant::now() + Duration::from_secs(30);
    let given = a
        .engine
        .inner
        .placement
        .give(customer.id, dying, settler, until_then);
    given.await.unwrap();
    until(async || b.ingest(customer).await.is_ok()).await;
    let owner = stand.owner(customer).await.unwrap();
    assert_eq!(owner.session, b.session());
    assert_eq!(stand.check_log(customer).await.len(), 2);
}

#[actix::test]
async fn a_control_plane_that_has_forgotten_owners_catches_up_with_the_log_in_one_step() {
    let stand = Stand::open().await;
    let a = stand.node("a").await;
    let customer = a.customer("acme").await;
    let forgotten = Fence::new(1_000_000);
    let mark = Write::Dispatch(Dispatch {
        tenant: customer.id,
        fence: forgotten,
        position: Position::ZERO,
        woken: Vec::new(),
        rested: Vec::new(),
    });
    stand.log.commit(&[mark]).await.unwrap().remove(0).unwrap();
    // The first claim hears of it from the log.
    assert!(a.ingest(customer).await.is_err());
    until(async || a.ingest(customer).await.is_ok()).await;
    let owner = stand.owner(customer).await.unwrap();
    assert_eq!(owner.fence, forgotten.next());
    assert_eq!(stand.check_log(customer).await.len(), 1);
}
