//! Months of events, and statements that have to stay fast over many of them.

use std::time::Duration;

use domain::{position::Position, time::Timestamp};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{
    super::{
        reader::{AFTER, DEDUPED, MANY},
        search::page,
        statement::Kind,
    },
    ground::Database,
};
use crate::log::{
    Order, RegionLog as _,
    conformance::author::{Author, device, read_all, received_at},
    window::Path,
};

async fn partitions(client: &Client) -> Vec<String> {
    const NAMES: &str = "
        SELECT   inhrelid::regclass::TEXT
        FROM     pg_inherits
        WHERE    inhparent = 'events'::regclass
        ORDER BY 1";

    let rows = client.query(NAMES, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn count(client: &Client, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn partitions_are_made_ahead_when_the_log_is_opened_and_swept() {
    let database = Database::new().await;
    let log = database.log().await;
    let client = database.look().await;
    let at_start = partitions(&client).await;
    assert_eq!(at_start.len(), 3 + 1, "{at_start:?}");

    let later = Timestamp::parse("2099-11-05T00:00:00Z").unwrap();
    for _ in 0..2 {
        log.sweep(later, later).await.unwrap();
    }
    let mut expected = at_start;
    expected.extend(["events_2099_11", "events_2099_12", "events_2100_01"].map(str::to_owned));
    expected.sort();
    assert_eq!(partitions(&client).await, expected);
    // Opening it once more finds them, and makes none twice.
    database.log().await;
    assert_eq!(partitions(&client).await, expected);
}

#[tokio::test]
async fn events_outside_of_all_months_are_kept_and_move_when_their_month_is_made() {
    let database = Database::new().await;
    let log = database.log().await;
    let client = database.look().await;
    let mut author = Author::new(1);
    let mut written = author.write(&log, 20).await;
    assert_eq!(count(&client, "events_other").await, 20);
    assert_eq!(read_all(&log, author.tenant).await, written);

    log.sweep(received_at(1), received_at(0)).await.unwrap();
    assert_eq!(count(&client, "events_other").await, 0);
    assert_eq!(count(&client, "events_2026_03").await, 20);
    written.extend(author.write(&log, 5).await);
    assert_eq!(count(&client, "events_2026_03").await, 25);
    assert_eq!(read_all(&log, author.tenant).await, written);
}

#[tokio::test]
async fn a_log_over_many_months_reads_as_one() {
    let database = Database::new().await;
    let log = database.log().await;
    let mut author = Author::new(1);
    let mut written = Vec::new();
    for month in 0..6_u64 {
        let time = received_at(0).plus(Duration::from_secs(month * 31 * 24 * 3_600));
        log.sweep(time, received_at(0)).await.unwrap();
        let mut events = author.events(10);
        for (event, second) in events.iter_mut().zip(0..) {
            event.received_at = time.plus(Duration::from_secs(second));
        }
        let part = crate::log::Write::Append(author.append(events.clone()));
        crate::log::conformance::author::commit_one(&log, part).await;
        written.extend(events);
    }
    assert_eq!(read_all(&log, author.tenant).await, written);
    let after = Position::new(17);
    let page = log.read_after(author.tenant, after, 5, usize::MAX).await;
    assert_eq!(page.unwrap(), written[17..22]);
    for index in [0, 9, 10, 35, 59] {
        let found = log
            .position_before(author.tenant, written[index].received_at)
            .await
            .unwrap();
        assert_eq!(found, Position::new(u64::try_from(index).unwrap()));
    }
    let client = database.look().await;
    assert_eq!(count(&client, "events_other").await, 0);
}

/// The plan of a statement whose parameters are all NULL, made without a look at them.
async fn plan(client: &Client, sql: &str) -> String {
    let count = (1..)
        .take_while(|no| sql.contains(&format!("${no}")))
        .count();
    let nulls = vec!["NULL"; count].join(",");
    let explain = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE looked_at AS {sql};
         EXPLAIN EXECUTE looked_at({nulls}); DEALLOCATE looked_at"
    );
    let messages = client.simple_query(&explain).await.unwrap();
    let lines = messages.iter().filter_map(|message| {
        let SimpleQueryMessage::Row(row) = message else {
            return None;
        };
        row.get(0)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn no_statement_goes_through_a_whole_table() {
    let database = Database::new().await;
    let log = database.log().await;
    for year in 2027..2031 {
        for month in [1, 4, 7, 10] {
            let time = Timestamp::parse(&format!("{year}-{month:02}-01T00:00:00Z")).unwrap();
            log.sweep(time, time).await.unwrap();
        }
    }
    assert!(partitions(&database.look().await).await.len() > 48);
    let reader = log.reader.pool.get().await.unwrap();
    let after = plan(&reader, AFTER).await;
    assert!(
        after.contains("Index Scan using events_2030_12_place_idx"),
        "{after}"
    );
    assert!(
        !after.contains("Seq Scan") && !after.contains("Sort  ("),
        "{after}"
    );
    for sql in [MANY, DEDUPED] {
        let plan = plan(&reader, sql).await;
        assert!(
            !plan.contains("Seq Scan") && !plan.contains("Merge Append"),
            "{plan}"
        );
    }
    for order in [Order::Ascending, Order::Descending] {
        for path in [
            Path::Log,
            Path::Stream(1),
            Path::Device(device(1)),
            Path::DedupId,
        ] {
            let plan = plan(&reader, page::statement(path, order)).await;
            assert!(!plan.contains("Seq Scan"), "{path:?}: {plan}");
        }
        let plan = plan(&reader, page::statement(Path::DedupId, order)).await;
        assert!(!plan.contains("Merge Append"), "{plan}");
    }
    let writer = log.writer.pool.get().await.unwrap();
    for kind in Kind::ALL {
        let plan = plan(&writer, kind.sql()).await;
        assert!(!plan.contains("Seq Scan"), "{kind:?}: {plan}");
    }
}

#[test]
fn kinds_stand_in_the_order_of_their_numbers() {
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, number, "{kind:?}");
    }
}
