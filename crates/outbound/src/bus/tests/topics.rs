//! What is told to all.

use bytes::Bytes;
use domain::ids::TenantId;
use futures_util::StreamExt as _;

use super::{LONG, connected, fresh_prefix};
use crate::bus::Topic;

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(uuid::Uuid::from_u128(number))
}

#[tokio::test]
async fn everybody_hears_what_is_published_on_a_topic_in_order() {
    let prefix = fresh_prefix();
    let (one, two) = (connected(&prefix).await, connected(&prefix).await);
    let mut at_one = one.subscribe(&Topic::Changes);
    let mut at_two = two.subscribe(&Topic::Changes);
    assert!(at_one.settled(LONG).await && at_two.settled(LONG).await);
    let messages: Vec<Bytes> = (0..100).map(|number| number.to_string().into()).collect();
    for message in &messages {
        one.publish(&Topic::Changes, message.clone());
    }
    for subscription in [&mut at_one, &mut at_two] {
        let heard: Vec<Bytes> = subscription.take(100).collect().await;
        assert_eq!(heard, messages);
    }
}

#[tokio::test]
async fn topics_and_tenants_are_kept_apart() {
    let bus = connected(&fresh_prefix()).await;
    let mut first = bus.subscribe(&Topic::Log(tenant(1)));
    assert!(first.settled(LONG).await);
    bus.publish(&Topic::Nodes, "nodes".into());
    bus.publish(&Topic::Log(tenant(2)), "second".into());
    bus.publish(&Topic::Log(tenant(1)), "first".into());
    assert_eq!(first.next().await.unwrap(), "first");
}

#[tokio::test]
async fn a_reader_that_sleeps_keeps_the_newest() {
    let bus = connected(&fresh_prefix()).await;
    let mut slow = bus.subscribe(&Topic::Nodes);
    assert!(slow.settled(LONG).await);
    for number in 0..3_000 {
        bus.publish(&Topic::Nodes, number.to_string().into());
        // The writer's own queue is bounded too.
        if number % 500 == 0 {
            assert!(bus.settle(LONG).await);
        }
    }
    let mut last = String::new();
    let mut number = 0;
    while last != "2999" {
        last = String::from_utf8(slow.next().await.unwrap().to_vec()).unwrap();
        number += 1;
    }
    assert!(number < 3_000, "{number}");
}

#[tokio::test]
async fn whoever_stopped_to_listen_is_forgotten_by_the_server() {
    let prefix = fresh_prefix();
    let (one, two) = (connected(&prefix).await, connected(&prefix).await);
    let mut dropped = one.subscribe(&Topic::Nodes);
    assert!(dropped.settled(LONG).await);
    drop(dropped);
    let mut kept = one.subscribe(&Topic::Nodes);
    assert!(kept.settled(LONG).await);
    two.publish(&Topic::Nodes, "hello".into());
    assert_eq!(kept.next().await.unwrap(), "hello");
}
