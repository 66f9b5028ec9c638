//! PostgreSQL and NATS for the rows that need them: started by the tests' own script, in a folder on the measured disk.
//!
//! Ends both when it is dropped.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// Starts and stops both servers.
const SCRIPT: &str = "tests/servers.sh";

/// Both servers, running.
#[derive(Debug)]
pub(crate) struct Servers {
    /// A database that is always there, of a user who may make others.
    postgres: String,
    /// Where NATS listens.
    pub(crate) nats: String,
    folder: TempDir,
}

impl Servers {
    /// Starts both below `root` and answers when they can be used. Run from the project's folder.
    pub(crate) fn start(root: &Path) -> anyhow::Result<Servers> {
        let folder = tempfile::Builder::new()
            .prefix("trunkline-bench-servers-")
            .tempdir_in(root)
            .context("make a folder for the servers")?;
        // The user that PostgreSQL runs as must be able to pass through.
        #[cfg(unix)]
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o711),
        )
        .context("open the servers' folder")?;
        let mut servers = Servers {
            postgres: String::new(),
            nats: String::new(),
            folder,
        };
        let output = servers.script("start")?;
        let value_of = |name: &str| {
            let line = output.lines().find_map(|line| {
                line.strip_prefix("export ")?
                    .strip_prefix(name)?
                    .strip_prefix('=')
            });
            line.map(str::to_owned)
                .with_context(|| format!("{SCRIPT} said no {name}"))
        };
        servers.postgres = value_of("TRUNKLINE_TEST_POSTGRES")?;
        servers.nats = value_of("TRUNKLINE_TEST_NATS")?;
        Ok(servers)
    }

    /// The URL of a fresh database.
    pub(crate) async fn database(&self, name: &str) -> anyhow::Result<String> {
        let client = connect(&self.postgres).await?;
        let sql = format!("CREATE DATABASE {name} TEMPLATE template0");
        client
            .batch_execute(&sql)
            .await
            .context("make a database")?;
        let (server, _) = self
            .postgres
            .rsplit_once('/')
            .context("the server's URL names no database")?;
        Ok(format!("{server}/{name}"))
    }

    fn folder(&self) -> PathBuf {
        self.folder.path().join("servers")
    }

    fn script(&self, what: &str) -> anyhow::Result<String> {
        let output = Command::new(SCRIPT)
            .arg(what)
            .arg(self.folder())
            .output()
            .with_context(|| format!("run {SCRIPT}, which lies in the project's folder"))?;
        ensure!(
            output.status.success(),
            "{SCRIPT} {what} failed (./test.sh installs what it needs): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8(output.stdout).context("read what the script said")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Err(error) = self.script("stop") {
            eprintln!("the servers may still run: {error:#}");
        }
    }
}

/// A connection whose driver runs beside it until it is dropped.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("connect to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The settings of an engine whose stores are in this database, with one region, and that meets others over NATS if there
/// is one.
pub(crate) fn settings<'a>(
    database: &'a str,
    nats: Option<&'a str>,
    node: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("DATABASE_URL", database),
        ("MASTER_KEY", MASTER_KEY),
        ("INSTANCE_ID", node),
        ("TRUNKLINE__REGIONS__ENABLED", "AU"),
    ];
    settings.extend(nats.map(|url| ("NATS_URL", url)));
    settings
}

/// Good for stores that live for minutes.
const MASTER_KEY: &str = "6f1d0c2b3a495867768594a3b2c1d0e0ffeeddccbbaa99887766554433221100";
