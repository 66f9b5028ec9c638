//! Replays of what was sent before.

use domain::{ids::WebhookId, position::Position};
use store::log::{Replay, ReplayState};

use super::{house::House, sink::Sink};
use crate::engine::{Moment, ReplayInput, ReplayStart};

fn all() -> ReplayInput {
    ReplayInput {
        from: None,
        to: None,
        types: Vec::new(),
        only_failed: false,
        dry_run: false,
    }
}

async fn start(house: &House, id: WebhookId, input: ReplayInput) -> Replay {
    match house
        .engine
        .start_replay(house.id(), None, id, input)
        .await
        .unwrap()
    {
        ReplayStart::Started(replay) => replay,
        ReplayStart::DryRun { .. } => panic!("it was to be started"),
    }
}

async fn ended(house: &House, id: WebhookId, replay: &Replay) -> Replay {
    loop {
        let now = house
            .engine
            .replay(house.id(), None, id, replay.id)
            .await
            .unwrap();
        if now.state != ReplayState::Running {
            return now;
        }
        tokio::task::yield_now().await;
    }
}

#[actix::test]
async fn a_replay_sends_a_range_again_as_further_attempts() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, "").await;
    house.ingest(&["a", "b", "a", "a"]).await;
    sink.take(4).await;
    house.settled(id, 4).await;
    let input = ReplayInput {
        from: Some(Moment::Position(Position::new(2))),
        types: vec!["a".into()],
        ..all()
    };
    let dry = ReplayInput {
        dry_run: true,
        ..input.clone()
    };
    let counted = house
        .engine
        .start_replay(house.id(), None, id, dry)
        .await
        .unwrap();
    assert_eq!(counted, ReplayStart::DryRun { total: 2 });
    let replay = start(&house, id, input).await;
    for position in [3, 4] {
        let request = sink.next().await;
        assert_eq!((request.position(), request.attempt()), (position, 2));
        request.answer(204);
    }
    let replay = ended(&house, id, &replay).await;
    assert_eq!((replay.total, replay.done, replay.failed), (2, 2, 0));
    assert!(sink.is_quiet());
}

#[actix::test]
async fn a_replay_of_what_failed_sends_dead_letters_only_and_clears_them() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 4).await;
    for status in [404, 204, 404, 204] {
        sink.answer(status).await;
    }
    house.settled(id, 4).await;
    let input = ReplayInput {
        only_failed: true,
        ..all()
    };
    let replay = start(&house, id, input).await;
    assert_eq!(replay.total, 2);
    assert_eq!(sink.answer(204).await, 1);
    assert_eq!(sink.answer(404).await, 3);
    let replay = ended(&house, id, &replay).await;
    assert_eq!((replay.done, replay.failed), (2, 1));
    let states: Vec<String> = house
        .deliveries(id)
        .await
        .into_iter()
        .map(|d| d.2)
        .collect();
    assert_eq!(states, ["delivered", "delivered", "dead", "delivered"]);
}

#[actix::test]
async fn a_replay_goes_on_after_a_restart_beside_what_is_new() {
    let (house, mut sink) = (House::open().await, Sink::start().await);
    let id = house.webhook(&sink.url, r#","max_in_flight":1"#).await;
    house.ingest_many("a", 3).await;
    sink.take(3).await;
    house.settled(id, 3).await;
    let replay = start(&house, id, all()).await;
    assert_eq!(sink.take(1).await, [1]);
    let house = house.kill_and_restart().await;
    let mut seen = Vec::new();
    house.ingest_many("a", 1).await;
    while !(seen.contains(&2) && seen.contains(&3) && seen.contains(&4)) {
        seen.push(sink.answer(204).await);
    }
    let replay = ended(&house, id, &replay).await;
    assert_eq!(replay.state, ReplayState::Completed);
    assert!(replay.done >= 3);
}
