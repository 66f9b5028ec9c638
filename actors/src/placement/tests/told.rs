//! What goes over the wire for readers on other nodes: nothing of logs that nobody reads there, all of those that somebody does.

use bytes::Bytes;
use domain::position::Position;
use futures_util::{FutureExt as _, StreamExt as _, stream::BoxStream};
use outbound::bus::Topic;
use tokio::time::Instant;

use super::stand::{Customer, Stand, until};
use crate::{
    feed::Read,
    placement::{Wire as _, log_message},
};

/// What is told of a log from now on.
fn listen(stand: &Stand, customer: Customer) -> BoxStream<'static, Bytes> {
    stand.wire.subscribe(&Topic::Log(customer.id))
}

#[actix::test]
async fn nothing_is_told_of_a_log_that_nobody_reads_elsewhere() {
    let stand = Stand::open().await;
    let (a, _b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    let mut told = listen(&stand, customer);
    // Its own readers need no wire.
    let feed = a.engine.feed(customer.id).await.unwrap();
    for _ in 0..10 {
        a.ingest(customer).await.unwrap();
    }
    assert_eq!(feed.head(), Position::new(10));
    assert!(told.next().now_or_never().is_none());
}

#[actix::test]
async fn a_new_reader_is_told_where_the_log_ends_and_then_every_event() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let mut told = listen(&stand, customer);
    let feed = b.engine.feed(customer.id).await.unwrap();
    let first = log_message::decode(told.next().await.unwrap()).unwrap();
    assert_eq!((first.head, first.events.len()), (Position::new(1), 0));
    for number in 2..=20 {
        let taken = a.ingest(customer).await.unwrap();
        let news = log_message::decode(told.next().await.unwrap()).unwrap();
        assert_eq!(
            (news.head, &news.events[..]),
            (taken.position, &[taken][..])
        );
        until(async || feed.head() == Position::new(number)).await;
    }
    let Read::Frames(frames) = feed.read(Position::new(1), 100) else {
        panic!("a reader that is told of everything needs no store");
    };
    assert_eq!(frames.len(), 19);
}

#[actix::test]
async fn a_node_that_comes_later_learns_what_the_others_read() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let _feed = b.engine.feed(customer.id).await.unwrap();
    let c = stand.node("c").await;
    until(async || c.shared.readers.is_read(customer.id, Instant::now())).await;
}
