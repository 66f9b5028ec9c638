//! What becomes of tenants, readers and deliveries when the one message that would have told is lost, or comes too late.

use std::{sync::Arc, sync::atomic::Ordering};

use domain::{fence::Fence, position::Position, webhook::WebhookInput};
use store::log::{Append, Write};

use super::stand::{Customer, Node, Stand, until};

/// Makes the log longer than its mark, as if its owner had died in between.
async fn leave_work(stand: &Stand, by: &Node, customer: Customer) {
    let other = by.customer("sample").await;
    let sample = by.ingest(other).await.unwrap();
    let part = Write::Append(Append {
        tenant: customer.id,
        expected_head: Position::ZERO,
        events: vec![sample],
        nodes: Vec::new(),
        answers: Vec::new(),
        sessions: Vec::new(),
        messages: Vec::new(),
    });
    stand.log.commit(&[part]).await.unwrap().remove(0).unwrap();
}

#[actix::test]
async fn a_tenant_whose_new_owner_did_not_hear_of_it_is_worked_for_all_the_same() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = stand.stranger("c").customer("acme").await;
    drop(a.engine.inner.placement.hold(customer.id).await.unwrap());
    stand.wire.lost_percent.store(100, Ordering::Relaxed);
    a.engine.move_tenant(customer.id, "b").await.unwrap();
    leave_work(&stand, &a, customer).await;
    assert!(!b.engine.is_here(customer.id));
    b.engine.inner.placement.node_left("nobody");
    until(async || b.engine.is_here(customer.id)).await;
    assert_eq!(stand.owner(customer).await.unwrap().session, b.session());
}

#[actix::test]
async fn a_reader_on_a_node_whose_tenant_went_to_rest_sees_what_another_node_appends() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let feed = a.engine.feed(customer.id).await.unwrap();
    until(async || stand.log.dispatched(customer.id).await.unwrap() == Some(feed.head())).await;
    // As if it had been idle: the lease lingers for longer than a follower looks whether it is needed.
    a.engine.inner.tenants.evict(|id| *id == customer.id);
    until(async || stand.owner(customer).await.is_none()).await;
    b.ingest(customer).await.unwrap();
    until(async || feed.head() == Position::new(2)).await;
}

#[actix::test]
async fn an_event_of_an_old_owner_that_readers_have_seen_already_is_delivered_too() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = b.customer("acme").await;
    b.ingest(customer).await.unwrap();
    let tenant = b.engine.tenant(customer.id).await.unwrap();
    let input = WebhookInput::parse(br#"{"url":"https://nobody.invalid/"}"#).unwrap();
    let made = b.engine.create_webhook(&tenant, None, input).await.unwrap();
    // Nothing is sent: it only shows what was matched.
    b.engine
        .pause_webhook(customer.id, None, made.webhook.id)
        .await
        .unwrap();
    stand.wire.lost_percent.store(100, Ordering::Relaxed);
    let session = a.shared.live_session().unwrap();
    a.shared.holds.forge(customer.id, Fence::FIRST, session);
    let late = a.ingest(customer).await.unwrap();
    // What a follower does that has not ended yet.
    let feed = b.engine.feed(customer.id).await.unwrap();
    assert!(feed.append(&[Arc::clone(&late)]));
    assert_eq!(feed.head(), Position::new(2));
    // What a look for work does.
    until(async || {
        b.engine.inner.tenants.poke(&customer.id);
        b.engine.inner.board.has_tenant(customer.id)
    })
    .await;
}
