//! Marks, progress, replays, and what the order of parts decides.

use std::time::Duration;

use domain::{breaker::Breaker, fence::Fence, ids::ReplayId, position::Position};
use uuid::Uuid;

use super::{
    Ground,
    author::{Author, commit, commit_one, received_at, tenant},
    deliveries::{HOOK, OTHER, attempt, exception, settle},
};
use crate::log::{
    DeadLetterQuery, DeliveryQuery, DeliveryState, Dispatch, RegionLog, Replay, ReplayState,
    WebhookNo, WebhookProgress, Write,
};

fn dispatch(position: u64, woken: &[(WebhookNo, u64)]) -> Write {
    let woken = woken.iter();
    Write::Dispatch(Dispatch {
        tenant: tenant(1),
        fence: Fence::FIRST,
        position: Position::new(position),
        woken: woken
            .map(|(webhook, at)| (*webhook, Position::new(*at)))
            .collect(),
        rested: Vec::new(),
    })
}

fn rest(webhook: WebhookNo) -> Write {
    Write::Dispatch(Dispatch {
        tenant: tenant(1),
        fence: Fence::FIRST,
        position: Position::ZERO,
        woken: Vec::new(),
        rested: vec![webhook],
    })
}

fn progress(webhook: WebhookNo, cursor: u64, has_work: bool) -> WebhookProgress {
    WebhookProgress {
        webhook,
        cursor: Position::new(cursor),
        has_work,
        breaker: Breaker::default(),
    }
}

fn settled(webhook: WebhookNo, cursor: u64, has_work: bool) -> Write {
    let mut part = settle(webhook, cursor);
    part.progress.has_work = has_work;
    Write::Settle(part)
}

/// A replay of tenant 1's webhook.
pub fn replay(number: u128, webhook: WebhookNo) -> Replay {
    Replay {
        id: ReplayId::from_uuid(Uuid::from_u128(number)),
        webhook,
        from: Position::new(1),
        to: Position::new(9),
        types: vec!["order.*".to_owned(), "a".to_owned()],
        only_failed: true,
        cursor: Position::ZERO,
        total: 9,
        done: 0,
        failed: 0,
        state: ReplayState::Running,
        created_at: received_at(u64::try_from(number).unwrap()),
        updated_at: received_at(1),
    }
}

pub async fn a_dispatch_mark_never_goes_back(ground: &dyn Ground) {
    let log = ground.open().await;
    assert_eq!(log.dispatched(tenant(1)).await.unwrap(), None);
    for (mark, expected) in [(5, 5), (3, 5), (8, 8)] {
        commit_one(&*log, dispatch(mark, &[])).await;
        let found = log.dispatched(tenant(1)).await.unwrap();
        assert_eq!(found, Some(Position::new(expected)));
    }
}

pub async fn waking_never_moves_a_cursor_back(ground: &dyn Ground) {
    let log = ground.open().await;
    let found = async || log.webhook_progress(tenant(1)).await.unwrap();
    commit_one(&*log, dispatch(5, &[(HOOK, 4), (OTHER, 2)])).await;
    assert_eq!(
        found().await,
        [progress(HOOK, 4, true), progress(OTHER, 2, true)]
    );

    // One that has work stays where it is; one that had none comes up to its new work.
    commit_one(&*log, dispatch(9, &[(HOOK, 8)])).await;
    assert_eq!(found().await[0], progress(HOOK, 4, true));
    let mut part = settle(HOOK, 6);
    part.progress.has_work = false;
    part.progress.breaker = Breaker::Open {
        until: received_at(1),
        openings: 2,
    };
    // A settle moves cursor and breaker; whether there is work only a mark says.
    commit_one(&*log, Write::Settle(part.clone())).await;
    part.progress.has_work = true;
    assert_eq!(found().await[0], part.progress);
    commit_one(&*log, rest(HOOK)).await;
    commit_one(&*log, dispatch(9, &[(HOOK, 8)])).await;
    let expected = WebhookProgress {
        cursor: Position::new(8),
        has_work: true,
        ..part.progress
    };
    assert_eq!(found().await[0], expected);

    commit_one(&*log, settled(OTHER, 9, false)).await;
    commit_one(&*log, settled(OTHER, 7, false)).await;
    commit_one(&*log, dispatch(9, &[(OTHER, 3)])).await;
    assert_eq!(found().await[1], progress(OTHER, 9, true));
}

pub async fn a_rested_webhook_has_no_work_until_it_is_woken(ground: &dyn Ground) {
    let log = ground.open().await;
    let found = async || log.webhook_progress(tenant(1)).await.unwrap();
    commit_one(&*log, rest(OTHER)).await;
    assert_eq!(found().await, []);
    commit_one(&*log, dispatch(5, &[(HOOK, 4)])).await;
    commit_one(&*log, rest(HOOK)).await;
    assert_eq!(found().await, [progress(HOOK, 4, false)]);
    assert_eq!(
        log.dispatched(tenant(1)).await.unwrap(),
        Some(Position::new(5))
    );

    // The same within one commit, in each order.
    commit(&*log, &[dispatch(9, &[(HOOK, 6)]), rest(HOOK)]).await;
    assert_eq!(found().await, [progress(HOOK, 4, false)]);
    commit(&*log, &[rest(HOOK), dispatch(9, &[(HOOK, 8)])]).await;
    assert_eq!(found().await, [progress(HOOK, 8, true)]);
    commit(&*log, &[settled(HOOK, 9, true), rest(HOOK)]).await;
    assert_eq!(found().await, [progress(HOOK, 9, false)]);
}

pub async fn within_a_commit_the_order_of_parts_decides(ground: &dyn Ground) {
    let log = ground.open().await;
    let third = WebhookNo(3);
    let mut dead = settle(HOOK, 1);
    dead.exceptions = vec![exception(HOOK, 1, DeliveryState::Dead)];
    let mut cleared = settle(HOOK, 2);
    cleared.cleared = vec![Position::new(1)];
    let mut again = settle(HOOK, 3);
    again.exceptions = vec![exception(HOOK, 1, DeliveryState::Retrying)];
    let parts = [
        Write::Settle(dead),
        Write::Settle(cleared),
        Write::Settle(again),
        settled(OTHER, 5, true),
        rest(OTHER),
        dispatch(7, &[(OTHER, 6)]),
        dispatch(6, &[(third, 2)]),
        settled(third, 4, true),
    ];
    let outcomes = commit(&*log, &parts).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let expected = [
        progress(third, 4, true),
        progress(HOOK, 3, true),
        progress(OTHER, 6, true),
    ];
    assert_eq!(log.webhook_progress(tenant(1)).await.unwrap(), expected);
    assert_eq!(log.retrying(tenant(1), HOOK, 9).await.unwrap().len(), 1);
    assert_eq!(
        log.dispatched(tenant(1)).await.unwrap(),
        Some(Position::new(7))
    );
}

pub async fn tenants_with_work_are_known_at_the_start(ground: &dyn Ground) {
    let log = ground.open().await;
    let found = async || {
        let mut tenants = log.tenants_with_work().await.unwrap();
        tenants.sort();
        tenants
    };
    assert_eq!(found().await, []);
    Author::new(1).write(&*log, 3).await;
    Author::new(2).write(&*log, 1).await;
    assert_eq!(found().await, [tenant(1), tenant(2)]);
    commit_one(&*log, dispatch(2, &[])).await;
    assert_eq!(found().await, [tenant(1), tenant(2)]);
    commit_one(&*log, dispatch(3, &[])).await;
    assert_eq!(found().await, [tenant(2)]);
    commit_one(&*log, dispatch(3, &[(HOOK, 0)])).await;
    assert_eq!(found().await, [tenant(1), tenant(2)]);
    commit_one(&*log, settled(HOOK, 3, false)).await;
    assert_eq!(found().await, [tenant(1), tenant(2)]);
    commit_one(&*log, rest(HOOK)).await;
    assert_eq!(found().await, [tenant(2)]);
}

pub async fn one_webhook_stands_where_the_list_says(ground: &dyn Ground) {
    let log = ground.open().await;
    let one = async |number, webhook| {
        log.webhook_progress_of(tenant(number), webhook)
            .await
            .unwrap()
    };
    assert_eq!(one(1, HOOK).await, None);
    commit_one(&*log, dispatch(5, &[(HOOK, 4), (OTHER, 2)])).await;
    commit_one(&*log, settled(OTHER, 3, true)).await;
    assert_eq!(one(1, HOOK).await, Some(progress(HOOK, 4, true)));
    assert_eq!(one(1, OTHER).await, Some(progress(OTHER, 3, true)));
    assert_eq!(one(1, WebhookNo(1)).await, None);
    Author::new(2).write(&*log, 1).await;
    assert_eq!(one(2, HOOK).await, None);
}

/// Everything that a log says of a webhook of tenant 1, from the point of view of a tenant.
pub async fn traces(log: &dyn RegionLog, number: u128, webhook: WebhookNo) -> usize {
    let (tenant, at) = (tenant(number), Position::new(1));
    let dead = DeadLetterQuery {
        webhook: Some(webhook),
        after: None,
        from: None,
        to: None,
        limit: 100,
    };
    let everyones = DeadLetterQuery {
        webhook: None,
        ..dead.clone()
    };
    let deliveries = DeliveryQuery {
        webhook,
        before: None,
        state: None,
        limit: 100,
    };
    let of_this =
        |letter: &&_| matches!(letter, crate::log::Exception { webhook: no, .. } if *no == webhook);
    let progress = log.webhook_progress(tenant).await.unwrap();
    let replays = log.replays(tenant, false, 100).await.unwrap();
    progress
        .iter()
        .filter(|progress| progress.webhook == webhook)
        .count()
        + replays
            .iter()
            .filter(|replay| replay.webhook == webhook)
            .count()
        + log
            .settled_above(tenant, webhook, Position::ZERO)
            .await
            .unwrap()
            .len()
        + log.retrying(tenant, webhook, 100).await.unwrap().len()
        + log.deliveries(tenant, &deliveries).await.unwrap().len()
        + usize::from(log.delivery(tenant, webhook, at).await.unwrap().is_some())
        + log.dead_letters(tenant, &dead).await.unwrap().len()
        + log
            .dead_letters(tenant, &everyones)
            .await
            .unwrap()
            .iter()
            .filter(of_this)
            .count()
}

/// Leaves something of every kind.
pub fn full_settle(webhook: WebhookNo) -> Vec<Write> {
    let mut part = settle(webhook, 5);
    part.attempts = vec![attempt(1, 1, DeliveryState::Delivered)];
    part.exceptions = vec![
        exception(webhook, 2, DeliveryState::Retrying),
        exception(webhook, 3, DeliveryState::Dead),
    ];
    let replay = Write::Replay {
        tenant: tenant(1),
        fence: Fence::FIRST,
        replay: replay(webhook.0.into(), webhook),
    };
    vec![Write::Settle(part), replay]
}

pub async fn a_forgotten_webhook_leaves_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    for webhook in [HOOK, OTHER] {
        commit(&*log, &full_settle(webhook)).await;
        assert!(traces(&*log, 1, webhook).await >= 9);
    }
    let forget = |webhook| Write::ForgetWebhook {
        tenant: tenant(1),
        fence: Fence::FIRST,
        webhook,
    };
    commit_one(&*log, forget(HOOK)).await;
    assert_eq!(traces(&*log, 1, HOOK).await, 0);
    assert!(traces(&*log, 1, OTHER).await >= 9);

    // What comes before it in the same commit goes too.
    let mut parts = full_settle(OTHER);
    parts.push(dispatch(3, &[(OTHER, 1)]));
    parts.push(forget(OTHER));
    commit(&*log, &parts).await;
    assert_eq!(traces(&*log, 1, OTHER).await, 0);
}

pub async fn replays_are_replaced_as_a_whole(ground: &dyn Ground) {
    let log = ground.open().await;
    let write = |replay: &Replay| Write::Replay {
        tenant: tenant(1),
        fence: Fence::FIRST,
        replay: replay.clone(),
    };
    let (first, second) = (replay(1, HOOK), replay(2, OTHER));
    commit(&*log, &[write(&first), write(&second)]).await;
    let found = async |unfinished, limit| log.replays(tenant(1), unfinished, limit).await.unwrap();
    assert_eq!(found(true, 10).await, [second.clone(), first.clone()]);
    assert_eq!(found(true, 1).await, std::slice::from_ref(&second));

    let ended = Replay {
        cursor: Position::new(9),
        done: 9,
        failed: 2,
        state: ReplayState::Completed,
        updated_at: first.updated_at.plus(Duration::from_secs(1)),
        ..first
    };
    let cancelled = Replay {
        state: ReplayState::Cancelled,
        ..second.clone()
    };
    commit(&*log, &[write(&ended), write(&second), write(&cancelled)]).await;
    assert_eq!(found(false, 10).await, [cancelled, ended]);
    assert_eq!(found(true, 10).await, []);
}
