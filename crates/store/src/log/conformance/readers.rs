//! Consumers, the walls between tenants, and what operators call.

use domain::{
    fence::Fence,
    filter::EventFilter,
    position::{Position, Seq},
    time::Timestamp,
};

use super::{
    Ground,
    author::{Author, all_fields, commit, commit_one, read_all, received_at, tenant, workspace},
    deliveries::{HOOK, attempt, settle},
    outcomes::{full_settle, replay, traces},
};
use crate::{
    StoreError,
    log::{
        Consume, Consumer, ConsumerName, Counts, DeliveryState, Dispatch, EventQuery,
        IdempotentAnswer, Order, Write,
    },
};

fn name(name: &str, workspace_no: Option<u128>) -> ConsumerName {
    ConsumerName {
        workspace: workspace_no.map(workspace),
        name: name.into(),
    }
}

fn consume(number: u128, name: ConsumerName, cursor: u64, acked: &[u64]) -> Write {
    Write::Consume(Consume {
        tenant: tenant(number),
        fence: Fence::FIRST,
        name,
        standing: Consumer {
            cursor: Position::new(cursor),
            acked: acked.iter().map(|at| Position::new(*at)).collect(),
        },
    })
}

fn answer(key: u8, expires_at: Timestamp) -> IdempotentAnswer {
    IdempotentAnswer {
        key_hash: [key; 32],
        request_hash: [0; 32],
        status: 599,
        body: "{}".into(),
        expires_at,
    }
}

pub async fn a_consumer_stands_where_it_acknowledged(ground: &dyn Ground) {
    let log = ground.open().await;
    let find = async |name: ConsumerName| log.consumer(tenant(1), &name).await.unwrap();
    assert_eq!(find(name("a", None)).await, None);
    let parts = [
        consume(1, name("a", None), 3, &[5, 7, 1 << 39]),
        consume(1, name("a", Some(1)), 4, &[]),
        consume(1, name("b", None), 9, &[]),
        consume(1, name("b", None), 2, &[4]),
    ];
    commit(&*log, &parts).await;
    let standing = |cursor, acked: &[u64]| {
        Some(Consumer {
            cursor: Position::new(cursor),
            acked: acked.iter().map(|at| Position::new(*at)).collect(),
        })
    };
    assert_eq!(find(name("a", None)).await, standing(3, &[5, 7, 1 << 39]));
    assert_eq!(find(name("a", Some(1))).await, standing(4, &[]));
    assert_eq!(find(name("a", Some(2))).await, None);
    assert_eq!(find(name("b", None)).await, standing(2, &[4]));

    // Seeking may go back.
    commit_one(&*log, consume(1, name("a", None), 0, &[])).await;
    assert_eq!(find(name("a", None)).await, standing(0, &[]));
}

pub async fn a_foreign_tenant_sees_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let event = author.event_with(workspace(1), "a", all_fields());
    let mut append = author.append(vec![event]);
    append.answers = vec![answer(1, received_at(100))];
    commit_one(&*log, Write::Append(append)).await;
    commit(&*log, &full_settle(HOOK)).await;
    commit_one(&*log, consume(1, name("a", None), 3, &[])).await;
    // A foreigner that is known to the log, and one that is not.
    commit_one(&*log, consume(2, name("x", None), 1, &[])).await;
    let now = received_at(1);
    for number in [2, 3] {
        let foreigner = tenant(number);
        assert_eq!(log.head(foreigner).await.unwrap(), Position::ZERO);
        assert_eq!(log.oldest(foreigner).await.unwrap(), None);
        assert_eq!(read_all(&*log, foreigner).await, []);
        assert_eq!(
            log.read_at(foreigner, Position::new(1)).await.unwrap(),
            None
        );
        assert_eq!(log.chain_end(foreigner, workspace(1)).await.unwrap(), None);
        let wanted = [(workspace(1), "dedup".into())];
        let start = Timestamp::from_micros(0);
        assert_eq!(
            log.find_dedup_ids(foreigner, &wanted, start).await.unwrap(),
            []
        );
        assert_eq!(log.recent_dedup_ids(foreigner, start, 9).await.unwrap(), []);
        assert_eq!(
            log.idempotent_answer(foreigner, [1; 32], now)
                .await
                .unwrap(),
            None
        );
        let leaves = log
            .leaf_hashes(foreigner, workspace(1), Seq::ZERO, Seq::new(9))
            .await;
        assert_eq!(leaves.unwrap(), []);
        assert_eq!(
            log.position_before(foreigner, received_at(9))
                .await
                .unwrap(),
            Position::ZERO
        );
        assert_eq!(log.dispatched(foreigner).await.unwrap(), None);
        assert_eq!(
            log.consumer(foreigner, &name("a", None)).await.unwrap(),
            None
        );
        let standings = log
            .standings(foreigner, &[1, 2, 3].map(Position::new))
            .await;
        assert_eq!(standings.unwrap(), []);
        assert_eq!(traces(&*log, number, HOOK).await, 0);
        for query in queries() {
            let page = log.search(foreigner, &query).await.unwrap();
            assert_eq!((page.events, page.next), (Vec::new(), None));
            let own = log.search(author.tenant, &query).await.unwrap();
            assert_eq!(own.events.len(), 1);
        }
    }
}

/// Searches that go through the log by each of its paths, and find the event with all fields.
fn queries() -> Vec<EventQuery> {
    let by_workspace = EventFilter {
        workspace: Some(workspace(1)),
        ..EventFilter::default()
    };
    let by_device = EventFilter {
        device: all_fields().device,
        ..EventFilter::default()
    };
    let by_dedup_id = EventFilter {
        dedup_id: all_fields().dedup_id,
        ..EventFilter::default()
    };
    [EventFilter::default(), by_workspace, by_device, by_dedup_id]
        .map(|filter| EventQuery {
            filter,
            after: None,
            before: None,
            order: Order::Ascending,
            limit: 10,
            scan_max: 10,
            bytes_max: 1_000,
        })
        .into()
}

pub async fn a_foreign_tenant_changes_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    commit(&*log, &full_settle(HOOK)).await;
    let before = log.webhook_progress(tenant(1)).await.unwrap();
    let replays = log.replays(tenant(1), false, 9).await.unwrap();
    let traces_before = traces(&*log, 1, HOOK).await;

    let mut part = settle(HOOK, 99);
    part.tenant = tenant(2);
    part.cleared = [2, 3].map(Position::new).to_vec();
    let mut stolen = replay(HOOK.0.into(), HOOK);
    stolen.done = 77;
    let parts = [
        Write::Settle(part),
        Write::Dispatch(Dispatch {
            tenant: tenant(2),
            fence: Fence::FIRST,
            position: Position::new(9),
            woken: vec![(HOOK, Position::new(9))],
            rested: Vec::new(),
        }),
        Write::Dispatch(Dispatch {
            tenant: tenant(2),
            fence: Fence::FIRST,
            position: Position::new(9),
            woken: Vec::new(),
            rested: vec![HOOK],
        }),
        Write::Replay {
            tenant: tenant(2),
            fence: Fence::FIRST,
            replay: stolen,
        },
        Write::ForgetWebhook {
            tenant: tenant(2),
            fence: Fence::FIRST,
            webhook: HOOK,
        },
    ];
    for part in parts {
        commit_one(&*log, part).await;
    }
    assert_eq!(log.webhook_progress(tenant(1)).await.unwrap(), before);
    assert_eq!(log.replays(tenant(1), false, 9).await.unwrap(), replays);
    assert_eq!(traces(&*log, 1, HOOK).await, traces_before);
}

pub async fn a_sweep_takes_what_is_out_of_date_only(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let events = author.events(1);
    let mut append = author.append(events);
    append.answers = (1..=4)
        .map(|key| answer(key, received_at(key.into())))
        .collect();
    let mut part = settle(HOOK, 9);
    part.attempts = (1..=4)
        .map(|at| attempt(at, 1, DeliveryState::Delivered))
        .collect();
    commit(&*log, &[Write::Append(append), Write::Settle(part)]).await;

    let gone = log.sweep(received_at(3), received_at(21)).await.unwrap();
    assert_eq!(gone, 2 + 1);
    let kept = log
        .idempotent_answer(tenant(1), [3; 32], received_at(1))
        .await
        .unwrap();
    assert!(kept.is_some());
    let settled = log
        .settled_above(tenant(1), HOOK, Position::ZERO)
        .await
        .unwrap();
    assert_eq!(settled, [2, 3, 4].map(Position::new));
    assert_eq!(log.sweep(received_at(3), received_at(21)).await.unwrap(), 0);
    assert_eq!(read_all(&*log, tenant(1)).await.len(), 1);
}

pub async fn the_probe_and_the_counts_answer(ground: &dyn Ground) {
    let log = ground.open().await;
    log.probe().await.unwrap();
    log.probe().await.unwrap();
    assert_eq!(log.counts(received_at(0)).await.unwrap(), Counts::default());
    Author::new(1).write(&*log, 10).await;
    Author::new(2).write(&*log, 20).await;
    commit(&*log, &full_settle(HOOK)).await;
    for (since, events) in [(0, 30), (6, 5 + 15), (15, 6), (21, 0)] {
        let expected = Counts {
            retrying: 1,
            dead: 1,
            events,
        };
        assert_eq!(
            log.counts(received_at(since)).await.unwrap(),
            expected,
            "{since}"
        );
    }
}

pub async fn a_closed_log_refuses_to_write(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 1).await;
    log.close().await;
    let events = author.events(1);
    let refused = log.commit(&[Write::Append(author.append(events))]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    let refused = log.head(author.tenant).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    log.close().await;
}
