//! Deliveries while all goes well, and what their owner may do to them.

use std::time::Duration;

use domain::{
    signature::{SignedHeaders, verify},
    webhook::{ShownState, WebhookInput},
};

use super::{house::House, sink::Sink};
use crate::EngineError;

#[actix::test]
async fn events_arrive_signed_and_in_order_and_are_settled_on_disk() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house
        .webhook(&sink.url, r#","events":["a.*"],"max_in_flight":1"#)
        .await;
    house.ingest(&["a.b", "x", "a.c"]).await;
    let first = sink.next().await;
    let webhook = house.view(id).await.webhook;
    let signed = SignedHeaders {
        id: first.header("webhook-id"),
        timestamp: first.header("webhook-timestamp"),
        signature: first.header("webhook-signature"),
    };
    let now = house.engine.clock().now();
    assert_eq!(
        verify(&webhook.secret, signed, first.body.as_bytes(), now),
        Ok(())
    );
    assert_eq!(first.header("user-agent"), "Trunkline/test");
    assert_eq!((first.position(), first.header("x-event-type")), (1, "a.b"));
    first.answer(200);
    assert_eq!(sink.answer(204).await, 3);
    house.settled(id, 3).await;
    let delivered = |position| (position, 1, "delivered".to_owned());
    assert_eq!(house.deliveries(id).await, [delivered(1), delivered(3)]);
}

#[actix::test]
async fn no_more_deliveries_are_on_their_way_than_there_are_slots() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":4"#).await;
    house.ingest_many("a", 12).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(sink.next().await);
    }
    house.until_status(id, |status| status.in_flight == 4).await;
    assert!(sink.is_quiet());
    for request in held {
        request.answer(204);
    }
    sink.take(8).await;
    house.settled(id, 12).await;
}

#[actix::test]
async fn a_webhook_that_fell_behind_reads_from_the_store_and_misses_nothing() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house
        .webhook(&sink.url, r#","events":["a"],"max_in_flight":8"#)
        .await;
    house
        .engine
        .pause_webhook(house.id(), None, id)
        .await
        .unwrap();
    for _ in 0..10 {
        house.ingest_many("a", 20).await;
        house.ingest_many("b", 20).await;
    }
    assert!(sink.is_quiet());
    house
        .engine
        .resume_webhook(house.id(), None, id)
        .await
        .unwrap();
    let mut positions = sink.take(200).await;
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 200);
    house.settled(id, 380).await;
    assert!(sink.is_quiet());
}

#[actix::test]
async fn a_new_webhook_gets_what_comes_after_it() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    house.ingest_many("a", 3).await;
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 1).await;
    assert_eq!(sink.take(1).await, [4]);
    house.settled(id, 4).await;
}

#[actix::test]
async fn a_rate_is_kept() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","rate_per_second":2"#).await;
    house.ingest_many("a", 3).await;
    assert_eq!(sink.take(2).await.len(), 2);
    house.settled(id, 2).await;
    assert!(sink.is_quiet());
    house.pass(Duration::from_millis(501)).await;
    assert_eq!(sink.take(1).await, [3]);
}

#[actix::test]
async fn a_change_of_the_filter_keeps_what_is_on_its_way_and_drops_what_is_not_wanted_any_more() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest(&["a", "b", "a", "b"]).await;
    let first = sink.next().await;
    let change = |_: &_| -> Result<_, EngineError> {
        let mut input = WebhookInput::of_url(sink.url.clone());
        input.events = domain::filter::TypeFilter::parse_list("b").unwrap();
        input.max_in_flight = 1;
        Ok(input)
    };
    let updated = house
        .engine
        .update_webhook(house.id(), None, id, None, change);
    assert!(updated.await.is_ok());
    first.answer(204);
    assert_eq!(sink.take(2).await, [2, 4]);
    house.settled(id, 4).await;
}

#[actix::test]
async fn an_idle_actor_goes_and_its_webhook_is_served_when_the_next_event_comes() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 1).await;
    sink.take(1).await;
    house.settled(id, 1).await;
    house.pass(Duration::from_secs(11)).await;
    house.until(id, |view| view.status.is_none()).await;
    house.ingest_many("a", 1).await;
    assert_eq!(sink.take(1).await, [2]);
}

#[actix::test]
async fn a_deleted_webhook_gets_nothing_more_and_leaves_nothing_behind() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 3).await;
    let first = sink.next().await;
    house
        .engine
        .delete_webhook(house.id(), None, id, None)
        .await
        .unwrap();
    first.answer(204);
    house.ingest_many("a", 1).await;
    let gone = house.engine.webhook(house.id(), None, id).await;
    assert!(matches!(gone, Err(EngineError::NotFound(_))));
    assert!(sink.is_quiet());
}

#[actix::test]
async fn a_test_ping_comes_back_with_what_was_answered_and_is_in_no_log() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    let pinging = house.engine.test_webhook(house.id(), None, id);
    let answering = async {
        let request = sink.next().await;
        assert_eq!(request.header("x-event-type"), "test.ping");
        request.answer(418);
    };
    let (outcome, ()) = tokio::join!(pinging, answering);
    let outcome = outcome.unwrap();
    assert_eq!(
        (outcome.status, &*outcome.response),
        (Some(418), &b"no"[..])
    );
    assert!(!outcome.is_delivered());
    assert!(house.deliveries(id).await.is_empty());
    assert_eq!(house.view(id).await.shown_state(), ShownState::Active);
}

#[actix::test]
async fn a_drained_webhook_sends_nothing_more_and_has_written_all() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 3).await;
    let first = sink.next().await;
    let answering = async { first.answer(204) };
    let draining = house.engine.shut_down(Duration::from_secs(5));
    tokio::join!(draining, answering);
    assert!(sink.is_quiet());
    let house = house.kill_and_restart().await;
    assert_eq!(sink.take(2).await, [2, 3]);
    house.settled(id, 3).await;
}
