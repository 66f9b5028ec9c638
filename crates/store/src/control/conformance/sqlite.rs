//! Every case on `SQLite`, and what only a file can show: a full disk, two processes, a schema from the future.

use crate::{
    StoreError,
    control::{
        Control,
        conformance::{Home, Place, at, new_key, new_tenant, new_workspace, on_database},
    },
};

/// An empty file in a folder of its own.
pub(super) fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Place {
        url: format!("sqlite:{}", folder.path().join("control.db").display()),
        _folder: Some(folder),
    }
}

on_database! { crate::control::conformance::sqlite::place:
    tenants {
        a_tenant_reads_back_as_it_was_made,
        a_slug_is_taken_once_however_many_want_it,
        a_tenant_comes_with_its_workspace_and_key_or_not_at_all,
        tenants_are_listed_page_by_page,
        a_change_of_a_tenant_leaves_the_rest_and_raises_the_version,
        a_change_of_an_old_version_is_refused,
        everything_is_there_after_the_store_was_closed_and_opened,
        a_closed_store_is_unavailable,
        operators_see_counts,
    }
    workspaces {
        a_workspace_reads_back_as_it_was_made,
        a_slug_is_unique_within_its_tenant_only,
        a_change_raises_the_version_and_an_old_version_is_refused,
        a_template_is_set_and_removed,
        a_deleted_workspace_is_gone_and_its_slug_is_free,
        workspaces_are_listed_page_by_page,
        a_foreign_tenant_sees_and_changes_no_workspace,
    }
    keys {
        a_key_reads_back_as_it_was_made_by_id_and_by_hash,
        a_hash_is_taken_once,
        a_key_for_a_foreign_workspace_is_refused,
        keys_are_listed_page_by_page_and_by_workspace,
        a_change_raises_the_version_and_an_old_version_is_refused,
        a_revoked_key_is_still_found_and_stays_revoked_since_the_first_time,
        a_rotated_key_is_of_use_until_its_grace_is_over,
        of_many_rotations_at_once_one_wins,
        a_rotation_that_fails_leaves_the_old_key_as_it_was,
        use_is_written_down_and_never_moves_back,
        a_foreign_tenant_sees_and_changes_no_key,
    }
    webhooks {
        a_webhook_reads_back_as_it_was_made,
        a_number_is_never_given_twice,
        a_limit_holds_however_many_come_at_once,
        a_webhook_that_was_refused_takes_no_number,
        a_webhook_for_a_foreign_workspace_is_refused,
        a_change_raises_the_version_and_an_old_version_is_refused,
        a_state_is_set_whatever_else_was_changed,
        a_deletion_of_an_old_version_is_refused,
        webhooks_are_listed_page_by_page_or_all_at_once,
        a_foreign_tenant_sees_and_changes_no_webhook,
    }
    reservations {
        of_many_requests_at_once_exactly_one_is_new,
        an_answer_is_replayed_until_it_expires,
        another_request_with_the_same_key_is_a_mismatch,
        a_released_key_is_free_again,
        an_answer_that_is_kept_cannot_be_released_or_replaced,
        a_reservation_of_a_process_that_died_is_taken_over,
        the_same_key_of_another_tenant_is_another_key,
        a_sweep_takes_what_has_expired_only,
    }
    audit {
        entries_read_back_as_they_were_written_newest_first,
        entries_are_filtered_and_paged,
        entries_written_at_once_are_numbered_without_holes,
        a_foreign_tenant_sees_no_entry,
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_service_resumes_when_there_is_room() {
    let place = place();
    let home = Home::new(&place).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(home.control.database.writer())
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
    .execute(control.database.writer())
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_write_one_file_wait_for_each_other() {
    let place = place();
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
    let place = place();
    let control = place.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', 1, x'00', 0)",
    )
    .execute(control.database.writer())
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
async fn every_connection_writes_through_to_the_disk_and_checks_references() {
    let place = place();
    let control = place.open().await;
    for pool in [control.database.writer(), control.database.reader()] {
        for (setting, wanted) in [("synchronous", 2_i64), ("foreign_keys", 1)] {
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
    let place = place();
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
