//! Opens a region's log on a server, and makes or moves on its schema.
//!
//! Decides nothing about what the schema is; see [`schema`]. Nor does it know what gives a pooler away.

use std::sync::Arc;

use domain::{region::Region, time::Timestamp};
use parking_lot::Mutex;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{
    PostgresLog,
    connect::{Purpose, Server},
    failure::store_error,
    names::Names,
    partitions::Month,
    reader::Reader,
    schema,
    session::GivenUp,
    writer::Writer,
};
use crate::{
    Migrated, PostgresOptions, StoreError,
    postgres::pooling::{Connected, PROCESS},
};

impl Connected for Client {
    async fn process(&mut self) -> Result<String, StoreError> {
        let answer = self.simple_query(PROCESS).await.map_err(store_error)?;
        let process = answer.iter().find_map(|message| {
            let SimpleQueryMessage::Row(row) = message else {
                return None;
            };
            row.get(0).map(str::to_owned)
        });
        process
            .ok_or_else(|| StoreError::Corrupt("no process answers behind a connection".to_owned()))
    }
}

impl PostgresLog {
    /// Opens the region's schema and makes it if it is not there; any number of processes may do so at once. Fails if a
    /// newer version made it, or if it belongs to another region.
    ///
    /// Connections live on the runtime that this is called on.
    pub async fn open(
        options: &PostgresOptions,
        region: Region,
    ) -> Result<PostgresLog, StoreError> {
        let server = Server::new(options, region)?;
        schema::prepare(&server, region).await?;
        let names = Arc::new(Names::default());
        Ok(PostgresLog {
            writer: Arc::new(Writer {
                pool: server.pool(Purpose::Writing, Arc::clone(&names))?,
                names: Arc::clone(&names),
                given_up: GivenUp::new(),
                patience: server.patience(),
            }),
            reader: Reader {
                pool: server.pool(Purpose::Reading, Arc::clone(&names))?,
                names,
                patience: server.patience(),
            },
            server,
            made_for: Mutex::default(),
        })
    }

    /// Fails if connections to the server are not sessions: then nothing else may be done with it.
    pub async fn refuse_lent_connections(options: &PostgresOptions) -> Result<(), StoreError> {
        options.refuse_lent(|| PostgresLog::connect(options)).await
    }

    /// Brings the region's schema up to date and does nothing else.
    pub async fn migrate(
        options: &PostgresOptions,
        region: Region,
    ) -> Result<Migrated, StoreError> {
        schema::prepare(&Server::new(options, region)?, region).await
    }

    /// Opens one connection to the server, in no schema and without a limit on its statements: for the carry-over.
    pub(crate) async fn connect(options: &PostgresOptions) -> Result<Client, StoreError> {
        Server::new(options, Region::Au)?.connect().await
    }

    /// Makes the partitions of the months between two moments: for events that are carried over.
    pub(crate) async fn make_months(&self, oldest: Timestamp, newest: Timestamp) {
        let (first, last) = (oldest.to_chrono(), newest.to_chrono());
        for month in Month::between(first, last) {
            if let Err(error) = schema::make_partitions(&self.server, month).await {
                // The last partition takes what fits no month.
                tracing::warn!(%error, "no partition was made for older events: {error}");
            }
        }
    }
}
