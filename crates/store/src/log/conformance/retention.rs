//! Retention: what has outlived its time goes from the old end of a log, and everything else stays as it was.

use std::time::Duration;

use domain::{
    event::Event,
    ids::TenantId,
    position::{Position, Seq},
    retention::Retention,
    time::Timestamp,
};

use super::{
    Ground,
    author::{
        Author, commit, commit_one, moved_head, positions, read_all, received_at, tenant, workspace,
    },
};
use crate::log::{Order, RegionLog, Write, WriteError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keeps everything of everybody for so many days.
pub fn days(days: u32) -> Retention {
    Retention::new(Some(days), [])
}

/// The moment at which the event at a position has been kept for a day.
pub fn a_day_after(position: u64) -> Timestamp {
    received_at(position).plus(DAY)
}

/// Removes piece by piece, and answers how many events went.
pub async fn remove(
    log: &dyn RegionLog,
    tenant: TenantId,
    retention: &Retention,
    now: Timestamp,
) -> u64 {
    let mut removed = 0;
    while let Some(cut) = log.outlived(tenant, retention, now).await.unwrap() {
        while log.forget_up_to(tenant, cut).await.unwrap() > 0 {}
        removed += log.remove_up_to(tenant, cut).await.unwrap();
    }
    removed
}

/// Removes everything up to a position.
pub async fn remove_up_to(log: &dyn RegionLog, tenant: TenantId, position: u64) -> u64 {
    remove(log, tenant, &days(1), a_day_after(position)).await
}

pub async fn what_has_outlived_its_time_goes_and_nothing_else(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let written = author.write(&*log, 10).await;
    let at = |position| a_day_after(position).minus(Duration::from_micros(1));
    assert_eq!(remove(&*log, author.tenant, &days(1), at(1)).await, 0);
    assert_eq!(remove(&*log, author.tenant, &days(1), at(5)).await, 4);
    let all_since = a_day_after(10_000);
    assert_eq!(
        remove(&*log, author.tenant, &Retention::default(), all_since).await,
        0
    );

    assert_eq!(read_all(&*log, author.tenant).await, written[4..]);
    assert_eq!(
        log.oldest(author.tenant).await.unwrap(),
        Some(Position::new(5))
    );
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(10));
    let oldest_seq = log.oldest_seq(author.tenant, workspace(1)).await;
    assert_eq!(oldest_seq.unwrap(), Some(Seq::new(5)));
    let gone = log.read_at(author.tenant, Position::new(4)).await.unwrap();
    assert_eq!(gone, None);
    let at = |position: usize| written[position - 1].received_at;
    for (time, position) in [(at(3), 0), (at(5), 0), (at(6), 5), (at(10), 9)] {
        let found = log.position_before(author.tenant, time).await.unwrap();
        assert_eq!(found, Position::new(position));
    }
}

pub async fn an_event_waits_for_those_before_it(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut events = Vec::new();
    for number in [1, 1, 2, 1, 2, 1] {
        events.push(author.event_with(workspace(number), "a", Default::default()));
    }
    commit_one(&*log, Write::Append(author.append(events))).await;
    let retention = Retention::new(Some(9), [(workspace(1), 1)]);
    let removed = remove(&*log, author.tenant, &retention, a_day_after(6)).await;
    assert_eq!(removed, 2);
    assert_eq!(
        positions(&read_all(&*log, author.tenant).await),
        [3, 4, 5, 6]
    );
    let later = received_at(4).plus(DAY * 9);
    remove(&*log, author.tenant, &retention, later).await;
    assert_eq!(positions(&read_all(&*log, author.tenant).await), [5, 6]);
}

pub async fn a_log_whose_events_are_all_gone_goes_on_where_it_ended(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let written = author.write(&*log, 3).await;
    assert_eq!(remove_up_to(&*log, author.tenant, 3).await, 3);
    for log in [log, ground.open().await] {
        assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(3));
        assert_eq!(log.oldest(author.tenant).await.unwrap(), None);
        let oldest_seq = log.oldest_seq(author.tenant, workspace(1)).await;
        assert_eq!(oldest_seq.unwrap(), None);
        assert_eq!(read_all(&*log, author.tenant).await, []);
        let end = log.chain_end(author.tenant, workspace(1)).await.unwrap();
        let end = end.map(|end| (end.seq, end.hash));
        assert_eq!(end, Some((Seq::new(3), written[2].hash)));
        // Positions and seqs are never given again.
        let again = Author::new(1).events(3);
        let outcomes = commit(&*log, &[Write::Append(Author::new(1).append(again))]).await;
        assert_eq!(moved_head(&outcomes[0]), Some(Position::new(3)));
        let mut stale = author.clone().events(1);
        stale[0].seq = Seq::new(3);
        let outcomes = commit(&*log, &[Write::Append(author.append(stale))]).await;
        assert!(
            matches!(outcomes[0], Err(WriteError::Store(_))),
            "{outcomes:?}"
        );
    }
    let log = ground.open().await;
    let next = author.write(&*log, 2).await;
    assert_eq!(next[0].prev_hash, written[2].hash);
    assert_eq!(read_all(&*log, author.tenant).await, next);
    assert_eq!(
        log.oldest(author.tenant).await.unwrap(),
        Some(Position::new(4))
    );
    let log = ground.open().await;
    assert_eq!(log.head(author.tenant).await.unwrap(), Position::new(5));
    assert_eq!(read_all(&*log, author.tenant).await, next);
}

pub async fn a_workspace_that_rests_keeps_the_end_of_its_chain(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let idle = author.event_with(workspace(2), "a", Default::default());
    commit_one(&*log, Write::Append(author.append(vec![idle.clone()]))).await;
    author.write(&*log, 4).await;
    assert_eq!(remove_up_to(&*log, author.tenant, 3).await, 3);
    let log = ground.open().await;
    let end = log.chain_end(author.tenant, workspace(2)).await.unwrap();
    let end = end.map(|end| (end.seq, end.hash));
    assert_eq!(end, Some((idle.seq, idle.hash)));
    let leaves = log
        .leaf_hashes(author.tenant, workspace(2), Seq::new(1), Seq::new(1))
        .await;
    assert_eq!(leaves.unwrap(), [idle.hash]);
    let next = author.event_with(workspace(2), "a", Default::default());
    assert_eq!((next.seq, next.prev_hash), (Seq::new(2), idle.hash));
    commit_one(&*log, Write::Append(author.append(vec![next]))).await;
    let end = log.chain_end(author.tenant, workspace(2)).await.unwrap();
    assert_eq!(end.map(|end| end.seq), Some(Seq::new(2)));
}

pub async fn another_tenant_loses_nothing(ground: &dyn Ground) {
    let log = ground.open().await;
    let (mut first, mut second) = (Author::new(1), Author::new(2));
    first.write(&*log, 5).await;
    let kept = second.write(&*log, 5).await;
    assert_eq!(remove_up_to(&*log, first.tenant, 5).await, 5);
    assert_eq!(read_all(&*log, second.tenant).await, kept);
    assert_eq!(remove_up_to(&*log, tenant(3), 5).await, 0);
    let ends = log.chain_end(second.tenant, workspace(1)).await.unwrap();
    assert_eq!(ends.map(|end| end.hash), Some(kept[4].hash));
}

pub async fn pieces_are_bounded_and_leave_a_whole_log_behind(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut written: Vec<Event> = Vec::new();
    for _ in 0..5 {
        written.extend(author.write(&*log, 900).await);
    }
    let mut removed = 0;
    let now = a_day_after(4_400);
    while let Some(cut) = log.outlived(author.tenant, &days(1), now).await.unwrap() {
        let piece = log.remove_up_to(author.tenant, cut).await.unwrap();
        assert!((1..=2_000).contains(&piece), "{piece}");
        removed += piece;
        assert_eq!(cut.upto, Position::new(removed));
        let after = Position::new(0);
        let next = log.read_after(author.tenant, after, 1, 1).await.unwrap();
        assert_eq!(positions(&next), [removed + 1]);
        // Whoever decided the same at the same time finds it done.
        assert_eq!(log.remove_up_to(author.tenant, cut).await.unwrap(), 0);
    }
    assert_eq!(removed, 4_400);
    assert_eq!(read_all(&*log, author.tenant).await, written[4_400..]);
}

pub async fn appends_go_through_while_events_go(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 900).await;
    let removing = log.clone();
    let removing = tokio::spawn(async move { remove_up_to(&*removing, tenant(1), 900).await });
    let mut written = Vec::new();
    for _ in 0..50 {
        written.extend(author.write(&*log, 3).await);
    }
    assert_eq!(removing.await.unwrap(), 900);
    assert_eq!(read_all(&*log, author.tenant).await, written);
}

pub async fn tenants_with_something_to_lose_are_found_page_by_page(ground: &dyn Ground) {
    let log = ground.open().await;
    for number in 1..=7 {
        let mut author = Author::new(number);
        author.events(usize::try_from(number).unwrap() * 10);
        let mut event = author.event();
        event.position = Position::new(1);
        let mut append = author.append(vec![event]);
        append.expected_head = Position::ZERO;
        commit_one(&*log, Write::Append(append)).await;
    }
    remove_up_to(&*log, tenant(2), 21).await;
    let (mut found, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = log.oldest_events(after, received_at(52), 3).await.unwrap();
        pages += 1;
        found.extend(page.found.iter().map(|oldest| {
            assert_eq!(oldest.workspace, workspace(1));
            (oldest.tenant, oldest.received_at)
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected = [1_u64, 3, 4, 5].map(|one| (tenant(one.into()), received_at(one * 10 + 1)));
    assert_eq!(found, expected);
    assert_eq!(pages, 3);
}

pub async fn searches_begin_with_what_is_kept(ground: &dyn Ground) {
    use crate::log::{EventQuery, conformance::author::device};
    use domain::{event::Fields, filter::EventFilter};

    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut events = Vec::new();
    for number in 0..40 {
        let fields = Fields {
            device: Some(device(1)),
            ..Fields::default()
        };
        events.push(author.event_with(workspace(number % 2), "a", fields));
    }
    commit_one(&*log, Write::Append(author.append(events.clone()))).await;
    remove_up_to(&*log, author.tenant, 21).await;
    let filters = [
        EventFilter::default(),
        EventFilter {
            workspace: Some(workspace(0)),
            ..EventFilter::default()
        },
        EventFilter {
            device: Some(device(1)),
            ..EventFilter::default()
        },
        EventFilter {
            from: Some(received_at(1)),
            to: Some(received_at(30)),
            workspace: Some(workspace(1)),
            ..EventFilter::default()
        },
    ];
    for filter in filters {
        for order in [Order::Ascending, Order::Descending] {
            let mut expected: Vec<Event> = events[21..].to_vec();
            expected.retain(|event| filter.matches(event));
            if order == Order::Descending {
                expected.reverse();
            }
            let mut query = EventQuery {
                filter: filter.clone(),
                after: None,
                before: None,
                order,
                limit: 3,
                scan_max: 4,
                bytes_max: usize::MAX,
            };
            let mut found = Vec::new();
            loop {
                let page = log.search(author.tenant, &query).await.unwrap();
                found.extend(page.events);
                match (page.next, order) {
                    (None, _) => break,
                    (next, Order::Ascending) => query.after = next,
                    (next, Order::Descending) => query.before = next,
                }
            }
            assert_eq!(found, expected, "{filter:?} {order:?}");
        }
    }
}
