//! Parts that the bench plays in processes of their own, so that they share no runtime with the load client.
//!
//! A part prints its port as its first line and ends with its standard input: it cannot outlive the bench.

mod bare_server;
mod bare_tail;
mod sink;

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use clap::Subcommand;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

pub(crate) use sink::Latency;

/// How long a part may take to start.
const START_WITHIN: Duration = Duration::from_secs(10);

/// One part.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// The ceiling of ingest: parses the body and answers.
    #[command(hide = true)]
    BareServer {
        /// Bytes of the body of each answer.
        #[arg(long)]
        answer_length: usize,
    },
    /// The receiver of webhooks: counts requests and answers 200.
    #[command(hide = true)]
    Sink,
    /// The ceiling of the tail: writes a recording to all who are connected.
    #[command(hide = true)]
    BareTail {
        /// The bytes to write.
        #[arg(long)]
        recording: PathBuf,
    },
}

/// A part that is being played. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Playing {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Child,
}

impl Role {
    /// Starts the part in a process of its own.
    pub(crate) async fn start(&self) -> anyhow::Result<Playing> {
        let program = std::env::current_exe().context("find the bench's own program")?;
        let mut process = Command::new(program)
            .args(self.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start a part of the bench")?;
        let output = process.stdout.take().context("the part has no output")?;
        let mut lines = BufReader::new(output).lines();
        let port = timeout(START_WITHIN, lines.next_line())
            .await
            .context("the part did not start in time")?
            .context("read the part's port")?
            .context("the part ended before it listened")?
            .parse::<u16>()
            .context("read the part's port")?;
        Ok(Playing {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            _process: process,
        })
    }

    fn arguments(&self) -> Vec<OsString> {
        match self {
            Role::BareServer { answer_length } => vec![
                "bare-server".into(),
                "--answer-length".into(),
                answer_length.to_string().into(),
            ],
            Role::Sink => vec!["sink".into()],
            Role::BareTail { recording } => {
                vec!["bare-tail".into(), "--recording".into(), recording.into()]
            }
        }
    }
}

/// Plays a part until standard input ends.
pub(crate) fn play(role: Role) -> anyhow::Result<()> {
    std::thread::spawn(end_with_stdin);
    match role {
        Role::BareServer { answer_length } => bare_server::play(answer_length),
        Role::Sink => sink::play(),
        Role::BareTail { recording } => bare_tail::play(&recording),
    }
}

fn end_with_stdin() {
    let mut ignored = [0; 64];
    while matches!(std::io::stdin().read(&mut ignored), Ok(1..)) {}
    std::process::exit(0);
}

/// Tells the bench where this part listens.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
    println!("{}", address.port());
    std::io::stdout().flush().context("announce the port")
}
