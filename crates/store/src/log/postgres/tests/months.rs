//! Months that are everybody's past, and months that are not.

use std::time::Duration;

use domain::{
    event::Event,
    position::{Position, Seq},
    time::Timestamp,
};
use tokio_postgres::Client;

use super::{super::PostgresLog, ground::Database};
use crate::log::{
    DropOutcome, MonthSum, PastMonth, RegionLog as _, Trim as _, Write,
    conformance::author::{Author, commit_one, read_all, workspace},
};

/// The middle of a month, so many after December of 2025.
fn middle_of(month: u32) -> Timestamp {
    Timestamp::parse(&format!("2026-{month:02}-15T00:00:00Z")).unwrap()
}

/// Writes events that are received in a month, whose partition is made.
async fn write_in(log: &PostgresLog, author: &mut Author, month: u32, count: usize) -> Vec<Event> {
    log.sweep(middle_of(month), middle_of(1)).await.unwrap();
    let mut events = author.events(count);
    for (event, second) in events.iter_mut().zip(0..) {
        event.received_at = middle_of(month).plus(Duration::from_secs(second));
    }
    commit_one(log, Write::Append(author.append(events.clone()))).await;
    events
}

async fn is_there(client: &Client, table: &str) -> bool {
    let row = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])
        .await;
    row.unwrap().get(0)
}

/// What is in a month, and whether all logs in it begin there.
async fn look(log: &PostgresLog, month: &PastMonth) -> (MonthSum, bool) {
    let (mut sum, mut begin_here, mut after) = (MonthSum::default(), true, None);
    loop {
        let page = log.month_page(month, after, 1).await.unwrap();
        for found in &page.found {
            sum.add(found);
            begin_here &= found.begins_here;
        }
        after = page.next;
        if after.is_none() {
            return (sum, begin_here);
        }
    }
}

#[tokio::test]
async fn a_month_that_is_everybodys_past_goes_and_leaves_proofs_and_heads() {
    let database = Database::new().await;
    let (log, client) = (database.log().await, database.look().await);
    let (mut first, mut second) = (Author::new(1), Author::new(2));
    assert!(log.database_now().await.unwrap() > Some(middle_of(1)));
    let gone = write_in(&log, &mut first, 1, 5).await;
    write_in(&log, &mut second, 1, 3).await;
    let kept = write_in(&log, &mut first, 2, 4).await;

    let months = log.past_months(middle_of(3)).await.unwrap();
    let names: Vec<&str> = months.iter().map(|month| month.name.as_str()).collect();
    assert_eq!(names, ["events_2026_01", "events_2026_02"]);
    assert_eq!(months[0].ends_at, months[1].begins_at);
    let (sum, begin_here) = look(&log, &months[0]).await;
    assert_eq!((sum.workspaces, sum.events, begin_here), (2, 8, true));
    // The second month goes on with a log that began in the first.
    let (later, begin_here) = look(&log, &months[1]).await;
    assert_eq!((later.events, begin_here), (4, false));

    let changed = MonthSum { events: 7, ..sum };
    let outcome = log.drop_month(&months[0], changed).await.unwrap();
    assert_eq!(outcome, DropOutcome::Changed);
    assert_eq!(read_all(&log, first.tenant).await.len(), 9);
    let outcome = log.drop_month(&months[0], sum).await.unwrap();
    assert_eq!(outcome, DropOutcome::Gone);
    assert!(!is_there(&client, "events_2026_01").await);
    assert_eq!(read_all(&log, first.tenant).await, kept);
    assert_eq!(
        log.oldest(first.tenant).await.unwrap(),
        Some(Position::new(6))
    );
    assert_eq!(log.oldest(second.tenant).await.unwrap(), None);
    assert_eq!(log.head(second.tenant).await.unwrap(), Position::new(3));
    let leaves = log
        .leaf_hashes(first.tenant, workspace(1), Seq::new(1), Seq::new(9))
        .await
        .unwrap();
    let hashes = gone.iter().chain(&kept).map(|event| event.hash);
    assert_eq!(leaves, hashes.collect::<Vec<_>>());
    assert!(look(&log, &months[1]).await.1);

    // Logs go on, and a clock that is far behind loses nothing.
    let next = write_in(&log, &mut second, 2, 2).await;
    let late = write_in(&log, &mut second, 1, 1).await;
    let all: Vec<Event> = next.into_iter().chain(late).collect();
    assert_eq!(read_all(&log, second.tenant).await, all);
}

#[tokio::test]
async fn commits_go_on_while_a_month_waits_for_a_reader() {
    let database = Database::new().await;
    let (log, reader) = (database.log().await, database.look().await);
    let mut author = Author::new(1);
    write_in(&log, &mut author, 1, 5).await;
    write_in(&log, &mut author, 2, 1).await;
    let months = log.past_months(middle_of(2)).await.unwrap();
    let (sum, _) = look(&log, &months[0]).await;
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM events")
        .await
        .unwrap();
    let (dropped, written) = tokio::join!(log.drop_month(&months[0], sum), async {
        for _ in 0..20 {
            let events = author.events(1);
            let part = Write::Append(author.append(events));
            commit_one(&log, part).await;
        }
        author.head()
    });
    assert_eq!(dropped.unwrap(), DropOutcome::Busy);
    assert_eq!(log.head(author.tenant).await.unwrap(), written);
    assert_eq!(read_all(&log, author.tenant).await.len(), 26);
    reader.batch_execute("COMMIT").await.unwrap();
    let outcome = log.drop_month(&months[0], sum).await.unwrap();
    assert_eq!(outcome, DropOutcome::Gone);
    assert_eq!(read_all(&log, author.tenant).await.len(), 21);
}

#[tokio::test]
async fn a_month_that_is_empty_goes_and_the_last_partition_never_does() {
    let database = Database::new().await;
    let (log, client) = (database.log().await, database.look().await);
    log.sweep(middle_of(1), middle_of(1)).await.unwrap();
    let months = log.past_months(middle_of(2)).await.unwrap();
    assert_eq!(months.len(), 1);
    let outcome = log.drop_month(&months[0], MonthSum::default()).await;
    assert_eq!(outcome.unwrap(), DropOutcome::Gone);
    assert!(!is_there(&client, "events_2026_01").await);
    assert_eq!(log.past_months(middle_of(2)).await.unwrap(), []);
    let other = PastMonth {
        name: "events_other".to_owned(),
        ..months[0].clone()
    };
    let outcome = log.drop_month(&other, MonthSum::default()).await;
    assert_eq!(outcome.unwrap(), DropOutcome::Changed);
    assert!(is_there(&client, "events_other").await);
}
