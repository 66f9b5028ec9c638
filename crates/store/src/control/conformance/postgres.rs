//! Every case on `PostgreSQL`, and what only a server can show: many processes that start at once, connections that go away,
//! deadlocks, patience.
//!
//! Each test gets a database of its own on the server that `TRUNKLINE_TEST_POSTGRES` names.

use std::{env, time::Duration};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;

use crate::{
    Migrated, PostgresOptions, StoreError,
    control::{
        Control,
        conformance::{Home, Kept, Place, new_key, on_database},
        counters::bump,
        failure::{Failed, Outcome as _},
    },
};

/// Where the migrations stand.
const LATEST: i64 = 4;

/// A database that goes with its place.
pub(super) struct Database {
    server: String,
    name: String,
}

impl Database {
    async fn make() -> Database {
        let server = env::var("TRUNKLINE_TEST_POSTGRES").expect(
            "TRUNKLINE_TEST_POSTGRES names no server: run ./test.sh, which starts one for the tests",
        );
        let name = format!("control_{:032x}", random());
        let database = Database { server, name };
        database.tell("CREATE DATABASE").await;
        database
    }

    /// Drops the database, whoever is still connected.
    pub(super) async fn remove(self) {
        self.tell_with("DROP DATABASE", "WITH (FORCE)").await;
    }

    fn url(&self) -> String {
        let (server, _database) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }

    async fn tell(&self, what: &str) {
        self.tell_with(what, "").await;
    }

    async fn tell_with(&self, what: &str, how: &str) {
        let mut server = PgConnection::connect(&self.server).await.expect("connects");
        let sql = format!("{what} \"{}\" {how}", self.name);
        server.execute(AssertSqlSafe(sql)).await.expect("is told");
        server.close().await.expect("closes");
    }
}

/// Other processes make databases at the same time: only chance keeps the names apart.
fn random() -> u128 {
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0)).as_u128()
}

/// An empty database.
pub(super) async fn place() -> Place {
    let database = Database::make().await;
    Place {
        url: database.url(),
        kept: Kept::Database(database),
    }
}

on_database! { crate::control::conformance::postgres::place }

/// The same, with connections that are told apart and little patience.
fn options(place: &Place, name: &str) -> PostgresOptions {
    PostgresOptions {
        pool_size: 2,
        ..PostgresOptions::new(format!("{}?application_name={name}", place.url))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_starts_at_once_make_one_schema() {
    let place = place().await;
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        let url = place.url.clone();
        starts.spawn(async move { Control::open(&url).await });
    }
    for control in starts.join_all().await {
        assert_eq!(control.unwrap().tenants(None, 1).await.unwrap(), []);
    }
    place.remove().await;
}

#[tokio::test]
async fn a_migration_says_where_the_schema_stood_and_stands() {
    let place = place().await;
    for from in [0, LATEST, LATEST] {
        let migrated = Control::migrate(&place.url).await.unwrap();
        assert_eq!(migrated, Migrated { from, to: LATEST });
    }
    place.remove().await;
}

#[tokio::test]
async fn a_schema_from_a_newer_program_is_refused() {
    let place = place().await;
    let control = place.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, '', 0)",
    )
    .execute(control.database.pool())
    .await
    .unwrap();
    for error in [
        Control::open(&place.url).await.unwrap_err(),
        Control::migrate(&place.url).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("newer than this program"));
    }
    place.remove().await;
}

#[tokio::test]
async fn everything_is_in_a_schema_of_its_own() {
    let place = place().await;
    let control = place.open().await;
    let elsewhere: i64 = sqlx::query_scalar(
        "SELECT COUNT(*)
         FROM   information_schema.tables
         WHERE  table_schema NOT IN ('trunkline', 'pg_catalog', 'information_schema')",
    )
    .fetch_one(control.database.pool())
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
    place.remove().await;
}

#[tokio::test]
async fn a_user_who_may_not_make_schemas_can_work_in_the_one_that_is_there() {
    let place = place().await;
    let control = place.open().await;
    let role = format!("guest_{:032x}", random());
    let grants = format!(
        "CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA trunkline TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA trunkline TO {role};"
    );
    let owner = control.database.pool();
    owner.execute(AssertSqlSafe(grants)).await.unwrap();
    let url = place
        .url
        .replacen("postgres://postgres@", &format!("postgres://{role}@"), 1);
    let guest = Control::open(&url).await.unwrap();
    guest.begin_session("a", Duration::ZERO).await.unwrap();
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_are_replaced_unseen() {
    let place = place().await;
    let first = options(&place, "first");
    let home = Home::in_control(Control::open_postgres(&first).await.unwrap(), "acme").await;
    let other = place.open().await;
    for _ in 0..3 {
        sqlx::query(
            "SELECT COUNT(pg_terminate_backend(pid)) AS ended
             FROM   pg_stat_activity
             WHERE  application_name = 'first'",
        )
        .execute(other.database.pool())
        .await
        .unwrap();
        let (key, hash) = new_key(home.tenant, None);
        let inserted = home.control.insert_key(home.tenant, &key, &hash).await;
        inserted.unwrap();
        let session = home.control.begin_session("a", Duration::ZERO).await;
        session.unwrap();
    }
    place.remove().await;
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_given_up_by_the_server() {
    let place = place().await;
    let options = PostgresOptions {
        statement_timeout: Duration::from_millis(50),
        ..options(&place, "hasty")
    };
    let control = Control::open_postgres(&options).await.unwrap();
    let slept = sqlx::query("SELECT 1 AS one FROM pg_sleep(3600)")
        .fetch_one(control.database.pool())
        .await
        .or_fail();
    assert!(matches!(slept, Err(StoreError::Unavailable(_))));
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_a_collision_and_the_next_attempt_succeeds() {
    let place = place().await;
    let (control, other) = (place.open().await, place.open().await);
    // Each takes the first of its two counters before either takes its second, so that one of them is refused.
    let barrier = tokio::sync::Barrier::new(2);
    let collisions = std::sync::atomic::AtomicU32::new(0);
    let in_order = |control: Control, names: [&'static str; 2]| {
        let (barrier, collisions) = (&barrier, &collisions);
        let first_try = std::cell::Cell::new(true);
        async move {
            let database = &control.database;
            let attempt = || async {
                let mut transaction = database.begin().await?;
                bump(&mut transaction, names[0]).await?;
                if first_try.replace(false) {
                    barrier.wait().await;
                }
                let second = bump(&mut transaction, names[1]).await;
                if matches!(second, Err(Failed::Collided(_))) {
                    collisions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                second?;
                transaction.commit().await.or_collide()
            };
            database.again(attempt).await
        }
    };
    let (first, second) = tokio::join!(
        in_order(control, ["one", "two"]),
        in_order(other, ["two", "one"])
    );
    first.unwrap();
    second.unwrap();
    assert_eq!(collisions.into_inner(), 1);
    place.remove().await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_whoever_requires_it_and_no_password_is_told() {
    let place = place().await;
    let url = place.url.replacen("postgres@", "postgres:s3cret@", 1) + "?sslmode=require";
    let error = Control::open(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    place.remove().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let error = Control::open("postgres://a:s3cret@127.0.0.1:1/b").await;
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = PostgresOptions {
        connect_timeout: Duration::from_millis(50),
        ..PostgresOptions::new(format!("postgres://a@{address}/b"))
    };
    let error = Control::open_postgres(&options).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}

/// Carries bytes between clients and the server until it is told to freeze: then it carries nothing and closes nothing.
async fn freezer(place: &Place, frozen: tokio::sync::watch::Receiver<bool>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (user, rest) = place.url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let (url, server) = (format!("{user}@{address}/{database}"), server.to_owned());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (server, mut frozen) = (server.clone(), frozen.clone());
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(server).await.unwrap();
                let carry = tokio::io::copy_bidirectional(&mut client, &mut server);
                let is_over = tokio::select! {
                    _ = carry => true,
                    _ = frozen.wait_for(|frozen| *frozen) => false,
                };
                if !is_over {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_freezes_is_given_up_and_service_resumes_on_fresh_connections() {
    let place = place().await;
    let (freeze, frozen) = tokio::sync::watch::channel(false);
    let options = PostgresOptions {
        url: freezer(&place, frozen).await,
        pool_size: 1,
        statement_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
    };
    // So little patience may be too little for a busy machine.
    let control = loop {
        if let Ok(control) = Control::open_postgres(&options).await {
            break control;
        }
    };
    let mut taken = control.database.reader().await.unwrap();
    freeze.send(true).unwrap();
    let asked = sqlx::query("SELECT 1 AS one").fetch_one(&mut taken).await;
    assert!(matches!(asked.or_fail(), Err(StoreError::Unavailable(_))));
    drop(taken);
    let renewed = control.begin_session("a", Duration::ZERO).await;
    assert!(matches!(renewed, Err(StoreError::Unavailable(_))));
    freeze.send(false).unwrap();
    while control.ping().await.is_err() {}
    while control.begin_session("a", Duration::ZERO).await.is_err() {}
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_keep_a_limit_together() {
    let place = place().await;
    let home = Home::new(&place).await;
    let other = place.open().await;
    let mut asking = JoinSet::new();
    for number in 0..24 {
        let home = Home {
            control: [&home.control, &other][number % 2].clone(),
            ..home
        };
        asking.spawn(async move { super::webhooks::create(&home, Some(7)).await });
    }
    let outcomes = asking.join_all().await;
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(made, 7);
    place.remove().await;
}
