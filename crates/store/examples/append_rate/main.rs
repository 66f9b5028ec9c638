//! Prints how many rows a second a log takes, beside bare inserts into a table of the same shape.
//!
//! A tool for tuning; every commit is fsynced. `cargo run --release --workspace --example append_rate [FOLDER | URL]`: a
//! folder for SQLite, or the URL of a PostgreSQL server, on which it makes a database of its own.

#![allow(
    clippy::print_stdout,
    reason = "printing figures is what this program is for"
)]

mod devices;
mod load;
mod postgres;
mod sqlite;

use std::path::Path;

use load::Failure;

/// As the engine itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let target = std::env::args().nth(1);
    let target = target.as_deref().unwrap_or("target/append_rate");
    if target.starts_with("postgres") {
        postgres::run(target).await
    } else {
        sqlite::run(Path::new(target)).await
    }
}
