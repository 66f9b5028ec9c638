//! Reads by cursor and searches by filter.

use domain::{
    event::{Event, Fields, Party},
    filter::{EventFilter, TypeFilter},
    position::Position,
};

use super::{
    Ground,
    author::{Author, commit_one, device, positions, received_at, workspace},
};
use crate::log::{EventQuery, Order, Page, RegionLog, Write};

fn query(filter: EventFilter, order: Order) -> EventQuery {
    EventQuery {
        filter,
        after: None,
        before: None,
        order,
        limit: 1_000,
        scan_max: 1_000,
        bytes_max: usize::MAX,
    }
}

/// Sixty events of which every third, fourth, fifth … has something to be found by.
fn mixed(author: &mut Author) -> Vec<Event> {
    let kinds = [
        "order.created",
        "order.paid",
        "order",
        "orders.x",
        "user.created",
        "order.item.added",
    ];
    let every =
        |number: u128, step: u128, text: &str| number.is_multiple_of(step).then(|| text.into());
    (0..60_u128)
        .map(|number| {
            let fields = Fields {
                category: every(number, 3, "auth"),
                project: every(number, 4, "shop"),
                actor: number.is_multiple_of(5).then(|| Party {
                    json: "{}".into(),
                    id: every(number, 10, "u-1"),
                }),
                dedup_id: every(number, 6, if number % 12 == 0 { "twice" } else { "once" }),
                device: number.is_multiple_of(7).then(|| device(number % 2)),
                ..Fields::default()
            };
            let kind = kinds[usize::try_from(number % 6).unwrap()];
            author.event_with(workspace(number % 2), kind, fields)
        })
        .collect()
}

/// One filter, from what is set in the default.
fn filter(set: impl FnOnce(&mut EventFilter)) -> EventFilter {
    let mut filter = EventFilter::default();
    set(&mut filter);
    filter
}

fn kinds(list: &str) -> Option<TypeFilter> {
    TypeFilter::parse_list(list).ok()
}

/// Filters on each condition, and on those that share a path through the log.
fn filters() -> Vec<EventFilter> {
    let (nine, ten, twenty) = (received_at(9), received_at(10), received_at(20));
    vec![
        filter(|_| {}),
        filter(|all| all.workspace = Some(workspace(1))),
        filter(|all| all.workspace = Some(workspace(9))),
        filter(|all| all.kinds = kinds("order.created")),
        filter(|all| all.kinds = kinds("order.*")),
        filter(|all| all.kinds = kinds("order.item.*,user.created,nothing")),
        filter(|all| all.kinds = kinds("*,order.created")),
        filter(|all| all.category = Some("auth".into())),
        filter(|all| all.category = Some("' OR 1 = 1 --".into())),
        filter(|all| all.project = Some("shop".into())),
        filter(|all| all.actor = Some("u-1".into())),
        filter(|all| all.device = Some(device(0))),
        filter(|all| (all.device, all.kinds) = (Some(device(1)), kinds("order.*"))),
        filter(|all| (all.device, all.from) = (Some(device(0)), Some(ten))),
        filter(|all| all.dedup_id = Some("twice".into())),
        filter(|all| all.dedup_id = Some("never".into())),
        filter(|all| {
            (all.dedup_id, all.workspace) = (Some("once".into()), Some(workspace(0)));
        }),
        filter(|all| {
            (all.category, all.workspace) = (Some("auth".into()), Some(workspace(0)));
        }),
        filter(|all| (all.from, all.to) = (Some(ten), Some(twenty))),
        filter(|all| (all.from, all.to) = (Some(twenty), Some(nine))),
        filter(|all| {
            (all.from, all.to, all.workspace) = (Some(ten), Some(twenty), Some(workspace(0)));
        }),
    ]
}

/// What a page without bounds should hold.
fn matching(events: &[Event], filter: &EventFilter, order: Order) -> Vec<u64> {
    let mut found: Vec<u64> = events
        .iter()
        .filter(|event| filter.matches(event))
        .map(|event| event.position.get())
        .collect();
    if order == Order::Descending {
        found.reverse();
    }
    found
}

pub async fn events_are_read_in_order_after_a_cursor(ground: &dyn Ground) {
    let log = ground.open().await;
    let (mut author, mut neighbour) = (Author::new(1), Author::new(2));
    author.write(&*log, 5).await;
    neighbour.write(&*log, 5).await;
    author.write(&*log, 5).await;

    let after = async |after, limit| {
        let events = log
            .read_after(author.tenant, Position::new(after), limit, usize::MAX)
            .await;
        positions(&events.unwrap())
    };
    assert_eq!(after(0, 100).await, (1..=10).collect::<Vec<_>>());
    assert_eq!(after(3, 2).await, [4, 5]);
    assert_eq!(after(9, 100).await, [10]);
    assert_eq!(after(10, 100).await, [0; 0]);
    assert_eq!(after(u64::MAX, 100).await, [0; 0]);
}

pub async fn reading_stops_at_its_limits(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut events = author.events(10);
    for event in &mut events {
        event.payload = vec![b'1'; 1_000].into();
    }
    commit_one(&*log, Write::Append(author.append(events))).await;

    for (bytes_max, expected) in [
        (0, 1),
        (1, 1),
        (1_000, 1),
        (1_001, 2),
        (5_000, 5),
        (50_000, 10),
    ] {
        let events = log
            .read_after(author.tenant, Position::ZERO, 100, bytes_max)
            .await
            .unwrap();
        assert_eq!(events.len(), expected, "{bytes_max}");
        let mut query = query(EventFilter::default(), Order::Descending);
        query.bytes_max = bytes_max;
        let page = log.search(author.tenant, &query).await.unwrap();
        assert_eq!(page.events.len(), expected, "{bytes_max}");
    }
}

pub async fn each_filter_finds_its_events_in_both_orders(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let events = mixed(&mut author);
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;
    let mut neighbour = Author::new(2);
    let others = mixed(&mut neighbour);
    commit_one(&*log, Write::Append(neighbour.append(others))).await;

    for filter in filters() {
        for order in [Order::Ascending, Order::Descending] {
            let page = log
                .search(author.tenant, &query(filter.clone(), order))
                .await
                .unwrap();
            let expected = matching(&events, &filter, order);
            assert_eq!(positions(&page.events), expected, "{filter:?} {order:?}");
            assert_eq!(page.next, None, "{filter:?} {order:?}");
            for event in &page.events {
                let index = usize::try_from(event.position.get()).unwrap() - 1;
                assert_eq!(*event, events[index]);
            }
        }
    }
}

/// Walks through all pages and checks that none is larger than it may be.
async fn walk(log: &dyn RegionLog, author: &Author, mut query: EventQuery) -> (Vec<u64>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let Page { events, next } = log.search(author.tenant, &query).await.unwrap();
        assert!(events.len() <= usize::try_from(query.limit).unwrap());
        found.extend(positions(&events));
        pages += 1;
        let Some(next) = next else {
            return (found, pages);
        };
        match query.order {
            Order::Ascending => query.after = Some(next),
            Order::Descending => query.before = Some(next),
        }
        assert!(pages < 500, "the walk does not end");
    }
}

pub async fn pages_go_on_where_the_last_one_ended(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let events = mixed(&mut author);
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;

    for filter in filters() {
        for order in [Order::Ascending, Order::Descending] {
            for (limit, scan_max) in [(1, 1_000), (3, 4), (10, 7), (1, 1), (60, 60)] {
                let mut query = query(filter.clone(), order);
                query.limit = limit;
                query.scan_max = scan_max;
                let (found, _) = walk(&*log, &author, query).await;
                let expected = matching(&events, &filter, order);
                assert_eq!(found, expected, "{filter:?} {order:?} {limit} {scan_max}");
            }
        }
    }
}

pub async fn a_page_looks_at_no_more_than_it_may(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 100).await;
    let nothing = filter(|all| all.category = Some("none".into()));
    for order in [Order::Ascending, Order::Descending] {
        let mut query = query(nothing.clone(), order);
        query.scan_max = 30;
        let page = log.search(author.tenant, &query).await.unwrap();
        assert_eq!(page.events, []);
        let expected = match order {
            Order::Ascending => 30,
            Order::Descending => 71,
        };
        assert_eq!(page.next, Some(Position::new(expected)), "{order:?}");
        assert_eq!(walk(&*log, &author, query).await, (Vec::new(), 4));
    }
}

pub async fn bounds_by_position_and_time_hold_together(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 50).await;
    let found = async |bounds: (u64, u64), times: (u64, u64), filter: EventFilter| {
        let mut query = query(filter, Order::Ascending);
        query.after = Some(Position::new(bounds.0));
        query.before = Some(Position::new(bounds.1));
        query.filter.from = Some(received_at(times.0));
        query.filter.to = Some(received_at(times.1));
        positions(&log.search(author.tenant, &query).await.unwrap().events)
    };
    let by_workspace = filter(|all| all.workspace = Some(workspace(1)));
    for filter in [EventFilter::default(), by_workspace] {
        assert_eq!(
            found((10, 20), (15, 100), filter.clone()).await,
            [15, 16, 17, 18, 19]
        );
        assert_eq!(found((10, 20), (0, 13), filter.clone()).await, [11, 12]);
        assert_eq!(found((20, 10), (0, 100), filter.clone()).await, [0; 0]);
        assert_eq!(
            found((0, u64::MAX), (48, u64::from(u32::MAX)), filter.clone()).await,
            [48, 49, 50]
        );
        assert_eq!(found((50, 60), (0, 100), filter.clone()).await, [0; 0]);
        assert_eq!(found((0, 0), (0, 100), filter).await, [0; 0]);
    }
}
