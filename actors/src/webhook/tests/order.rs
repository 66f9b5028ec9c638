//! Webhooks that ask for order.

use std::time::Duration;

use super::{house::House, sink::Sink};

#[actix::test]
async fn events_with_one_key_go_one_at_a_time_and_others_flow_past() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","ordered":true"#).await;
    house.ingest(&["a/k", "a/k", "a/m", "a"]).await;
    let mut held = None;
    for _ in 0..3 {
        let request = sink.next().await;
        match request.position() {
            1 => held = Some(request),
            3 | 4 => request.answer(204),
            other => panic!("{other} came before 1 was settled"),
        }
    }
    house.until_status(id, |status| status.in_flight == 1).await;
    assert!(sink.is_quiet());
    held.unwrap().answer(204);
    assert_eq!(sink.take(1).await, [2]);
    house.settled(id, 4).await;
}

#[actix::test]
async fn what_waits_for_another_attempt_holds_its_key_also_after_a_restart() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","ordered":true"#).await;
    house.ingest(&["a/k", "a/k"]).await;
    assert_eq!(sink.answer(500).await, 1);
    house.until_status(id, |status| status.retrying == 1).await;
    let house = house.kill_and_restart().await;
    house.until_status(id, |status| status.retrying == 1).await;
    house.ingest(&["a/m"]).await;
    assert_eq!(sink.take(1).await, [3]);
    assert!(sink.is_quiet());
    house.pass(Duration::from_secs(61)).await;
    assert_eq!(sink.take(2).await, [1, 2]);
    house.settled(id, 3).await;
}

#[actix::test]
async fn a_dead_letter_lets_the_next_one_with_its_key_go() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","ordered":true"#).await;
    house.ingest(&["a/k", "a/k"]).await;
    assert_eq!(sink.answer(404).await, 1);
    assert_eq!(sink.take(1).await, [2]);
    house.settled(id, 2).await;
}
