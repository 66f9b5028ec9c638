//! Brings the schema of the control plane up to date: one set of migrations for every database.
//!
//! What no text can say for all of them goes before the migrations: settings, the place of the schema, and the view
//! `database_clock`, whose one column `now` is the database's own time in microseconds since 1970.

use sqlx::{
    AnyConnection, ConnectOptions as _, Connection as _, Executor as _,
    any::AnyConnectOptions,
    migrate::{AppliedMigration, Migrate as _, Migrator},
};

use crate::{
    Migrated, StoreError,
    control::failure::{Outcome as _, migration_failed},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/control");

/// Where the driver keeps what was applied.
const MIGRATIONS_TABLE: &str = "_sqlx_migrations";

/// What one kind of database needs before its migrations.
pub(super) struct Setup {
    /// Settings of the connection, and the place of the schema.
    pub(super) before: &'static str,
    /// Makes the view `database_clock` if it is not there. Runs while no other process migrates.
    pub(super) clock: &'static str,
}

/// Brings the schema up to date, on a connection of its own: a pool would try a database that cannot be read again and
/// again, and not say what is wrong with it.
pub(super) async fn migrate(
    options: &AnyConnectOptions,
    setup: &Setup,
) -> Result<Migrated, StoreError> {
    let mut connection = options.connect().await.or_fail()?;
    let outcome = migrate_on(&mut connection, setup).await;
    // Closed in any case: what was locked is free then.
    let closed = connection.close().await.or_fail();
    let migrated = outcome?;
    closed?;
    Ok(migrated)
}

async fn migrate_on(connection: &mut AnyConnection, setup: &Setup) -> Result<Migrated, StoreError> {
    connection.execute(setup.before).await.or_fail()?;
    let failed = |error| migration_failed(&error);
    connection.lock().await.map_err(failed)?;
    connection.execute(setup.clock).await.or_fail()?;
    // Whoever may only work in the schema cannot even ask for its tables to be made: it is enough that they are there.
    let before = connection.list_applied_migrations(MIGRATIONS_TABLE).await;
    let before = before.unwrap_or_default();
    if !is_complete(&before) {
        // Not `run`: a future over a borrowed connection could not be sent to another thread.
        MIGRATIONS
            .run_direct(None, connection, false)
            .await
            .map_err(failed)?;
    }
    connection.unlock().await.map_err(failed)?;
    let to = MIGRATIONS.iter().map(|one| one.version).max();
    Ok(Migrated {
        from: before.iter().map(|one| one.version).max().unwrap_or(0),
        to: to.unwrap_or(0),
    })
}

/// Whether exactly our migrations were applied, and as they are now.
fn is_complete(applied: &[AppliedMigration]) -> bool {
    let ours = MIGRATIONS.iter().map(|one| (one.version, &one.checksum));
    ours.eq(applied.iter().map(|one| (one.version, &one.checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::database::sqlite;

    #[tokio::test]
    async fn a_schema_that_an_older_version_made_is_brought_up_to_date_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("control.db").display());
        let options = sqlite::options(&url).unwrap();
        let mut connection = options.connect().await.unwrap();
        let older = MIGRATIONS.run_direct(Some(1), &mut connection, false).await;
        older.unwrap();
        connection.close().await.unwrap();
        for (from, to) in [(1, 4), (4, 4)] {
            let migrated = migrate(&options, &sqlite::SETUP).await.unwrap();
            assert_eq!(migrated, Migrated { from, to });
        }
    }

    #[tokio::test]
    async fn a_migration_that_was_changed_after_it_was_applied_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("control.db").display());
        let options = sqlite::options(&url).unwrap();
        migrate(&options, &sqlite::SETUP).await.unwrap();
        let mut connection = options.connect().await.unwrap();
        connection
            .execute("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1")
            .await
            .unwrap();
        connection.close().await.unwrap();
        let refused = migrate(&options, &sqlite::SETUP).await;
        assert!(matches!(refused, Err(StoreError::Corrupt(_))));
    }
}
