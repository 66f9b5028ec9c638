//! Fences: who was replaced writes no more.

use domain::{fence::Fence, position::Position};

use super::{
    Ground,
    author::{Author, commit, commit_one, read_all, tenant},
    deliveries::{HOOK, settle},
    outcomes::replay,
};
use crate::log::{Consume, Consumer, ConsumerName, Dispatch, Write, WriteError};

/// A mark of a tenant's webhooks at a position, under a fence.
fn mark(number: u128, fence: u64, position: u64) -> Write {
    Write::Dispatch(Dispatch {
        tenant: tenant(number),
        fence: Fence::new(fence),
        position: Position::new(position),
        woken: Vec::new(),
        rested: Vec::new(),
    })
}

fn consumer_name() -> ConsumerName {
    ConsumerName {
        workspace: None,
        name: "reader".into(),
    }
}

/// One part of tenant 1 of each kind that carries a fence.
fn parts_of_each_kind(fence: u64) -> Vec<Write> {
    let (fence_no, fence) = (fence, Fence::new(fence));
    let mut settled = settle(HOOK, 9);
    settled.fence = fence;
    vec![
        Write::Settle(settled),
        mark(1, fence_no, 9),
        Write::Consume(Consume {
            tenant: tenant(1),
            fence,
            name: consumer_name(),
            standing: Consumer::default(),
        }),
        Write::Replay {
            tenant: tenant(1),
            fence,
            replay: replay(1, HOOK),
        },
        Write::ForgetWebhook {
            tenant: tenant(1),
            fence,
            webhook: HOOK,
        },
    ]
}

/// The fence that a part was refused for.
fn held(outcome: &Result<(), WriteError>) -> Option<u64> {
    match outcome {
        Err(WriteError::Fenced { held }) => Some(held.get()),
        Ok(())
        | Err(
            WriteError::HeadMoved { .. }
            | WriteError::DeviceFenced { .. }
            | WriteError::AnswerTaken
            | WriteError::Store(_),
        ) => None,
    }
}

pub async fn a_lower_fence_is_refused_and_the_held_one_named(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, mark(1, 5, 3)).await;
    for fence in [1, 4] {
        let outcomes = commit(&*log, &[mark(1, fence, 8)]).await;
        assert_eq!(held(&outcomes[0]), Some(5), "{outcomes:?}");
    }
    let found = log.dispatched(tenant(1)).await.unwrap();
    assert_eq!(found, Some(Position::new(3)));
}

pub async fn equal_and_higher_fences_pass(ground: &dyn Ground) {
    let log = ground.open().await;
    for (position, fence) in (1..).zip([1, 1, 2, 2, 9, 1 << 40, 1 << 40]) {
        commit_one(&*log, mark(1, fence, position)).await;
        let found = log.dispatched(tenant(1)).await.unwrap();
        assert_eq!(found, Some(Position::new(position)));
    }
}

pub async fn an_append_needs_no_fence(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 1).await;
    commit_one(&*log, mark(1, 7, 1)).await;
    author.write(&*log, 2).await;
    assert_eq!(read_all(&*log, author.tenant).await.len(), 3);
    // Nor does it lower the one that is held.
    let outcomes = commit(&*log, &[mark(1, 6, 3)]).await;
    assert_eq!(held(&outcomes[0]), Some(7));
}

pub async fn a_fenced_part_takes_nothing_of_others_with_it(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, mark(1, 5, 3)).await;
    let (mut author, mut bystander) = (Author::new(1), Author::new(2));
    let (own, beside) = (author.events(2), bystander.events(2));
    let parts = [
        Write::Append(author.append(own)),
        mark(1, 4, 8),
        mark(2, 1, 2),
        mark(3, 2, 2),
        Write::Append(bystander.append(beside)),
    ];
    let outcomes = commit(&*log, &parts).await;
    let refused: Vec<_> = outcomes.iter().map(held).collect();
    assert_eq!(refused, [None, Some(5), None, None, None]);
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() == 4);
    assert_eq!(read_all(&*log, tenant(1)).await.len(), 2);
    assert_eq!(read_all(&*log, tenant(2)).await.len(), 2);
    for (number, position) in [(1, 3), (2, 2), (3, 2)] {
        let found = log.dispatched(tenant(number)).await.unwrap();
        assert_eq!(found, Some(Position::new(position)), "{number}");
    }
}

pub async fn every_part_but_an_append_is_fenced(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, mark(1, 3, 1)).await;
    let outcomes = commit(&*log, &parts_of_each_kind(2)).await;
    let refused: Vec<_> = outcomes.iter().map(held).collect();
    assert_eq!(refused, vec![Some(3); outcomes.len()]);
    let progress = log.webhook_progress(tenant(1)).await.unwrap();
    let replays = log.replays(tenant(1), false, 9).await.unwrap();
    let consumer = log.consumer(tenant(1), &consumer_name()).await.unwrap();
    assert_eq!((progress, replays, consumer), (vec![], vec![], None));

    let outcomes = commit(&*log, &parts_of_each_kind(3)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

pub async fn a_raised_fence_holds_for_the_parts_after_it(ground: &dyn Ground) {
    let log = ground.open().await;
    // The stale append makes the log look its tenant up anew, in the midst of the commit.
    Author::new(1).write(&*log, 1).await;
    let lost = Author::new(1).events(1);
    let parts = [
        mark(1, 1, 1),
        mark(1, 4, 2),
        Write::Append(Author::new(1).append(lost)),
        mark(1, 3, 3),
        mark(1, 6, 4),
        mark(1, 4, 5),
        mark(2, 2, 1),
        mark(2, 1, 2),
    ];
    let outcomes = commit(&*log, &parts).await;
    let refused: Vec<_> = outcomes.iter().map(held).collect();
    let expected = [None, None, None, Some(4), None, Some(6), None, Some(2)];
    assert_eq!(refused, expected);
    let found = log.dispatched(tenant(1)).await.unwrap();
    assert_eq!(found, Some(Position::new(4)));
    let outcomes = commit(&*log, &[mark(1, 5, 9), mark(2, 1, 9)]).await;
    let refused: Vec<_> = outcomes.iter().map(held).collect();
    assert_eq!(refused, [Some(6), Some(2)]);
}

pub async fn fences_survive_reopening(ground: &dyn Ground) {
    let log = ground.open().await;
    commit_one(&*log, mark(1, 8, 1)).await;
    log.close().await;
    let log = ground.open().await;
    let outcomes = commit(&*log, &[mark(1, 7, 9), mark(1, 8, 2)]).await;
    let refused: Vec<_> = outcomes.iter().map(held).collect();
    assert_eq!(refused, [Some(8), None]);
}
