//! Several nodes on one database.

use std::{sync::Arc, time::Duration};

use domain::{chain, fence::Fence, position::Position, region::Region};
use futures_util::future::join_all;

use super::{super::PostgresLog, ground::Database};
use crate::{
    PostgresOptions, StoreError,
    log::{
        Dispatch, RegionLog, Write, WriteError,
        conformance::author::{Author, commit, commit_one, positions, read_all, tenant},
    },
};

/// A mark of a tenant's webhooks, under a fence.
fn mark(number: u128, fence: u64, position: u64) -> Write {
    Write::Dispatch(Dispatch {
        tenant: tenant(number),
        fence: Fence::new(fence),
        position: Position::new(position),
        woken: Vec::new(),
        rested: Vec::new(),
    })
}

/// Appends one event to each of the tenants in one commit; answers how many went in.
async fn append_to_all(log: &dyn RegionLog, numbers: &[u128]) -> usize {
    let mut parts = Vec::new();
    for number in numbers {
        let mut author = Author::new(*number);
        let head = log.head(author.tenant).await.unwrap();
        author.events(usize::try_from(head.get()).unwrap());
        let events = author.events(1);
        parts.push(Write::Append(author.append(events)));
    }
    let outcomes = log.commit(&parts).await.unwrap();
    for outcome in &outcomes {
        let is_expected = matches!(outcome, Ok(()) | Err(WriteError::HeadMoved { .. }));
        assert!(is_expected, "{outcome:?}");
    }
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_write_the_same_tenants_write_one_line_each() {
    const COMMITS: usize = 60;

    let database = Database::new().await;
    let mut tasks = Vec::new();
    for numbers in [[1, 2, 3, 4], [4, 3, 2, 1]] {
        let log = Arc::new(database.log().await);
        // Two committers on each node; all of them lock the same rows, named in different orders.
        for _ in 0..2 {
            let log = Arc::clone(&log);
            tasks.push(tokio::spawn(async move {
                let mut written = 0;
                for _ in 0..COMMITS {
                    written += append_to_all(&*log, &numbers).await;
                }
                written
            }));
        }
    }
    let written: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    let log = database.log().await;
    let mut found = 0;
    for number in 1..=4 {
        let events = read_all(&log, tenant(number)).await;
        assert_eq!(
            positions(&events),
            (1..).take(events.len()).collect::<Vec<_>>()
        );
        for pair in events.windows(2) {
            assert_eq!(pair[1].prev_hash, pair[0].hash);
            assert_eq!(chain::hash_event(tenant(number), &pair[1]), pair[1].hash);
        }
        found += events.len();
    }
    assert_eq!(found, written);
    assert!(
        written >= COMMITS,
        "somebody must have got through: {written}"
    );
}

#[tokio::test]
async fn a_fence_that_one_node_raised_holds_for_the_other() {
    let database = Database::new().await;
    let (old, new) = (database.log().await, database.log().await);
    commit_one(&old, mark(1, 1, 1)).await;
    commit_one(&new, mark(1, 2, 0)).await;
    let outcomes = commit(&old, &[mark(1, 1, 9), mark(2, 1, 9)]).await;
    let is_fenced =
        matches!(outcomes[0], Err(WriteError::Fenced { held }) if held == Fence::new(2));
    assert!(is_fenced && outcomes[1].is_ok(), "{outcomes:?}");
    let found = new.dispatched(tenant(1)).await.unwrap();
    assert_eq!(found, Some(Position::new(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_number_the_same_newcomers_agree() {
    let database = Database::new().await;
    let logs = join_all((0..4).map(|_| database.log())).await;
    let numbers: Vec<u128> = (1..=50).collect();
    let tasks = logs.into_iter().enumerate().map(|(node, log)| {
        let mut numbers = numbers.clone();
        numbers.rotate_left(node * 13);
        tokio::spawn(async move { append_to_all(&log, &numbers).await })
    });
    join_all(tasks).await.into_iter().for_each(|done| {
        done.unwrap();
    });
    let client = database.look().await;
    let row = client
        .query_one(
            "SELECT count(*), (SELECT count(*) FROM streams) FROM tenants",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (50, 50));
    let log = database.log().await;
    for number in numbers {
        let found = positions(&read_all(&log, tenant(number)).await);
        assert!(!found.is_empty() && found.len() <= 4, "{found:?}");
    }
}

#[tokio::test]
async fn a_tenant_that_somebody_keeps_locked_is_unavailable_and_no_other() {
    let database = Database::new().await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(300),
        ..database.options()
    };
    let log = PostgresLog::open(&options, Region::Au).await.unwrap();
    let (mut kept, mut free) = (Author::new(1), Author::new(2));
    kept.write(&log, 1).await;
    let client = database.look().await;
    client
        .batch_execute("BEGIN; SELECT no FROM tenants WHERE no = 1 FOR UPDATE")
        .await
        .unwrap();
    let events = kept.events(1);
    let parts = [Write::Append(kept.append(events))];
    let (refused, ()) = tokio::join!(log.commit(&parts), async {
        free.write(&log, 1).await;
    });
    let is_unavailable = matches!(refused, Err(StoreError::Unavailable(_)));
    assert!(is_unavailable, "{refused:?}");

    client.batch_execute("ROLLBACK").await.unwrap();
    let outcomes = commit(&log, &parts).await;
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    assert_eq!(read_all(&log, tenant(1)).await.len(), 2);
    assert_eq!(read_all(&log, tenant(2)).await.len(), 1);
}

#[tokio::test]
async fn readers_do_not_keep_a_commit_waiting() {
    let database = Database::new().await;
    let log = database.log().await;
    // Every connection for reading is taken and not given back.
    let mut taken = Vec::new();
    while log.reader.pool.status().available > 0 || taken.len() < log.reader.pool.status().max_size
    {
        taken.push(log.reader.pool.get().await.unwrap());
    }
    Author::new(1).write(&log, 1).await;
    drop(taken);
    assert_eq!(read_all(&log, tenant(1)).await.len(), 1);
}
