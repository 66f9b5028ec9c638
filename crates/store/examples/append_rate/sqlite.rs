//! The log on SQLite, beside bare inserts into a table of the same shape.

use std::path::Path;

use domain::region::Region;
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Executor as _,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use store::log::{RegionLog as _, sqlite::SqliteLog};

use crate::devices::message_rate;
use crate::load::{
    BATCHES, Failure, PAYLOAD, Rate, Timer, commits_of, log_rate, read_rate, spread_rate,
};

/// Prints all figures.
pub(crate) async fn run(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)?;
    for batch in BATCHES {
        let commits = commits_of(batch);
        let log = fresh(folder).await?;
        let ours = log_rate(&log, batch, commits).await?;
        log.close().await;
        let bare = bare_rate(folder, batch, commits).await?;
        println!("{batch:>5} events a commit: log {ours}, bare {bare}");
    }
    for tenants in [20, 200] {
        let log = fresh(folder).await?;
        let spread = spread_rate(&log, tenants, 500).await?;
        log.close().await;
        println!("{tenants:>5} events of as many tenants a commit: {spread}");
    }
    for devices in [100, 1_000] {
        let log = fresh(folder).await?;
        let messages = message_rate(&log, devices, 100, 1_000).await?;
        log.close().await;
        println!("  100 messages of {devices} devices a commit: {messages}");
    }
    let log = fresh(folder).await?;
    log_rate(&log, 1_000, 50).await?;
    println!("reading back: {:.0} rows/s", read_rate(&log).await?);
    Ok(())
}

async fn fresh(folder: &Path) -> Result<SqliteLog, Failure> {
    let folder = folder.join("log");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(SqliteLog::open(&folder, Region::Au).await?)
}

/// The same columns through one prepared multi-row insert, without a log around it.
async fn bare_rate(folder: &Path, batch: u64, commits: u64) -> Result<Rate, Failure> {
    let path = folder.join("bare.db");
    for suffix in ["", "-wal", "-shm"] {
        let file = folder.join(format!("bare.db{suffix}"));
        if file.exists() {
            std::fs::remove_file(file)?;
        }
    }
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "8000")
        .pragma("cache_size", "-8192")
        .disable_statement_logging()
        .connect()
        .await?;
    connection
        .execute(
            "CREATE TABLE events (place INTEGER PRIMARY KEY, stream_no INTEGER, seq INTEGER,
                                  received_at INTEGER, kind TEXT, body BLOB, payload BLOB) STRICT;
             CREATE UNIQUE INDEX events_by_seq ON events (stream_no, seq)",
        )
        .await?;
    let mut timer = Timer::new(batch, commits);
    let mut place = 0_i64;
    for _ in 0..timer.rounds() {
        timer.begin();
        let mut left = batch;
        while left > 0 {
            let rows = left.min(256);
            let mut arguments = SqliteArguments::default();
            for _ in 0..rows {
                place += 1;
                for number in [place, 1, place, place] {
                    arguments.add(number).map_err(|error| error.to_string())?;
                }
                arguments
                    .add("order.created")
                    .map_err(|error| error.to_string())?;
                arguments
                    .add(&[7_u8; 113][..])
                    .map_err(|error| error.to_string())?;
                arguments.add(PAYLOAD).map_err(|error| error.to_string())?;
            }
            let values = vec!["(?,?,?,?,?,?,?)"; usize::try_from(rows)?].join(",");
            let begin = if left == batch {
                "BEGIN IMMEDIATE;"
            } else {
                ""
            };
            left -= rows;
            let commit = if left == 0 { ";COMMIT" } else { "" };
            let sql = format!("{begin}INSERT INTO events VALUES {values}{commit}");
            sqlx::query_with(AssertSqlSafe(sql), arguments)
                .execute(&mut connection)
                .await?;
        }
        timer.end();
    }
    Ok(timer.rate())
}
