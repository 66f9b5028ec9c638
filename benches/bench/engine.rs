//! The engine under test: the real binary in a process of its own, with a store of its own.
//!
//! It is started twice. The first start makes the store and prints the key; the second writes its output nowhere, so that
//! reading it costs the measurement nothing.

mod api;

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::wire::{self, Wire};
pub(crate) use api::{Api, NewWebhook};

/// How long the engine may take to start.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// Good for a process that only this machine can reach, and that lives for minutes.
const INTERNAL_TOKEN: &str = "bench-internal-token-0123456789abcdef";

/// Where engines come from.
#[derive(Clone, Debug)]
pub(crate) struct Engines {
    /// The binary.
    pub(crate) program: PathBuf,
    /// Stores are made below this folder.
    pub(crate) data_root: PathBuf,
    /// A file for the engine's standard error.
    pub(crate) log: Option<PathBuf>,
}

/// A running engine. Dropping it kills it; [`Engine::stop`] ends it in order.
#[derive(Debug)]
pub(crate) struct Engine {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The default tenant's key.
    pub(crate) key: String,
    /// Its management calls.
    pub(crate) api: Api,
    folder: TempDir,
}

impl Engines {
    /// Starts an engine with an empty store and answers when it is ready. `settings` are environment variables.
    pub(crate) async fn start(&self, settings: &[(&str, &str)]) -> anyhow::Result<Engine> {
        ensure!(
            self.program.is_file(),
            "there is no engine at {}: build it with `cargo build --release`",
            self.program.display()
        );
        let folder = tempfile::Builder::new()
            .prefix("trunkline-bench-")
            .tempdir_in(&self.data_root)
            .context("make a folder for the engine's store")?;
        let key = self.first_start(folder.path(), settings).await?;
        self.start_in(folder, key, settings).await
    }

    /// Starts one more engine on stores that another one has made; `key` is what that one printed.
    pub(crate) async fn join(
        &self,
        key: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Engine> {
        let folder = tempfile::Builder::new()
            .prefix("trunkline-bench-")
            .tempdir_in(&self.data_root)
            .context("make a folder for the engine")?;
        self.start_in(folder, key.to_owned(), settings).await
    }

    async fn start_in(
        &self,
        folder: TempDir,
        key: String,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Engine> {
        let address = free_address().await?;
        let errors = match &self.log {
            None => Stdio::null(),
            Some(path) => Stdio::from(File::create(path).context("make the engine's log file")?),
        };
        let mut process = self
            .command(folder.path(), address, settings)?
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .context("start the engine")?;
        wait_until_ready(&mut process, address).await?;
        let api = Api::new(address, &key, INTERNAL_TOKEN)?;
        Ok(Engine {
            process,
            address,
            key,
            api,
            folder,
        })
    }

    async fn first_start(
        &self,
        folder: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let address = free_address().await?;
        let errors_path = folder.join("first-start.log");
        let errors = File::create(&errors_path).context("make the first start's log file")?;
        let mut process = self
            .command(folder, address, settings)?
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("start the engine for the first time")?;
        let output = process.stdout.take().context("the engine has no output")?;
        let mut lines = BufReader::new(output).lines();
        let read_key = async {
            while let Some(line) = lines
                .next_line()
                .await
                .context("read the engine's output")?
            {
                if let Some(key) = find_key(&line) {
                    return Ok(key.to_owned());
                }
            }
            let errors = std::fs::read_to_string(&errors_path).unwrap_or_default();
            bail!("the engine ended without a key: {}", errors.trim());
        };
        let key = timeout(START_WITHIN, read_key)
            .await
            .context("the engine printed no key in time")??;
        // Whatever else it prints must not fill the pipe and block it.
        let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        wait_until_ready(&mut process, address).await?;
        let status = end(&mut process).await?;
        rest.abort();
        ensure!(status.success(), "the first start ended with {status}");
        Ok(key)
    }

    fn command(
        &self,
        folder: &Path,
        address: SocketAddr,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Command> {
        let program = self.program.canonicalize().context("find the engine")?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .current_dir(folder)
            .env_clear()
            .env("DATA_DIR", folder.join("data"))
            .env("PORT", address.port().to_string())
            .env("TRUNKLINE__OUTBOUND__ALLOW", "127.0.0.0/8")
            .env("INTERNAL_TOKEN", INTERNAL_TOKEN)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

impl Engine {
    /// Its process id.
    pub(crate) fn process_id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the engine has ended")
    }

    /// Asks it to end, waits until it has, and deletes its store.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let status = end(&mut self.process).await?;
        self.folder.close().context("delete the engine's store")?;
        ensure!(status.success(), "the engine ended with {status}");
        Ok(())
    }
}

/// Sends SIGTERM and waits; kills what does not end.
async fn end(process: &mut Child) -> anyhow::Result<ExitStatus> {
    let id = process.id().context("the engine has ended by itself")?;
    let sent = Command::new("kill")
        .args(["-TERM", &id.to_string()])
        .status()
        .await
        .context("send SIGTERM")?;
    ensure!(sent.success(), "SIGTERM could not be sent");
    match timeout(STOP_WITHIN, process.wait()).await {
        Ok(status) => status.context("wait for the engine's end"),
        Err(_elapsed) => {
            process.kill().await.context("kill the engine")?;
            bail!("the engine did not end within {STOP_WITHIN:?} of SIGTERM");
        }
    }
}

async fn wait_until_ready(process: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let give_up_at = Instant::now() + START_WITHIN;
    while Instant::now() < give_up_at {
        if let Some(status) = process.try_wait().context("look at the engine")? {
            bail!("the engine ended with {status} before it was ready");
        }
        if let Ok(mut wire) = Wire::open(address).await
            && let Ok(200) = wire.exchange(&wire::get("/ready", "none")).await
        {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the engine was not ready within {START_WITHIN:?}");
}

/// An address of this machine that nobody listens on at the moment.
pub(crate) async fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener
        .and_then(|listener| listener.local_addr())
        .context("find a free port")
}

/// The first API key in a text: `ak_`, lower-case letters, digits and hyphens, `_`, 64 hex digits.
pub(crate) fn find_key(text: &str) -> Option<&str> {
    text.match_indices("ak_").find_map(|(start, _)| {
        let tenant = &text[start + 3..];
        let tenant_length =
            tenant.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))?;
        let secret = tenant[tenant_length..].strip_prefix('_')?;
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let secret_length = secret.find(|c| !is_hex(c)).unwrap_or(secret.len());
        (tenant_length > 0 && secret_length == 64)
            .then(|| &text[start..start + 3 + tenant_length + 1 + 64])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_within_a_line() {
        let key = format!("ak_my-tenant_{}", "0f".repeat(32));
        assert_eq!(find_key(&format!("  key: {key} (shown once)")), Some(&*key));
        assert_eq!(find_key(&format!("ak_{key}")), Some(&*key));
        assert_eq!(find_key("ak_short_0f0f"), None);
    }
}
