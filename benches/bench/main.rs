//! The load benchmark: how fast the engine is, as a share of what the same machine could do at the same moment.
//!
//! Runs the real binary in a process of its own and loads it over loopback. Decides nothing about what is fast enough:
//! the wanted figures stand beside each row, and a row that falls short is printed, not hidden.
#![allow(
    clippy::print_stdout,
    reason = "printing figures is what this program is for"
)]

mod args;
mod bare_postgres;
mod bodies;
mod clock;
mod device_wire;
mod engine;
mod load;
mod machine;
mod posting;
mod report;
mod roles;
mod rounds;
mod rows;
mod scale;
mod servers;
mod stats;
mod wire;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;

use crate::{
    args::Args,
    report::{Line, Report},
    rows::{Bench, RowId},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(role) = args.role {
        return roles::play(role);
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_already| anyhow!("a cryptography provider is installed already"))?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the load client's runtime")?
        .block_on(measure(args))
}

/// Measures every wanted row, prints each as soon as it is known, and writes the results.
async fn measure(args: Args) -> anyhow::Result<()> {
    let bench = Bench::new(&args)?;
    let mut report = Report::new(&args, bench.data_root())?;
    if !args.json_only {
        report.print_head();
    }
    let mut failures = Vec::new();
    for row in RowId::wanted(&args.rows) {
        match row.run(&bench).await {
            Ok(lines) => {
                for line in lines {
                    announce(&args, &line);
                    report.lines.push(line);
                }
            }
            Err(error) => {
                let failure = format!("row {} was not measured: {error:#}", row.number());
                if !args.json_only {
                    println!("{failure}");
                }
                failures.push(failure);
            }
        }
    }
    report.failures.clone_from(&failures);
    report.finish(&args)?;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(anyhow!(failures.join("; ")))
    }
}

fn announce(args: &Args, line: &Line) {
    if !args.json_only {
        line.print();
    }
}
