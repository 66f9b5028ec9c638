//! Real actors on the test's own arbiter, on a real SQLite log and control plane in a folder of their own.

mod stand;

use std::collections::HashSet;

use bytes::Bytes;
use domain::{
    chain,
    event::Hash,
    plan::PlanName,
    position::{Position, Seq},
    template::Template,
};

use super::*;
use crate::placement::tests::stand::until;
use stand::{Stand, accepted, event, event_with};

#[actix::test]
async fn events_get_positions_without_holes_and_each_workspace_a_chain_of_its_own() {
    let stand = Stand::open().await;
    let other = stand.add_workspace("other").await;
    for round in 0..20 {
        let workspace = if round % 3 == 0 {
            other
        } else {
            stand.workspace
        };
        stand.ingest(vec![event(workspace)]).await.unwrap();
    }
    let events = stand.all().await;
    let positions: Vec<u64> = events.iter().map(|event| event.position.get()).collect();
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
    for workspace in [stand.workspace, other] {
        let (mut seq, mut prev) = (Seq::ZERO, Hash::default());
        for event in events.iter().filter(|event| event.workspace == workspace) {
            assert_eq!((event.seq, event.prev_hash), (seq.next(), prev));
            assert_eq!(chain::hash_event(stand.tenant, event), event.hash);
            (seq, prev) = (event.seq, event.hash);
        }
    }
}

#[actix::test]
async fn of_fifty_at_once_with_one_dedup_id_exactly_one_is_taken() {
    let stand = Stand::open().await;
    let asks = (0..50).map(|_| stand.ingest(vec![event_with(stand.workspace, "same")]));
    let outcomes = futures_util::future::join_all(asks).await;
    let mut ids = HashSet::new();
    let mut taken = 0;
    for items in outcomes {
        match &items.unwrap()[0] {
            Item::Accepted(event) => {
                taken += 1;
                ids.insert(event.id);
            }
            Item::Duplicate { existing } => {
                ids.insert(*existing);
            }
            other @ (Item::Rejected(_) | Item::NoWorkspace) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, ids.len()), (1, 1));
    assert_eq!(stand.all().await.len(), 1);
}

#[actix::test]
async fn a_dedup_id_is_remembered_across_a_restart_and_confined_to_its_workspace() {
    let stand = Stand::open().await;
    let first = accepted(
        &stand
            .ingest(vec![event_with(stand.workspace, "a")])
            .await
            .unwrap(),
    );
    let stand = stand.restart().await;
    let items = stand
        .ingest(vec![event_with(stand.workspace, "a")])
        .await
        .unwrap();
    assert!(matches!(items[0], Item::Duplicate { existing } if existing == first[0].id));
    let other = stand.add_workspace("other").await;
    let items = stand.ingest(vec![event_with(other, "a")]).await.unwrap();
    assert!(matches!(items[0], Item::Accepted(_)));
}

#[actix::test]
async fn a_dedup_id_twice_in_one_batch_is_taken_once() {
    let stand = Stand::open().await;
    let batch = vec![
        event_with(stand.workspace, "x"),
        event(stand.workspace),
        event_with(stand.workspace, "x"),
    ];
    let items = stand.ingest(batch).await.unwrap();
    let taken = accepted(&items);
    assert_eq!(taken.len(), 2);
    assert!(matches!(items[2], Item::Duplicate { existing } if existing == taken[0].id));
}

#[actix::test]
async fn a_second_writer_cannot_fork_the_log_and_the_first_goes_on_after_it() {
    let stand = Stand::open().await;
    stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    stand.append_as_another().await;
    let refused = stand.ingest(vec![event(stand.workspace)]).await;
    assert!(matches!(refused, Err(IngestError::Store(_))), "{refused:?}");
    let items = stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    let taken = &accepted(&items)[0];
    assert_eq!((taken.position, taken.seq), (Position::new(3), Seq::new(3)));
    let events = stand.all().await;
    assert_eq!(events[2].prev_hash, events[1].hash);
}

#[actix::test]
async fn events_after_an_append_that_failed_are_refused_although_their_place_is_free() {
    let stand = Stand::open().await;
    stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    stand.append_as_another().await;
    // The first goes alone and finds the other's event in its place; those after it are numbered from there.
    let ask_later = async |turns: usize| {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        stand.ingest(vec![event(stand.workspace)]).await
    };
    let asked = futures_util::future::join_all((0..20).map(|turn| ask_later(2 * turn))).await;
    assert!(matches!(asked[0], Err(IngestError::Store(_))), "{asked:?}");
    stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    let taken = asked.iter().filter(|outcome| outcome.is_ok()).count();
    let events = stand.all().await;
    assert_eq!(events.len(), 3 + taken);
    let (mut position, mut prev) = (Position::ZERO, Hash::default());
    for event in events {
        assert_eq!((event.position, event.prev_hash), (position.next(), prev));
        (position, prev) = (event.position, event.hash);
    }
}

#[actix::test]
async fn whenever_in_a_commit_an_event_comes_it_gets_its_place() {
    let stand = Stand::open().await;
    let turns = (0..200).map(async |turn| {
        for _ in 0..turn {
            tokio::task::yield_now().await;
        }
        stand
            .ingest(vec![event_with(stand.workspace, &turn.to_string())])
            .await
    });
    let asked = futures_util::future::join_all(turns).await;
    assert!(asked.iter().all(Result::is_ok));
    let positions: Vec<u64> = stand
        .all()
        .await
        .iter()
        .map(|event| event.position.get())
        .collect();
    assert_eq!(positions, (1..=200).collect::<Vec<_>>());
}

#[actix::test]
async fn after_a_panic_the_log_goes_on_where_it_was() {
    let stand = Stand::open().await;
    stand
        .ingest(vec![event_with(stand.workspace, "a")])
        .await
        .unwrap();
    assert!(stand.tenants.inject_panic(&stand.tenant));
    while stand.tenants.is_running(&stand.tenant) {
        tokio::task::yield_now().await;
    }
    let items = stand
        .ingest(vec![
            event_with(stand.workspace, "a"),
            event(stand.workspace),
        ])
        .await;
    let items = items.unwrap();
    assert!(matches!(items[0], Item::Duplicate { .. }));
    assert_eq!(accepted(&items)[0].position, Position::new(2));
}

#[actix::test]
async fn what_a_dead_actor_had_sent_to_the_disk_is_shown_by_its_successor() {
    let stand = Stand::open().await;
    for pauses in [0, 1, 3, 9] {
        let events = vec![event(stand.workspace)];
        let message = |reply| Ingest {
            events,
            idempotent: None,
            from: None,
            reply,
        };
        let answer = stand.tenants.post(&stand.tenant, message).unwrap();
        // Some rounds later than others: before, while and after the append is written.
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        stand.tenants.inject_panic(&stand.tenant);
        drop(answer);
        while stand.tenants.is_running(&stand.tenant) {
            tokio::task::yield_now().await;
        }
        let mut feed = None;
        // After some deaths the actor rests for a while.
        until(async || {
            let asked = stand
                .tenants
                .ask(&stand.tenant, |reply| Subscribe { reply });
            feed = asked.await.ok();
            feed.is_some()
        })
        .await;
        let feed = feed.unwrap().unwrap().unwrap();
        assert_eq!(feed.head(), stand.log.head(stand.tenant).await.unwrap());
    }
}

#[actix::test]
async fn an_idle_tenant_goes_to_rest_and_costs_nothing() {
    let stand = Stand::open().await;
    stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    until(async || stand.tenants.is_empty()).await;
    let items = stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    assert_eq!(accepted(&items)[0].position, Position::new(2));
}

#[actix::test]
async fn one_idempotency_key_has_one_effect_and_one_answer() {
    let stand = Stand::open().await;
    let asks = (0..20).map(|_| stand.ingest_once("key", "body"));
    let outcomes = futures_util::future::join_all(asks).await;
    let taken = outcomes
        .iter()
        .filter(|o| matches!(o, Ok(Ingested::Items(..))))
        .count();
    let waiting = outcomes
        .iter()
        .filter(|o| matches!(o, Err(IngestError::IdempotencyInFlight)))
        .count();
    assert_eq!((taken, waiting), (1, 19));
    let stand = stand.restart().await;
    let again = stand.ingest_once("key", "body").await.unwrap();
    let Ingested::Replayed(answer) = again else {
        panic!("{again:?}");
    };
    assert_eq!(
        (answer.status, answer.body),
        (202, Bytes::from_static(b"1 taken"))
    );
    let other = stand.ingest_once("key", "other body").await;
    assert!(
        matches!(other, Err(IngestError::IdempotencyMismatch)),
        "{other:?}"
    );
    assert_eq!(stand.all().await.len(), 1);
}

#[actix::test]
async fn a_plan_bounds_the_events_of_a_minute_all_or_none() {
    let stand = Stand::open_with(PlanName::Free).await;
    let batch = |count: usize| {
        (0..count)
            .map(|_| event(stand.workspace))
            .collect::<Vec<_>>()
    };
    stand.ingest(batch(60)).await.unwrap();
    let refused = stand.ingest(batch(60)).await;
    assert!(
        matches!(refused, Err(IngestError::RateLimited { .. })),
        "{refused:?}"
    );
    let refused = stand.ingest(batch(101)).await;
    assert!(
        matches!(refused, Err(IngestError::OverLimit { .. })),
        "{refused:?}"
    );
    stand.ingest(batch(40)).await.unwrap();
    assert_eq!(stand.all().await.len(), 100);
}

#[actix::test]
async fn a_changed_template_holds_for_the_next_event() {
    let stand = Stand::open().await;
    stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    let template = Template {
        require_project: true,
        ..Template::default()
    };
    stand.set_template(template).await;
    let items = stand.ingest(vec![event(stand.workspace)]).await.unwrap();
    assert!(matches!(&items[0], Item::Rejected(violations) if violations[0].pointer == "/project"));
    assert_eq!(stand.all().await.len(), 1);
}

#[actix::test]
async fn readers_see_what_was_answered_and_nothing_else() {
    let stand = Stand::open().await;
    let feed = stand.feed().await;
    for _ in 0..3 {
        let items = stand
            .ingest(vec![event(stand.workspace), event(stand.workspace)])
            .await;
        let last = accepted(&items.unwrap()).last().unwrap().position;
        assert_eq!(feed.head(), last);
    }
    let crate::feed::Read::Frames(frames) = feed.read(Position::new(2), 100) else {
        panic!("the ring is large enough");
    };
    let positions: Vec<u64> = frames
        .iter()
        .map(|frame| frame.event.position.get())
        .collect();
    assert_eq!(positions, [3, 4, 5, 6]);
}

#[actix::test]
async fn acknowledgements_survive_a_restart() {
    let stand = Stand::open().await;
    let batch = (0..5).map(|_| event(stand.workspace)).collect();
    stand.ingest(batch).await.unwrap();
    stand
        .acknowledge(Acknowledgement::One(Position::new(2)))
        .await
        .unwrap();
    stand
        .acknowledge(Acknowledgement::One(Position::new(1)))
        .await
        .unwrap();
    stand
        .acknowledge(Acknowledgement::One(Position::new(4)))
        .await
        .unwrap();
    let stand = stand.restart().await;
    let standing = stand
        .acknowledge(Acknowledgement::UpTo(Position::new(1)))
        .await
        .unwrap();
    assert_eq!(
        (standing.cursor, standing.acked),
        (Position::new(2), vec![Position::new(4)])
    );
    let beyond = stand
        .acknowledge(Acknowledgement::UpTo(Position::new(6)))
        .await;
    assert!(
        matches!(beyond, Err(AckError::BeyondHead { .. })),
        "{beyond:?}"
    );
}
