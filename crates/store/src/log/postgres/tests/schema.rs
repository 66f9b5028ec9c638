//! Opening: many at once, newer schemas, changed migrations, other regions.

use domain::region::Region;
use futures_util::future::join_all;

use super::{super::PostgresLog, ground::Database};
use crate::{
    Migrated, StoreError,
    log::{
        RegionLog as _,
        conformance::author::{Author, read_all, tenant},
    },
};

async fn refusal(database: &Database, region: Region) -> StoreError {
    let opened = PostgresLog::open(&database.options(), region).await;
    opened.map(|_| ()).expect_err("it is refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_make_one_schema() {
    let database = Database::new().await;
    let options = database.options();
    let opened = join_all((0..6).map(|_| PostgresLog::migrate(&options, Region::Au))).await;
    let moved: Vec<Migrated> = opened.into_iter().map(Result::unwrap).collect();
    let first = |migrated: &&Migrated| migrated.from == 0;
    assert_eq!(moved.iter().filter(first).count(), 1, "{moved:?}");
    assert!(moved.iter().all(|migrated| migrated.to == 4), "{moved:?}");
    Author::new(1).write(&database.log().await, 1).await;
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = Database::new().await;
    database.log().await;
    let newer = "INSERT INTO migrations (version, name, checksum) VALUES (999, 'future', '')";
    database.look().await.batch_execute(newer).await.unwrap();
    let StoreError::Unavailable(says) = refusal(&database, Region::Au).await else {
        panic!("refused for another reason");
    };
    assert!(
        says.contains("schema 999") && says.contains("newer"),
        "{says}"
    );
}

#[tokio::test]
async fn a_migration_that_was_edited_is_refused() {
    let database = Database::new().await;
    database.log().await;
    let edited = "UPDATE migrations SET checksum = '' WHERE version = 1";
    database.look().await.batch_execute(edited).await.unwrap();
    let refused = refusal(&database, Region::Au).await;
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
}

#[tokio::test]
async fn the_log_of_another_region_is_refused() {
    let database = Database::new().await;
    database.log().await;
    let renamed = "ALTER SCHEMA region_au RENAME TO region_eu";
    database.look().await.batch_execute(renamed).await.unwrap();
    let refused = refusal(&database, Region::Eu).await;
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
}

#[tokio::test]
async fn regions_share_a_database_and_nothing_else() {
    let database = Database::new().await;
    let here = database.log().await;
    let there = PostgresLog::open(&database.options(), Region::Apac)
        .await
        .unwrap();
    Author::new(1).write(&here, 3).await;
    Author::new(1).write(&there, 1).await;
    assert_eq!(read_all(&here, tenant(1)).await.len(), 3);
    assert_eq!(read_all(&there, tenant(1)).await.len(), 1);
    there.close().await;
    here.probe().await.unwrap();
}
