//! Every case on `SQLite`, and what only a file can show: a full disk, two processes, a schema from the future.

use crate::{
    StoreError,
    control::{
        Control,
        conformance::{Home, Kept, Place, at, new_key, new_tenant, new_workspace, on_database},
    },
};

/// An empty file in a folder of its own.
#[expect(
    clippy::unused_async,
    reason = "other databases need to be asked for a place"
)]
pub(super) async fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Place {
        url: format!("sqlite:{}", folder.path().join("control.db").display()),
        kept: Kept::Folder(folder),
    }
}

on_database! { crate::control::conformance::sqlite::place }

#[tokio::test]
async fn a_full_disk_is_said_and_service_resumes_when_there_is_room() {
    let place = place().await;
    let home = Home::new(&place).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(home.control.database.pool())
        .await
        .unwrap();
    limit_pages(&home.control, pages).await;
    let mut made = 0;
    let error = loop {
        let (key, hash) = new_key(home.tenant, None);
        match home.control.insert_key(home.tenant, &key, &hash).await {
            Ok(()) => made += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error}");
    let keys = home.control.keys(home.tenant, None, None, 10_000).await;
    assert_eq!(keys.unwrap().len(), made);

    limit_pages(&home.control, pages * 10).await;
    let (key, hash) = new_key(home.tenant, None);
    home.control
        .insert_key(home.tenant, &key, &hash)
        .await
        .unwrap();
}

async fn limit_pages(control: &Control, pages: i64) {
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "PRAGMA max_page_count = {pages}"
    )))
    .execute(control.database.pool())
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_write_one_file_wait_for_each_other() {
    let place = place().await;
    let home = Home::new(&place).await;
    let other = place.open().await;
    let mut writing = tokio::task::JoinSet::new();
    for number in 0..40 {
        let control = [&home.control, &other][number % 2].clone();
        let (key, hash) = new_key(home.tenant, None);
        let tenant = home.tenant;
        writing.spawn(async move { control.insert_key(tenant, &key, &hash).await });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap().unwrap();
    }
    let keys = other.keys(home.tenant, None, None, 100).await.unwrap();
    assert_eq!(keys.len(), 40);
}

#[tokio::test]
async fn a_schema_from_a_newer_program_is_refused() {
    let place = place().await;
    let control = place.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(control.database.pool())
    .await
    .unwrap();
    control.close().await;
    let error = Control::open(&place.url).await.unwrap_err();
    assert!(
        error.to_string().contains("newer than this program"),
        "{error}"
    );
}

#[tokio::test]
async fn every_connection_writes_through_to_the_disk_checks_references_and_sorts_in_memory() {
    let place = place().await;
    let control = place.open().await;
    for pool in control.database.pools() {
        for (setting, wanted) in [
            ("synchronous", 2_i64),
            ("foreign_keys", 1),
            ("temp_store", 2),
        ] {
            let sql = sqlx::AssertSqlSafe(format!("PRAGMA {setting}"));
            let value: i64 = sqlx::query_scalar(sql).fetch_one(pool).await.unwrap();
            assert_eq!(value, wanted, "{setting}");
        }
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }
}

#[tokio::test]
async fn a_file_whose_folder_is_missing_and_a_file_that_is_no_database_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("sqlite:{}/none/control.db", folder.path().display());
    let error = Control::open(&missing).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");

    let file = folder.path().join("control.db");
    std::fs::write(
        &file,
        "This is not a database, whatever its name may say. ".repeat(50),
    )
    .unwrap();
    let error = Control::open(&format!("sqlite:{}", file.display())).await;
    assert!(matches!(error, Err(StoreError::Corrupt(_))), "{error:?}");
}

#[tokio::test]
async fn a_call_that_is_given_up_midway_leaves_no_transaction_open() {
    let place = place().await;
    let control = place.open().await;
    for polls in 0..12 {
        let slug = format!("given-up-{polls}");
        let mut making =
            Box::pin(control.create_tenant(new_tenant(&slug), new_workspace("default"), None));
        for _ in 0..polls {
            if futures_util::poll!(&mut making).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(making);
    }
    let home = Home::in_control(control, "acme").await;
    assert!(home.control.tenant(home.tenant).await.unwrap().is_some());
    assert_eq!(
        home.control.operator_counts(at(0)).await.unwrap().keys_used,
        0
    );
}
