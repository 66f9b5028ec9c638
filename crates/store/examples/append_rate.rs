//! Prints how many rows a second the SQLite log takes, beside bare inserts into a table of the same shape.
//!
//! A tool for tuning; every commit is fsynced. `cargo run --release --workspace --example append_rate [FOLDER]`.

#![allow(
    clippy::print_stdout,
    reason = "printing figures is what this program is for"
)]

use std::{path::PathBuf, sync::Arc};

use domain::{
    event::{Event, EventType, Fields, Hash, Seed},
    event_id::event_id,
    ids::{TenantId, WorkspaceId},
    position::{Position, Seq},
    region::Region,
    time::Timestamp,
};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Executor as _,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use store::log::{Append, RegionLog as _, Write, sqlite::SqliteLog};
use tokio::time::Instant;
use uuid::Uuid;

const BATCHES: [u64; 4] = [1, 20, 100, 1_000];
const PAYLOAD: &[u8] = &[b'7'; 300];

/// As the engine itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let folder = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/append_rate"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    for batch in BATCHES {
        let commits = (40_000 / batch).clamp(100, 2_000);
        let log = log_rate(&folder, batch, commits).await?;
        let bare = bare_rate(&folder, batch, commits).await?;
        println!(
            "{batch:>5} events a commit: log {:>9.0} rows/s ({:>6.0} µs, worst {:>6.0} µs), bare {:>9.0} rows/s ({:>6.0} µs)",
            log.rows, log.micros, log.worst, bare.rows, bare.micros
        );
    }
    for tenants in [20, 200] {
        let spread = spread_rate(&folder, tenants, 500).await?;
        println!(
            "{tenants:>5} events of as many tenants a commit: {:>9.0} rows/s ({:>6.0} µs, worst {:>6.0} µs)",
            spread.rows, spread.micros, spread.worst
        );
    }
    log_rate(&folder, 1_000, 50).await?;
    let read = read_rate(&folder).await?;
    println!("reading back: {read:.0} rows/s");
    Ok(())
}

struct Rate {
    rows: f64,
    micros: f64,
    worst: f64,
}

async fn log_rate(folder: &std::path::Path, batch: u64, commits: u64) -> Result<Rate, Failure> {
    let folder = folder.join("log");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let log = SqliteLog::open(&folder, Region::Au).await?;
    let mut head = Position::ZERO;
    let mut timer = Timer::new(batch, commits);
    for _ in 0..timer.rounds() {
        let append = append(1, head, batch);
        head = head.plus(batch);
        timer.begin();
        for outcome in log.commit(&[Write::Append(append)]).await? {
            outcome?;
        }
        timer.end();
    }
    log.close().await;
    Ok(timer.rate())
}

/// One event for each of many tenants in every commit.
async fn spread_rate(
    folder: &std::path::Path,
    tenants: u64,
    commits: u64,
) -> Result<Rate, Failure> {
    let folder = folder.join("log");
    std::fs::remove_dir_all(&folder)?;
    let log = SqliteLog::open(&folder, Region::Au).await?;
    let mut timer = Timer::new(tenants, commits);
    for round in 0..timer.rounds() {
        let parts: Vec<Write> = (1..=u128::from(tenants))
            .map(|number| Write::Append(append(number, Position::new(round), 1)))
            .collect();
        timer.begin();
        for outcome in log.commit(&parts).await? {
            outcome?;
        }
        timer.end();
    }
    log.close().await;
    Ok(timer.rate())
}

async fn read_rate(folder: &std::path::Path) -> Result<f64, Failure> {
    let log = SqliteLog::open(&folder.join("log"), Region::Au).await?;
    let (mut after, mut rows) = (Position::ZERO, 0.0);
    let begun = Instant::now();
    loop {
        let events = log.read_after(tenant(1), after, 1_000, usize::MAX).await?;
        let Some(last) = events.last() else {
            break;
        };
        after = last.position;
        rows += 1_000.0;
    }
    Ok(rows / begun.elapsed().as_secs_f64())
}

/// The same columns through one prepared multi-row insert, without a log around it.
async fn bare_rate(folder: &std::path::Path, batch: u64, commits: u64) -> Result<Rate, Failure> {
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

/// Leaves the first rounds out, in which statements are prepared and files grow.
struct Timer {
    batch: u64,
    commits: u64,
    round: u64,
    begun: Instant,
    total: f64,
    worst: f64,
}

impl Timer {
    const WARM_UP: u64 = 10;

    fn new(batch: u64, commits: u64) -> Timer {
        Timer {
            batch,
            commits,
            round: 0,
            begun: Instant::now(),
            total: 0.0,
            worst: 0.0,
        }
    }

    fn rounds(&self) -> u64 {
        self.commits + Timer::WARM_UP
    }

    fn begin(&mut self) {
        self.begun = Instant::now();
    }

    fn end(&mut self) {
        self.round += 1;
        if self.round > Timer::WARM_UP {
            let took = self.begun.elapsed().as_secs_f64();
            self.total += took;
            self.worst = self.worst.max(took);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few digits are enough")]
    fn rate(&self) -> Rate {
        Rate {
            rows: (self.batch * self.commits) as f64 / self.total,
            micros: self.total / self.commits as f64 * 1e6,
            worst: self.worst * 1e6,
        }
    }
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

fn append(number: u128, head: Position, batch: u64) -> Append {
    let kind = EventType::new("order.created").expect("a well-formed type");
    let events = (1..=batch).map(|step| {
        let position = head.plus(step);
        let received_at = Timestamp::from_micros(1_800_000_000_000_000)
            .plus(std::time::Duration::from_micros(position.get()));
        Arc::new(Event {
            position,
            seq: Seq::new(position.get()),
            id: event_id(received_at, position, step),
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(2)),
            received_at,
            kind: kind.clone(),
            fields: Fields::default(),
            payload: PAYLOAD.into(),
            seed: Seed([3; 32]),
            prev_hash: Hash([4; 32]),
            hash: Hash([5; 32]),
        })
    });
    Append {
        tenant: tenant(number),
        expected_head: head,
        events: events.collect(),
        nodes: Vec::new(),
        answers: Vec::new(),
    }
}
