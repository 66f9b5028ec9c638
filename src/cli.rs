//! The command line: which commands there are, and how each ends.
//!
//! What a command does stands in the file of its name. Only commands write to standard output; everything else logs.

mod client;
mod config;
mod demo;
mod follow;
mod health;
mod keys;
mod listen;
mod migrate;
mod operator;
mod seen;
mod send;
mod serve;
mod sse;
mod tail;
mod tenants;
mod verify;

use std::{
    env,
    ffi::OsString,
    future::Future,
    io::{self, ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::{
    assemble::AssembleError,
    config::{ConfigErrors, Loaded},
};

/// The exit code of a command that was called wrongly, or with a wrong configuration.
const BAD_USAGE: u8 = 2;

/// A multi-tenant event engine: one durable, tamper-evident log per tenant; webhooks, pull and live tails.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    /// Without a command, it serves.
    #[command(subcommand)]
    command: Option<Command>,
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
    /// Runs the engine until it is told to stop; what happens if no command is named.
    Serve(serve::Arguments),
    /// Shows the engine at work, in a temporary folder: events, signed webhooks, retries.
    Demo(demo::Arguments),
    /// Shows events of a running server as they come in.
    Tail(tail::Arguments),
    /// Sends one event to a running server.
    Send(send::Arguments),
    /// Delivers the events of a running server to a local URL, signed as a webhook would be.
    Listen(listen::Arguments),
    /// Checks an export, or the proof of one event, without any server.
    Verify(verify::Arguments),
    /// Makes, lists, rotates and revokes API keys in the configured store.
    Keys(keys::Arguments),
    /// Makes, lists and changes tenants in the configured store.
    Tenants(tenants::Arguments),
    /// Brings the schemas of the configured store up to date; a server does it when it starts.
    Migrate(migrate::Arguments),
    /// Shows every setting that is in force, and where it comes from.
    Config(config::Arguments),
    /// Asks the server on this machine whether it can do its work; exit code 1 if not.
    Health(health::Arguments),
}

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is wrong.
    Configuration(ConfigErrors),
    /// It was tried, and did not work.
    Failed(anyhow::Error),
    /// It cannot work in the way in which it was called.
    Usage(anyhow::Error),
    /// Whoever reads its output has seen enough.
    NobodyReads,
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
    let Cli { global, command } = Cli::parse();
    let command = command.unwrap_or(Command::Serve(serve::Arguments::default()));
    let outcome = match command {
        Command::Serve(arguments) => serve::run(&global, &arguments),
        Command::Demo(arguments) => demo::run(&global, &arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Listen(arguments) => listen::run(&global, &arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Keys(arguments) => keys::run(&global, arguments),
        Command::Tenants(arguments) => tenants::run(&global, arguments),
        Command::Migrate(arguments) => migrate::run(&global, &arguments),
        Command::Config(arguments) => config::run(&global, &arguments),
        Command::Health(arguments) => health::run(&global, &arguments),
    };
    match outcome {
        Ok(()) | Err(Failure::NobodyReads) => ExitCode::SUCCESS,
        Err(Failure::Configuration(errors)) => {
            eprintln!("trunkline: {errors}");
            ExitCode::from(BAD_USAGE)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("trunkline: {}", explain(&error));
            ExitCode::FAILURE
        }
        Err(Failure::Usage(error)) => {
            eprintln!("trunkline: {}", explain(&error));
            ExitCode::from(BAD_USAGE)
        }
    }
}

/// Writes to standard output, and makes sure that it arrived.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
        written => Ok(written.context("write to standard output")?),
    }
}

/// An error with its causes, in one line. Some errors tell their cause themselves: nothing is told twice.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause;
    }
    text
}

/// Runs a client's work.
fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("start a runtime")?.block_on(work)
}

impl Failure {
    /// Why there is no node.
    fn assemble(error: AssembleError) -> Failure {
        if error.is_usage() {
            Failure::Usage(error.into())
        } else {
            Failure::Failed(error.into())
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

    #[test]
    fn no_cause_is_told_twice() {
        let cause = anyhow::anyhow!("in use");
        let error = cause.context("cannot listen on a: in use").context("start");
        assert_eq!(explain(&error), "start: cannot listen on a: in use");
    }
}
