//! What can be known without a server: that no column is forgotten, and that a chain that was changed is found.
//!
//! Devices are carried to a server here; the whole way is walked by the journeys.

mod beginning;
mod devices;

use bytes::Bytes;
use domain::{
    chain,
    event::EventType,
    event::{Event, Fields, Hash, Seed},
    ids::{EventId, TenantId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection, migrate::Migrator};
use uuid::Uuid;

use super::{
    chains::{Break, Chains},
    control, region,
    tables::Table,
};

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(1));
const WORKSPACE: WorkspaceId = WorkspaceId::from_uuid(Uuid::from_u128(2));

async fn names_of(connection: &mut SqliteConnection, query: String) -> Vec<String> {
    let rows = sqlx::query(AssertSqlSafe(query))
        .fetch_all(connection)
        .await;
    let mut names: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    names.sort_unstable();
    names
}

/// Every table of a schema is carried over with all its columns, or stands among `others`.
async fn assert_complete(migrations: &Migrator, tables: &[Table], others: &[&str], own: &[&str]) {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    migrations
        .run_direct(None, &mut connection, false)
        .await
        .unwrap();
    let query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB '[_s]*_*'";
    let there = names_of(&mut connection, query.to_owned()).await;
    for name in &there {
        let Some(table) = tables.iter().find(|table| table.name == name) else {
            assert!(
                others.contains(&name.as_str()),
                "{name} is not carried over"
            );
            continue;
        };
        let query = format!("SELECT name FROM pragma_table_info('{name}')");
        let columns = names_of(&mut connection, query).await;
        let is_carried = |column: &&String| {
            table
                .columns
                .iter()
                .any(|(name, _)| *name == column.as_str())
        };
        let left: Vec<&String> = columns
            .iter()
            .filter(|column| !is_carried(column) && !own.contains(&column.as_str()))
            .collect();
        assert!(left.is_empty(), "{left:?} of {name} are not carried over");
    }
    for table in tables {
        assert!(
            there.iter().any(|name| name == table.name),
            "{}",
            table.name
        );
    }
}

#[tokio::test]
async fn no_column_of_the_control_plane_is_forgotten() {
    static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/control");
    let others = ["node_sessions", "leases"];
    // Who holds a device: nobody does once the installation stands still.
    let own = ["node", "session", "boot"];
    assert_complete(&MIGRATIONS, &control::TABLES, &others, &own).await;
}

#[tokio::test]
async fn no_column_of_a_regions_log_is_forgotten() {
    static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/region/sqlite");
    let others = [
        "region",
        "tenants",
        "streams",
        "events",
        "tree_nodes",
        "dispatch",
        "probe",
    ];
    // Numbers that each end gives by itself.
    let own = ["no", "tenant_no"];
    assert_complete(&MIGRATIONS, &region::TABLES, &others, &own).await;
}

/// A log of events that follow each other.
fn log_of(count: u64) -> Vec<Event> {
    let mut prev = Hash::default();
    let mut events = Vec::new();
    for number in 1..=count {
        let mut event = Event {
            position: Position::new(number),
            seq: Seq::new(number),
            id: EventId::from_uuid(Uuid::from_u128(number.into())),
            workspace: WORKSPACE,
            received_at: Timestamp::from_micros(1_700_000_000_000_000),
            kind: EventType::new("a").unwrap(),
            fields: Fields::default(),
            payload: Bytes::from(number.to_string()),
            seed: Seed([7; 32]),
            prev_hash: Hash::default(),
            hash: Hash::default(),
        };
        chain::link(TENANT, &mut event, prev);
        prev = event.hash;
        events.push(event);
    }
    events
}

/// Where a log is found to be broken, and how.
fn found(events: &[Event]) -> Option<(u64, Break)> {
    let mut chains = Chains::new(TENANT);
    let followed = events
        .iter()
        .try_for_each(|event| chains.follow(event, &mut Vec::new()));
    let broken = followed.err()?;
    Some((broken.seq.get(), broken.how))
}

#[test]
fn a_log_that_nobody_touched_is_followed_to_its_end() {
    let events = log_of(300);
    let (mut chains, mut completed) = (Chains::new(TENANT), Vec::new());
    for event in &events {
        chains.follow(event, &mut completed).unwrap();
    }
    let end = &chains.ends[&WORKSPACE];
    assert_eq!((end.seq, end.hash), (events[299].seq, events[299].hash));
    assert_eq!(completed.len(), 1, "256 leaves complete one kept node");
    // A run that goes on in the middle ends at the same place.
    let (begun, rest) = events.split_at(100);
    let mut first = Chains::new(TENANT);
    for event in begun {
        first.follow(event, &mut Vec::new()).unwrap();
    }
    let mut second = Chains::from(TENANT, first.head, first.ends);
    for event in rest {
        second.follow(event, &mut Vec::new()).unwrap();
    }
    assert_eq!(second.ends[&WORKSPACE], *end);
}

#[test]
fn whatever_is_done_to_a_log_is_found_where_it_was_done() {
    let mut changed = log_of(5);
    changed[2].payload = Bytes::from_static(b"9");
    assert_eq!(found(&changed), Some((3, Break::Content)));
    let mut missing = log_of(5);
    missing.remove(1);
    assert_eq!(found(&missing), Some((3, Break::Position)));
    let mut renumbered = log_of(5);
    renumbered[3].seq = Seq::new(9);
    assert_eq!(found(&renumbered), Some((9, Break::Seq)));
    let mut relinked = log_of(5);
    let prev = Hash([1; 32]);
    chain::link(TENANT, &mut relinked[4], prev);
    assert_eq!(found(&relinked), Some((5, Break::Link)));
    assert_eq!(found(&log_of(5)), None);
}
