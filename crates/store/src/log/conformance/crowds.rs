//! Many writers at once, and writers that go away.

use std::sync::Arc;

use domain::{chain, position::Position};
use futures_util::{FutureExt as _, future::join_all};

use super::{
    Ground,
    author::{Author, positions, read_all, tenant},
};
use crate::log::{RegionLog, Write};

pub async fn concurrent_commits_of_many_tenants_leave_no_hole_and_no_fork(ground: &dyn Ground) {
    const COMMITTERS: u128 = 32;
    const COMMITS: usize = 20;

    let log = ground.open().await;
    let tasks = (1..=COMMITTERS).map(|number| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            // Two committers share each tenant: the one that loses a race starts again from the true head.
            let mut lost = 0;
            for round in 0..COMMITS {
                lost += append_somehow(&*log, number / 2, 1 + round % 3).await;
            }
            lost
        })
    });
    let lost: usize = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    for number in 0..=COMMITTERS / 2 {
        let events = read_all(&*log, tenant(number)).await;
        let expected: Vec<u64> = (1..).take(events.len()).collect();
        assert_eq!(positions(&events), expected, "{lost} races were lost");
        for pair in events.windows(2) {
            assert_eq!(pair[1].prev_hash, pair[0].hash);
            assert_eq!(pair[1].seq, pair[0].seq.next());
            assert_eq!(chain::hash_event(tenant(number), &pair[1]), pair[1].hash);
        }
    }
}

/// Appends onto whatever the head is, until that works; answers how often it did not.
async fn append_somehow(log: &dyn RegionLog, number: u128, count: usize) -> usize {
    let mut lost = 0;
    loop {
        let mut author = Author::new(number);
        let head = log.head(author.tenant).await.unwrap();
        author.events(usize::try_from(head.get()).unwrap());
        let events = author.events(count);
        let outcomes = log.commit(&[Write::Append(author.append(events))]).await;
        if outcomes.unwrap()[0].is_ok() {
            return lost;
        }
        lost += 1;
    }
}

pub async fn a_commit_that_is_given_up_midway_leaves_the_log_whole(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 1).await;
    for polls in 1..12 {
        let head = log.head(author.tenant).await.unwrap();
        let mut author = Author::new(1);
        author.events(usize::try_from(head.get()).unwrap());
        let events = author.events(300);
        let parts = [Write::Append(author.append(events))];
        let mut commit = log.commit(&parts);
        for _ in 0..polls {
            if (&mut commit).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
        // Whether it went through or not: the next one does, and there is all of it or nothing.
        Author::new(2 + polls).write(&*log, 1).await;
        let events = read_all(&*log, author.tenant).await;
        assert_eq!((events.len() - 1) % 300, 0);
        let end = Position::new(u64::try_from(events.len()).unwrap());
        assert_eq!(log.head(author.tenant).await.unwrap(), end);
    }
}
