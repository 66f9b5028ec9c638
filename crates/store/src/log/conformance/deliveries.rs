//! Attempts, exceptions and the lists that people see.

use std::time::Duration;

use bytes::Bytes;
use domain::{breaker::Breaker, fence::Fence, position::Position};

use super::{
    Ground,
    author::{commit, commit_one, received_at, tenant},
};
use crate::log::{
    Attempt, DeadLetterQuery, Delivery, DeliveryQuery, DeliveryState, Exception, RegionLog, Settle,
    WebhookNo, WebhookProgress, Write,
};
use DeliveryState::{Dead, Delivered, Retrying};

/// A webhook of tenant 1.
pub const HOOK: WebhookNo = WebhookNo(7);
/// Another one.
pub const OTHER: WebhookNo = WebhookNo((1 << 34) - 1);

/// One attempt, made when the event with the number of `position * 10 + attempt` was received.
pub fn attempt(position: u64, attempt: u32, state: DeliveryState) -> Attempt {
    let failed = state != Delivered;
    Attempt {
        position: Position::new(position),
        attempt,
        at: received_at(position * 10 + u64::from(attempt)),
        duration: Duration::from_micros(1_234),
        status: Some(if failed { 500 } else { 200 }),
        error: failed.then(|| "the target answered 500".into()),
        response: Bytes::from_static(b"\xff\x00 not text"),
        state,
    }
}

/// One exception after so many attempts, due at the number of its position.
pub fn exception(webhook: WebhookNo, position: u64, state: DeliveryState) -> Exception {
    Exception {
        webhook,
        position: Position::new(position),
        state,
        attempts: 1,
        at: received_at(10_000 - position),
        last_status: None,
        last_error: Some("connection refused".into()),
    }
}

/// Outcomes that end with the cursor at a position.
pub fn settle(webhook: WebhookNo, cursor: u64) -> Settle {
    Settle {
        tenant: tenant(1),
        fence: Fence::FIRST,
        progress: WebhookProgress {
            webhook,
            cursor: Position::new(cursor),
            has_work: true,
            breaker: Breaker::default(),
        },
        attempts: Vec::new(),
        exceptions: Vec::new(),
        cleared: Vec::new(),
    }
}

/// Event 1 delivered, 2 delivered at the second attempt, 3 retrying, 4 dead after two attempts, 5 delivered.
async fn some_of_each(log: &dyn RegionLog) {
    let mut first = settle(HOOK, 5);
    first.attempts = vec![
        attempt(1, 1, Delivered),
        attempt(2, 1, Retrying),
        attempt(3, 1, Retrying),
        attempt(4, 1, Retrying),
        attempt(5, 1, Delivered),
    ];
    first.exceptions = [2, 3, 4].map(|at| exception(HOOK, at, Retrying)).to_vec();
    let mut second = settle(HOOK, 5);
    second.attempts = vec![attempt(2, 2, Delivered), attempt(4, 2, Dead)];
    second.exceptions = vec![Exception {
        attempts: 2,
        ..exception(HOOK, 4, Dead)
    }];
    second.cleared = vec![Position::new(2)];
    for part in [first, second] {
        commit_one(log, Write::Settle(part)).await;
    }
}

fn listed(deliveries: &[Delivery]) -> Vec<(u64, DeliveryState, u32)> {
    deliveries
        .iter()
        .map(|delivery| (delivery.position.get(), delivery.state, delivery.attempts))
        .collect()
}

fn all_of(webhook: WebhookNo) -> DeliveryQuery {
    DeliveryQuery {
        webhook,
        before: None,
        state: None,
        limit: 100,
    }
}

pub async fn attempts_are_listed_by_event_with_the_newest_first(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;

    let mut query = all_of(HOOK);
    let all = log.deliveries(tenant(1), &query).await.unwrap();
    let expected = [
        (5, Delivered, 1),
        (4, Dead, 2),
        (3, Retrying, 1),
        (2, Delivered, 2),
        (1, Delivered, 1),
    ];
    assert_eq!(listed(&all), expected);
    assert_eq!(all[1].last_at, received_at(42));
    assert_eq!(
        (all[1].next_at, all[2].next_at),
        (None, Some(received_at(9_997)))
    );
    assert_eq!(
        (all[2].last_at, all[2].last_status),
        (received_at(31), None)
    );
    assert_eq!(
        (all[3].last_at, all[3].last_status),
        (received_at(22), Some(200))
    );

    query.limit = 2;
    let mut seen = Vec::new();
    loop {
        let page = log.deliveries(tenant(1), &query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.before = Some(last.position);
        seen.extend(listed(&page));
    }
    assert_eq!(seen, expected);
    assert_eq!(log.deliveries(tenant(1), &all_of(OTHER)).await.unwrap(), []);
}

pub async fn a_delivery_shows_all_its_attempts(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;
    let mut untried = settle(HOOK, 9);
    untried.exceptions = vec![exception(HOOK, 9, Dead)];
    commit_one(&*log, Write::Settle(untried)).await;

    let one = async |at| {
        log.delivery(tenant(1), HOOK, Position::new(at))
            .await
            .unwrap()
    };
    let (delivery, attempts) = one(4).await.unwrap();
    assert_eq!(attempts, [attempt(4, 1, Retrying), attempt(4, 2, Dead)]);
    assert_eq!((delivery.state, delivery.attempts), (Dead, 2));
    let (delivery, attempts) = one(2).await.unwrap();
    assert_eq!(
        attempts,
        [attempt(2, 1, Retrying), attempt(2, 2, Delivered)]
    );
    assert_eq!((delivery.state, delivery.next_at), (Delivered, None));
    let (delivery, attempts) = one(9).await.unwrap();
    assert_eq!((delivery.state, attempts.len()), (Dead, 0));
    assert_eq!(one(6).await, None);
    let list = log.deliveries(tenant(1), &all_of(HOOK)).await.unwrap();
    assert_eq!(list[0], delivery);
}

pub async fn an_attempt_logged_twice_is_one_attempt(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut part = settle(HOOK, 1);
    part.attempts = vec![attempt(1, 1, Delivered)];
    commit_one(&*log, Write::Settle(part.clone())).await;
    let outcomes = commit(&*log, &[Write::Settle(part.clone()), Write::Settle(part)]).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let (_, attempts) = log
        .delivery(tenant(1), HOOK, Position::new(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(attempts, [attempt(1, 1, Delivered)]);
}

pub async fn deliveries_are_filtered_by_state(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;
    for (state, expected) in [
        (Delivered, &[5, 2, 1][..]),
        (Retrying, &[3]),
        (Dead, &[4]),
        (DeliveryState::Pending, &[]),
    ] {
        let query = DeliveryQuery {
            state: Some(state),
            ..all_of(HOOK)
        };
        let page = log.deliveries(tenant(1), &query).await.unwrap();
        let found: Vec<u64> = page
            .iter()
            .map(|delivery| delivery.position.get())
            .collect();
        assert_eq!(found, expected, "{state:?}");
        assert!(page.iter().all(|delivery| delivery.state == state));
    }
}

pub async fn settled_positions_above_a_cursor_are_known(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;
    let mut dead_untried = settle(HOOK, 5);
    dead_untried.exceptions = vec![exception(HOOK, 9, Dead)];
    commit_one(&*log, Write::Settle(dead_untried)).await;

    let above = async |cursor| {
        let found = log
            .settled_above(tenant(1), HOOK, Position::new(cursor))
            .await
            .unwrap();
        found.into_iter().map(Position::get).collect::<Vec<_>>()
    };
    assert_eq!(above(0).await, [1, 2, 4, 5, 9]);
    assert_eq!(above(4).await, [5, 9]);

    // A dead letter that is tried again is not settled until that has ended.
    let mut again = settle(HOOK, 5);
    again.exceptions = vec![exception(HOOK, 4, Retrying)];
    commit_one(&*log, Write::Settle(again)).await;
    assert_eq!(above(0).await, [1, 2, 5, 9]);
}

pub async fn retrying_deliveries_come_soonest_first(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut part = settle(HOOK, 0);
    part.exceptions = [4, 9, 6].map(|at| exception(HOOK, at, Retrying)).to_vec();
    part.exceptions.push(exception(HOOK, 10, Dead));
    let mut other = settle(OTHER, 0);
    other.exceptions = vec![exception(OTHER, 8, Retrying)];
    commit(&*log, &[Write::Settle(part.clone()), Write::Settle(other)]).await;

    let found = log.retrying(tenant(1), HOOK, 10).await.unwrap();
    let expected = [
        &part.exceptions[1],
        &part.exceptions[2],
        &part.exceptions[0],
    ]
    .map(Clone::clone);
    assert_eq!(found, expected);
    assert_eq!(
        log.retrying(tenant(1), HOOK, 1).await.unwrap(),
        expected[..1]
    );
}

pub async fn dead_letters_are_paged_over_all_webhooks(ground: &dyn Ground) {
    let log = ground.open().await;
    for webhook in [HOOK, OTHER] {
        let mut part = settle(webhook, 0);
        part.exceptions = (1..=5).map(|at| exception(webhook, at, Dead)).collect();
        part.exceptions.push(exception(webhook, 6, Retrying));
        commit_one(&*log, Write::Settle(part)).await;
    }
    let pages = async |mut query: DeadLetterQuery| {
        let mut seen = Vec::new();
        loop {
            let page = log.dead_letters(tenant(1), &query).await.unwrap();
            let Some(last) = page.last() else {
                return seen;
            };
            query.after = Some((last.position, last.webhook));
            seen.extend(
                page.iter()
                    .map(|letter| (letter.position.get(), letter.webhook)),
            );
        }
    };
    let all = DeadLetterQuery {
        webhook: None,
        after: None,
        from: None,
        to: None,
        limit: 3,
    };
    let both: Vec<_> = (1..=5)
        .rev()
        .flat_map(|at| [(at, OTHER), (at, HOOK)])
        .collect();
    assert_eq!(pages(all.clone()).await, both);
    let of_one = DeadLetterQuery {
        webhook: Some(HOOK),
        ..all.clone()
    };
    assert_eq!(
        pages(of_one.clone()).await,
        [5, 4, 3, 2, 1].map(|at| (at, HOOK))
    );
    let between = DeadLetterQuery {
        from: Some(Position::new(2)),
        to: Some(Position::new(3)),
        ..of_one
    };
    assert_eq!(pages(between).await, [(3, HOOK), (2, HOOK)]);
    let one = log.dead_letters(tenant(1), &all).await.unwrap();
    assert_eq!(one[1], exception(HOOK, 5, Dead));
}

pub async fn a_cleared_exception_is_gone(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;
    let mut part = settle(HOOK, 5);
    part.cleared = vec![Position::new(3), Position::new(4), Position::new(99)];
    commit_one(&*log, Write::Settle(part)).await;
    assert_eq!(log.retrying(tenant(1), HOOK, 10).await.unwrap(), []);
    let query = DeadLetterQuery {
        webhook: Some(HOOK),
        after: None,
        from: None,
        to: None,
        limit: 10,
    };
    assert_eq!(log.dead_letters(tenant(1), &query).await.unwrap(), []);
}

pub async fn standings_tell_the_worst_over_all_webhooks(ground: &dyn Ground) {
    let log = ground.open().await;
    some_of_each(&*log).await;
    let mut other = settle(OTHER, 9);
    other.attempts = (1..=4).map(|at| attempt(at, 1, Delivered)).collect();
    other.exceptions = vec![exception(OTHER, 1, Retrying), exception(OTHER, 8, Dead)];
    commit_one(&*log, Write::Settle(other)).await;

    let asked = [9, 8, 4, 3, 2, 1, 1].map(Position::new);
    let found = log.standings(tenant(1), &asked).await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|(at, state)| (at.get(), state))
        .collect();
    assert_eq!(
        found,
        [
            (1, Retrying),
            (2, Delivered),
            (3, Retrying),
            (4, Dead),
            (8, Dead)
        ]
    );
}
