//! What the bench can be told on its command line.
//!
//! Sizes are not here: see [`crate::scale`].

use std::path::PathBuf;

use clap::Parser;

use crate::roles::Role;

/// Measures a release build of the engine against ceilings on the same machine.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Rows to measure, such as `1,4,7`; all of them if left out.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=13))]
    pub(crate) rows: Vec<u8>,
    /// Small counts: shows that every row works, not how fast the engine is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Names the results file; today's date if left out. A quick run without a label writes no file.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Prints the results as JSON and nothing else.
    #[arg(long)]
    pub(crate) json_only: bool,
    /// The engine's binary.
    #[arg(long, default_value = "target/release/trunkline")]
    pub(crate) engine: PathBuf,
    /// Where results are kept.
    #[arg(long, default_value = "benches/results")]
    pub(crate) results: PathBuf,
    /// Where the stores under test are made; must be on the disk that is to be measured. The system's temporary folder if
    /// left out.
    #[arg(long)]
    pub(crate) data_root: Option<PathBuf>,
    /// A file for what the engine writes to its standard error; thrown away if left out.
    #[arg(long)]
    pub(crate) engine_log: Option<PathBuf>,
    /// A part that this program plays for itself in a process of its own.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}
