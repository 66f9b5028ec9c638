//! Events that have outlived their retention, and what the engine's parts make of that.

use std::time::Duration;

use domain::{event::Event, position::Position};
use store::log::ConsumerName;

use super::{house::House, sink::Sink};
use crate::{engine::EngineError, tenant::Acknowledgement};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps the events of the only workspace for a day.
pub(crate) async fn keep_for_a_day(house: &House) {
    house
        .engine
        .update_workspace(house.id(), house.workspace, "Short".into(), Some(1), None)
        .await
        .unwrap();
}

/// Removes what has outlived its time. Its pauses need a clock that moves.
pub(crate) async fn remove(house: &House) {
    let removing = house.engine.remove_outlived_in(house.tenant.region);
    tokio::pin!(removing);
    loop {
        tokio::select! {
            biased;
            () = &mut removing => return,
            () = tokio::task::yield_now() => house.pass(Duration::from_millis(1)).await,
        }
    }
}

async fn kept(house: &House) -> Vec<Event> {
    let all = house
        .log
        .read_after(house.id(), Position::ZERO, 1_000, usize::MAX);
    all.await.unwrap()
}

fn positions(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.position.get()).collect()
}

#[actix::test]
async fn nothing_goes_that_nobody_gave_an_end() {
    let house = House::open().await;
    house.ingest_many("a", 3).await;
    house.pass(DAY * 3_650).await;
    remove(&house).await;
    assert_eq!(kept(&house).await.len(), 3);
}

#[actix::test]
async fn readers_and_proofs_go_on_with_what_is_kept() {
    let house = House::open().await;
    keep_for_a_day(&house).await;
    house.ingest_many("old", 3).await;
    let region = house.tenant.region;
    // Signed once, and not for a long time after.
    let checkpoint = || house.engine.checkpoint(house.id(), region, house.workspace);
    assert_eq!(checkpoint().await.unwrap().checkpoint.size, 3);
    house.ingest_many("old", 300).await;
    let old = kept(&house).await;
    house.pass(DAY * 2).await;
    house.ingest_many("new", 3).await;
    remove(&house).await;

    let events = kept(&house).await;
    assert_eq!(positions(&events), [304, 305, 306]);
    let gone = house.engine.event(house.id(), old[0].id).await;
    assert!(matches!(gone, Err(EngineError::NotFound("event"))));
    let gone = house.engine.proof(house.id(), old[302].id).await;
    assert!(matches!(gone, Err(EngineError::NotFound("event"))));
    for event in &events {
        let proof = house.engine.proof(house.id(), event.id).await.unwrap();
        assert_eq!(proof.checkpoint.checkpoint.size, 306);
    }
    let name = ConsumerName {
        workspace: None,
        name: "c".into(),
    };
    let one = |position| Acknowledgement::One(Position::new(position));
    let acknowledge = |what| house.engine.acknowledge(house.id(), name.clone(), what);
    assert_eq!(
        acknowledge(one(305)).await.unwrap().cursor,
        Position::new(303)
    );
    assert_eq!(
        acknowledge(one(304)).await.unwrap().cursor,
        Position::new(305)
    );

    // All of it goes, and the log goes on, in another process, too.
    house.pass(DAY * 2).await;
    remove(&house).await;
    assert_eq!(kept(&house).await, []);
    let oldest = house.engine.oldest(house.id(), region).await.unwrap();
    assert_eq!(oldest, Position::new(307));
    let house = house.kill_and_restart().await;
    house.ingest_many("newer", 1).await;
    let events = kept(&house).await;
    assert_eq!((positions(&events), events[0].seq.get()), (vec![307], 307));
    let proof = house.engine.proof(house.id(), events[0].id).await.unwrap();
    assert_eq!(proof.checkpoint.checkpoint.size, 307);
}

#[actix::test]
async fn nothing_goes_of_a_log_that_does_not_continue_what_was_signed() {
    let house = House::open().await;
    keep_for_a_day(&house).await;
    house.ingest_many("old", 3).await;
    let region = house.tenant.region;
    let signing = house.engine.checkpoint(house.id(), region, house.workspace);
    signing.await.unwrap();
    house.pass(DAY * 2).await;
    let signed = std::fs::read_to_string(house.signed()).unwrap();
    let zeros = "0".repeat(64);
    // Of the same length, shorter than it was, and not to be read.
    let others = [
        format!(r#"{{"size":3,"root":"{zeros}"}}"#),
        format!(r#"{{"size":4,"root":"{zeros}"}}"#),
        "{".to_owned(),
    ];
    for other in others {
        std::fs::write(house.signed(), &other).unwrap();
        remove(&house).await;
        assert_eq!(kept(&house).await.len(), 3, "{other}");
        assert_eq!(std::fs::read_to_string(house.signed()).unwrap(), other);
    }
    std::fs::write(house.signed(), signed).unwrap();
    remove(&house).await;
    assert_eq!(kept(&house).await, []);
}

#[actix::test]
async fn what_a_deleted_workspace_holds_goes_when_its_time_is_over() {
    let house = House::open().await;
    keep_for_a_day(&house).await;
    house.ingest_many("old", 3).await;
    house
        .control
        .delete_workspace(
            house.id(),
            house.workspace,
            house.engine.clock().now(),
            None,
        )
        .await
        .unwrap();
    remove(&house).await;
    assert_eq!(kept(&house).await.len(), 3);
    house.pass(DAY * 2).await;
    remove(&house).await;
    assert_eq!(kept(&house).await, []);
}

#[actix::test]
async fn a_retry_whose_event_is_gone_ends_and_what_comes_after_is_delivered() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    keep_for_a_day(&house).await;
    let late = r#","retry":{"schedule":[0,200000]},"ordered":true"#;
    let webhook = house.webhook(&sink.url, late).await;
    house.ingest(&["a/k"]).await;
    assert_eq!(sink.answer(503).await, 1);
    house
        .until_status(webhook, |status| status.retrying == 1)
        .await;
    house.pass(DAY + Duration::from_secs(60)).await;
    remove(&house).await;
    assert_eq!(kept(&house).await, []);
    house.ingest(&["b/k"]).await;
    house.pass(DAY * 2).await;
    assert_eq!(sink.answer(200).await, 2);
    house.settled(webhook, 2).await;
    assert_eq!(
        house.deliveries(webhook).await,
        [(2, 1, "delivered".to_owned())]
    );
}
