//! The conformance suite on SQLite, and what only SQLite's files can show.

mod disk;

use std::sync::Arc;

use async_trait::async_trait;
use domain::region::Region;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{SqliteLog, open::Files};
use crate::{
    Migrated, StoreError,
    log::{
        RegionLog,
        conformance::{Ground, author::Author, conformance_tests},
    },
};

/// A folder of its own for each test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::new().unwrap())
    }
}

#[async_trait]
impl Ground for Folder {
    /// Without the lock: two instances on one file stand for two processes.
    async fn open(&self) -> Arc<dyn RegionLog> {
        let files = Files {
            folder: self.0.path().to_owned(),
            region: Region::Au,
        };
        Arc::new(SqliteLog::open_files(files, None).await.unwrap())
    }
}

conformance_tests!(Folder::new());

#[tokio::test]
async fn a_second_process_is_kept_out_until_the_first_has_closed() {
    let folder = Folder::new();
    let log = SqliteLog::open(folder.0.path(), Region::Au).await.unwrap();
    let refused = SqliteLog::open(folder.0.path(), Region::Au).await;
    let Err(StoreError::Unavailable(says)) = refused.map(|_| ()) else {
        panic!("two logs on one file");
    };
    assert!(
        says.contains("another process") && says.contains("AU.lock"),
        "{says}"
    );
    SqliteLog::open(folder.0.path(), Region::Eu).await.unwrap();
    log.close().await;
    SqliteLog::open(folder.0.path(), Region::Au).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    const NEWER: &str = "
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (999, 'from the future', 1, x'00', 0)";

    let folder = Folder::new();
    folder.open().await.close().await;
    let path = folder.0.path().join("AU.db");
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap();
    sqlx::query(NEWER).execute(&mut connection).await.unwrap();
    let refused = SqliteLog::open(folder.0.path(), Region::Au)
        .await
        .map(|_| ());
    let Err(StoreError::Unavailable(says)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        says.contains("schema 999") && says.contains("newer"),
        "{says}"
    );
}

#[tokio::test]
async fn migrating_says_what_it_did() {
    let folder = Folder::new();
    for from in [0, 4] {
        let migrated = SqliteLog::migrate(folder.0.path(), Region::Au).await;
        assert_eq!(migrated.unwrap(), Migrated { from, to: 4 });
    }
}

#[tokio::test]
async fn the_log_of_another_region_is_refused() {
    let folder = Folder::new();
    folder.open().await.close().await;
    let path = |name| folder.0.path().join(name);
    std::fs::rename(path("AU.db"), path("EU.db")).unwrap();
    let refused = SqliteLog::open(folder.0.path(), Region::Eu)
        .await
        .map(|_| ());
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn closing_leaves_the_database_file_alone() {
    let folder = Folder::new();
    let log = folder.open().await;
    Author::new(1).write(&*log, 10).await;
    log.close().await;
    let names = std::fs::read_dir(folder.0.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["AU.db"]);
}
