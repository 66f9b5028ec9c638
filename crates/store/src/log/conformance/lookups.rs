//! What a tenant's actor looks up: dedup ids, idempotent answers, chains, times.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    event::{Fields, Hash},
    merkle::TreeNode,
    position::{Position, Seq},
    time::Timestamp,
};

use super::{
    Ground,
    author::{Author, commit, commit_one, moved_head, received_at, workspace},
};
use crate::log::{IdempotentAnswer, Write, WriteError};

fn with_dedup_id(dedup_id: &str) -> Fields {
    Fields {
        dedup_id: Some(dedup_id.into()),
        ..Fields::default()
    }
}

fn answer(key: u8, expires_at: Timestamp) -> IdempotentAnswer {
    IdempotentAnswer {
        key_hash: [key; 32],
        request_hash: [key ^ 0xff; 32],
        status: 202,
        body: Bytes::from_static(b"{}"),
        expires_at,
    }
}

pub async fn dedup_ids_are_found_within_their_day_only(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let awkward = r#"it's "quoted", \ and 123"#;
    let events = vec![
        author.event_with(workspace(1), "a", with_dedup_id("same")),
        author.event_with(workspace(2), "a", with_dedup_id("same")),
        author.event_with(workspace(1), "a", with_dedup_id(awkward)),
        author.event_with(workspace(1), "a", with_dedup_id("same")),
        author.event(),
    ];
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;

    let wanted = [
        (workspace(1), "same".into()),
        (workspace(1), awkward.into()),
        (workspace(2), "same".into()),
        (workspace(3), "same".into()),
        (workspace(1), "other".into()),
    ];
    let found = |since| log.find_dedup_ids(author.tenant, &wanted, since);
    let mut all = found(Timestamp::from_micros(0)).await.unwrap();
    all.sort_by_key(|entry| entry.received_at);
    let ids: Vec<_> = all.iter().map(|entry| entry.event).collect();
    assert_eq!(ids, [events[1].id, events[2].id, events[3].id]);
    assert_eq!(&*all[1].dedup_id, awkward);
    assert_eq!(all[0].workspace, workspace(2));

    // `since` itself still counts; a microsecond later does not.
    let edge = received_at(4);
    assert_eq!(found(edge).await.unwrap().len(), 1);
    assert_eq!(
        found(edge.plus(Duration::from_micros(1))).await.unwrap(),
        []
    );
}

pub async fn the_newest_dedup_ids_come_first(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut events = Vec::new();
    for number in 0..6 {
        events.push(author.event());
        events.push(author.event_with(workspace(1), "a", with_dedup_id(&number.to_string())));
    }
    commit_one(&*log, Write::Append(author.append(events))).await;

    let recent = async |since, limit| {
        let entries = log
            .recent_dedup_ids(author.tenant, since, limit)
            .await
            .unwrap();
        let ids: Vec<String> = entries
            .iter()
            .map(|entry| entry.dedup_id.to_string())
            .collect();
        ids
    };
    assert_eq!(recent(received_at(8), 10).await, ["5", "4", "3"]);
    assert_eq!(recent(received_at(0), 2).await, ["5", "4"]);
    assert_eq!(recent(received_at(13), 10).await, [""; 0]);
}

pub async fn an_idempotent_answer_is_kept_until_it_expires(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let kept = answer(1, received_at(100));
    let events = author.events(1);
    let mut append = author.append(events);
    append.answers = vec![kept.clone(), answer(2, received_at(50))];
    commit_one(&*log, Write::Append(append)).await;

    let find = |key, now| log.idempotent_answer(author.tenant, [key; 32], now);
    assert_eq!(find(1, received_at(99)).await.unwrap(), Some(kept));
    assert_eq!(find(1, received_at(100)).await.unwrap(), None);
    assert_eq!(find(3, received_at(1)).await.unwrap(), None);
}

pub async fn a_taken_idempotency_key_fails_its_part_only(ground: &dyn Ground) {
    let log = ground.open().await;
    let (mut author, mut bystander) = (Author::new(1), Author::new(2));
    let part = |author: &mut Author, key| {
        let events = author.events(1);
        let mut append = author.append(events);
        append.answers = vec![answer(key, received_at(1_000))];
        Write::Append(append)
    };
    commit_one(&*log, part(&mut author, 7)).await;

    let parts = [part(&mut author, 7), part(&mut bystander, 7)];
    let outcomes = commit(&*log, &parts).await;
    assert!(
        matches!(outcomes[0], Err(WriteError::AnswerTaken)),
        "{outcomes:?}"
    );
    assert!(outcomes[1].is_ok(), "keys of another tenant are other keys");
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(1));

    // Within one commit the first takes it, and the second's events do not come.
    let mut third = Author::new(3);
    let parts = [
        part(&mut third, 8),
        part(&mut third, 8),
        part(&mut third, 9),
    ];
    let outcomes = commit(&*log, &parts).await;
    assert!(outcomes[0].is_ok());
    assert!(
        matches!(outcomes[1], Err(WriteError::AnswerTaken)),
        "{outcomes:?}"
    );
    assert_eq!(moved_head(&outcomes[2]), Some(Position::new(1)));
}

pub async fn an_expired_idempotency_key_can_be_taken_again(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    for (key_expires, expected) in [(10, true), (2_000, true), (3_000, false)] {
        // The second comes after the first has expired, the third before the second has.
        let skip = author.events(20);
        commit_one(&*log, Write::Append(author.append(skip))).await;
        let head = author.head();
        let events = author.events(1);
        let mut append = author.append(events);
        append.answers = vec![answer(7, received_at(key_expires))];
        let outcomes = commit(&*log, &[Write::Append(append)]).await;
        assert_eq!(outcomes[0].is_ok(), expected, "{outcomes:?} at {head}");
    }
    let found = log
        .idempotent_answer(author.tenant, [7; 32], received_at(50))
        .await
        .unwrap();
    assert_eq!(found, Some(answer(7, received_at(2_000))));
}

pub async fn chain_ends_and_leaves_are_kept_by_workspace(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut events = Vec::new();
    for number in 0..9 {
        events.push(author.event_with(workspace(number % 3), "a", Fields::default()));
    }
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;

    let end = log
        .chain_end(author.tenant, workspace(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((end.seq, end.hash), (Seq::new(3), events[7].hash));
    assert_eq!(
        log.chain_end(author.tenant, workspace(9)).await.unwrap(),
        None
    );
    let leaves =
        |from, to| log.leaf_hashes(author.tenant, workspace(1), Seq::new(from), Seq::new(to));
    assert_eq!(
        leaves(1, 3).await.unwrap(),
        [1, 4, 7].map(|at: usize| events[at].hash)
    );
    assert_eq!(leaves(2, 2).await.unwrap(), [events[4].hash]);
    assert_eq!(leaves(4, u64::MAX).await.unwrap(), []);
}

pub async fn tree_nodes_come_back_in_order(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let node = |level, index: u64| TreeNode {
        level,
        index,
        hash: Hash([level ^ u8::try_from(index).unwrap(); 32]),
    };
    let events = author.events(1);
    let mut append = author.append(events);
    append.nodes = [(8, 2), (8, 0), (16, 0), (8, 1)]
        .map(|(level, index)| (workspace(1), node(level, index)))
        .to_vec();
    append.nodes.push((workspace(2), node(8, 3)));
    commit_one(&*log, Write::Append(append)).await;

    let read = |level, from, to| log.tree_nodes(author.tenant, workspace(1), level, from, to);
    assert_eq!(
        read(8, 0, 9).await.unwrap(),
        [0, 1, 2].map(|index| node(8, index).hash)
    );
    assert_eq!(read(8, 1, 1).await.unwrap(), [node(8, 1).hash]);
    assert_eq!(read(16, 0, u64::MAX).await.unwrap(), [node(16, 0).hash]);
}

pub async fn a_position_is_found_by_time(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let tenant = author.tenant;
    let before = |time| log.position_before(tenant, time);
    assert_eq!(before(received_at(5)).await.unwrap(), Position::ZERO);
    let mut events = author.events(40);
    for event in &mut events[9..12] {
        event.received_at = received_at(10);
    }
    commit_one(&*log, Write::Append(author.append(events))).await;

    for position in 1..=40 {
        // Events 10, 11 and 12 were received at the same moment: none of them before it.
        let expected = if (11..=12).contains(&position) {
            12
        } else {
            position - 1
        };
        let found = log
            .position_before(author.tenant, received_at(position))
            .await
            .unwrap();
        assert_eq!(found, Position::new(expected), "{position}");
    }
    assert_eq!(
        before(Timestamp::from_micros(0)).await.unwrap(),
        Position::ZERO
    );
    assert_eq!(before(received_at(1_000)).await.unwrap(), Position::new(40));
    assert_eq!(
        log.oldest(author.tenant).await.unwrap(),
        Some(Position::new(1))
    );
}
