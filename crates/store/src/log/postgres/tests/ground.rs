//! A database of its own for each test.

use std::sync::Arc;

use async_trait::async_trait;
use domain::region::Region;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::super::PostgresLog;
use crate::{
    PostgresOptions,
    log::{RegionLog, conformance::Ground},
};

/// The variable that says where the server is.
const VARIABLE: &str = "TRUNKLINE_TEST_POSTGRES";

/// A database that goes with the test.
pub(super) struct Database {
    server: String,
    name: String,
}

/// Connects without a pool.
pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server of the tests can be reached");
    drop(tokio::spawn(connection));
    client
}

impl Database {
    /// Makes one on the server of the tests.
    pub(super) async fn new() -> Database {
        let server = std::env::var(VARIABLE).unwrap_or_else(|_missing| {
            panic!("{VARIABLE} does not say where PostgreSQL is: run the tests by ./test.sh")
        });
        Database::on(server).await
    }

    /// Makes one on a server.
    pub(super) async fn on(server: String) -> Database {
        let name = format!("log_{}", Uuid::now_v7().simple());
        let create = format!("CREATE DATABASE {name} TEMPLATE template0");
        connect(&server).await.batch_execute(&create).await.unwrap();
        Database { server, name }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Where its server is.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        let (address, _) = self.server.rsplit_once('/').unwrap();
        format!("{address}/{}", self.name)
    }

    /// How to reach it.
    pub(super) fn options(&self) -> PostgresOptions {
        PostgresOptions {
            pool_size: 4,
            ..PostgresOptions::new(self.url())
        }
    }

    /// Opens the log.
    pub(super) async fn log(&self) -> PostgresLog {
        PostgresLog::open(&self.options(), Region::Au)
            .await
            .unwrap()
    }

    /// A connection to look around with, in the region's schema.
    pub(super) async fn look(&self) -> Client {
        let client = connect(&self.url()).await;
        let path = "SET search_path = region_au";
        client.batch_execute(path).await.unwrap();
        client
    }
}

#[async_trait]
impl Ground for Database {
    async fn open(&self) -> Arc<dyn RegionLog> {
        Arc::new(self.log().await)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // A runtime of its own, because that of the test may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&server, NoTls).await?;
                let connection = tokio::spawn(connection);
                client.batch_execute(&drop_it).await?;
                connection.abort();
                Ok::<_, tokio_postgres::Error>(())
            })
        });
        if let Ok(Err(error)) = dropping.join() {
            tracing::warn!(%error, "the database {} of a test stays", self.name);
        }
    }
}
