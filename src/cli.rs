//! The command line: which commands there are, and how each ends.
//!
//! What a command does stands in the file of its name. Only commands write to standard output; everything else logs.

mod config;

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigErrors, Loaded};

/// The exit code of a command that was called wrongly, or with a wrong configuration.
const BAD_USAGE: u8 = 2;

/// A multi-tenant event engine: one durable, tamper-evident log per tenant; webhooks, pull and live tails.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file; without it ./config.toml, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Shows every setting that is in force, and where it comes from.
    Config(config::Arguments),
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    Configuration(ConfigErrors),
    /// It was tried, and did not work.
    Failed(anyhow::Error),
}

impl Global {
    /// Reads the configuration from the files and from the environment.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        // A variable that is no text cannot be one of ours.
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = env::vars_os().filter_map(text);
        Loaded::load(self.config.as_deref(), variables).map_err(Failure::Configuration)
    }
}

/// Runs the command that was asked for. Bad usage ends the process here, as `clap` does it.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Config(arguments) => config::run(&cli.global, &arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(errors)) => {
            eprintln!("trunkline: {errors}");
            ExitCode::from(BAD_USAGE)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("trunkline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
