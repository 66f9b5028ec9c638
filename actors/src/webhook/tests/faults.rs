//! Deliveries that fail, receivers that are gone, and actors and processes that die.

use std::{collections::HashMap, time::Duration};

use domain::webhook::ShownState;

use super::{house::House, sink::Sink};
use crate::engine::{ActorKind, DeadLetterFilter};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[actix::test]
async fn a_failure_is_tried_again_when_the_schedule_says() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 1).await;
    sink.answer(500).await;
    house.until_status(id, |status| status.retrying == 1).await;
    assert_eq!(house.deliveries(id).await, [(1, 1, "retrying".to_owned())]);
    house.pass(MINUTE - Duration::from_millis(1)).await;
    assert!(sink.is_quiet());
    house.pass(Duration::from_millis(2)).await;
    let again = sink.next().await;
    assert_eq!((again.position(), again.attempt()), (1, 2));
    again.answer(200);
    house
        .until_status(id, |status| status.retrying == 0 && status.in_flight == 0)
        .await;
    assert_eq!(house.deliveries(id).await, [(1, 2, "delivered".to_owned())]);
}

#[actix::test]
async fn a_receiver_that_asks_for_more_time_gets_it() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 1).await;
    sink.next().await.answer_with(503, "retry-after: 600\r\n");
    house.until_status(id, |status| status.retrying == 1).await;
    house.pass(MINUTE * 9).await;
    assert!(sink.is_quiet());
    house.pass(MINUTE + Duration::from_secs(1)).await;
    assert_eq!(sink.next().await.attempt(), 2);
}

#[actix::test]
async fn a_refused_delivery_is_a_dead_letter_that_can_be_tried_again_or_deleted() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 2).await;
    sink.answer(404).await;
    sink.answer(404).await;
    house.ingest_many("a", 1).await;
    sink.take(1).await;
    house.settled(id, 3).await;
    let filter = DeadLetterFilter::default();
    let letters = house
        .engine
        .dead_letters(house.id(), None, filter, 10)
        .await
        .unwrap();
    let places: Vec<u64> = letters
        .iter()
        .map(|dead| dead.letter.position.get())
        .collect();
    assert_eq!(places, [2, 1]);
    house
        .engine
        .delete_dead_letter(house.id(), None, letters[1].id)
        .await
        .unwrap();
    house
        .engine
        .replay_dead_letter(house.id(), None, letters[0].id)
        .await
        .unwrap();
    let again = sink.next().await;
    assert_eq!((again.position(), again.attempt()), (2, 2));
    again.answer(500);
    house.until_status(id, |status| status.retrying == 1).await;
    house.pass(MINUTE + Duration::from_secs(1)).await;
    assert_eq!(sink.answer(204).await, 2);
    house.until_status(id, |status| status.in_flight == 0).await;
    let left = house
        .engine
        .dead_letters(house.id(), None, filter, 10)
        .await
        .unwrap();
    assert!(left.is_empty());
}

#[actix::test]
async fn a_receiver_that_is_gone_disables_its_webhook_and_what_was_not_delivered_waits() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 3).await;
    sink.answer(410).await;
    house
        .until(id, |view| view.shown_state() == ShownState::Disabled)
        .await;
    house.until_status(id, |status| status.in_flight == 0).await;
    assert!(sink.is_quiet());
    house
        .engine
        .resume_webhook(house.id(), None, id)
        .await
        .unwrap();
    let mut positions = sink.take(3).await;
    positions.sort_unstable();
    assert_eq!(positions, [1, 2, 3]);
    house.settled(id, 3).await;
}

#[actix::test]
async fn a_failing_receiver_is_left_alone_then_probed_once_then_served_again() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 6).await;
    for _ in 0..3 {
        sink.answer(500).await;
    }
    house
        .until(id, |view| view.shown_state() == ShownState::Open)
        .await;
    house.until_status(id, |status| status.in_flight == 0).await;
    house.pass(HOUR - MINUTE).await;
    assert!(sink.is_quiet());
    house.pass(MINUTE * 2).await;
    let probe = sink.next().await;
    assert!(sink.is_quiet());
    probe.answer(204);
    assert_eq!(sink.take(5).await.len(), 5);
    house.settled(id, 6).await;
    assert_eq!(house.view(id).await.shown_state(), ShownState::Active);
}

#[actix::test]
async fn a_receiver_that_fails_every_probe_suspends_its_webhook_until_it_is_resumed() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 4).await;
    for _ in 0..3 {
        sink.answer(500).await;
    }
    for _ in 0..2 {
        house
            .until(id, |view| view.shown_state() == ShownState::Open)
            .await;
        house.until_status(id, |status| status.in_flight == 0).await;
        house.pass(HOUR + MINUTE).await;
        sink.answer(500).await;
    }
    house
        .until(id, |view| view.shown_state() == ShownState::Suspended)
        .await;
    house.pass(HOUR * 24).await;
    assert!(sink.is_quiet());
    let house = house.kill_and_restart().await;
    assert_eq!(house.view(id).await.shown_state(), ShownState::Suspended);
    house
        .engine
        .resume_webhook(house.id(), None, id)
        .await
        .unwrap();
    assert_eq!(sink.take(4).await.len(), 4);
    house.settled(id, 4).await;
}

#[actix::test]
async fn a_killed_process_loses_nothing_and_repeats_fewer_deliveries_than_there_are_slots() {
    let (mut house, mut sink) = (House::open().await, Sink::start().await);
    let slots = 4;
    let id = house.webhook(&sink.url, r#","max_in_flight":4"#).await;
    let mut seen: HashMap<u64, usize> = HashMap::new();
    for round in 1..=3_u64 {
        house.ingest_many("a", 20).await;
        for _ in 0..13 {
            *seen.entry(sink.answer(204).await).or_default() += 1;
        }
        let before: usize = seen.values().sum();
        let distinct = seen.len();
        house = house.kill_and_restart().await;
        // What the killed one had sent and heard nothing of arrives too.
        house.until_status(id, |_| true).await;
        while seen.len() < usize::try_from(round).unwrap() * 20 {
            *seen.entry(sink.answer(204).await).or_default() += 1;
        }
        house.settled(id, round * 20).await;
        while !sink.is_quiet() {
            *seen.entry(sink.answer(204).await).or_default() += 1;
        }
        let after: usize = seen.values().sum();
        let repeated = (after - before) - (seen.len() - distinct);
        assert!(
            repeated <= 2 * slots,
            "{repeated} were repeated in round {round}"
        );
    }
}

#[actix::test]
async fn a_retry_survives_a_restart_although_the_cursor_has_passed_it() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest_many("a", 1).await;
    sink.answer(500).await;
    house.until_status(id, |status| status.retrying == 1).await;
    house.ingest_many("a", 1).await;
    assert_eq!(sink.take(1).await, [2]);
    house.settled(id, 2).await;
    let house = house.kill_and_restart().await;
    house.until_status(id, |status| status.retrying == 1).await;
    house.pass(MINUTE + Duration::from_secs(1)).await;
    let again = sink.next().await;
    assert_eq!((again.position(), again.attempt()), (1, 2));
}

#[actix::test]
async fn an_actor_that_panics_comes_back_and_delivers_the_rest() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":2"#).await;
    house.ingest_many("a", 5).await;
    sink.answer(204).await;
    assert!(
        house
            .engine
            .inject_panic(ActorKind::Webhook, &id.to_string())
    );
    // The successor starts at once, but for a timer that has to fire.
    while house
        .engine
        .actors(9)
        .iter()
        .all(|actor| actor.kind != "webhook" || actor.restarts == 0)
    {
        house.pass(Duration::from_millis(1)).await;
    }
    let mut seen = vec![1];
    while seen.len() < 5 {
        let position = sink.answer(204).await;
        if !seen.contains(&position) {
            seen.push(position);
        }
    }
    house
        .until_status(id, |status| status.cursor.get() == 5)
        .await;
}
