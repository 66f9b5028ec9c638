//! The program as a command: run to its end, with what it wrote.

use std::{ffi::OsStr, process::Stdio};

use tokio::process::Command;

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

/// The program, with nothing of the test's own environment but the path.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Ended {
    let mut command = program();
    command.args(arguments).envs(variables.iter().copied());
    let output = command.output().await.expect("the program can be started");
    Ended {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ended {
    /// Everything that was written.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.output, self.errors)
    }
}
