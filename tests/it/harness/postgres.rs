//! PostgreSQL for tests: a database of its own on the common server, or a server of its own where a test stops it.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;
use tokio::process::{Child, Command as Running};

use super::{ports::free_port, process, until::until};

/// The variable with the address of the common server.
const COMMON_SERVER: &str = "TRUNKLINE_TEST_POSTGRES";
/// How often another port is tried when somebody else was faster.
const PORTS_TRIED_MAX: usize = 10;

/// A database that was empty, on the common server. Dropped with everything in it when it is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
    number: u32,
}

/// A server that a test may stop, kill and freeze. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    // Before the folder that it works in.
    process: Option<Child>,
    port: u16,
    home: TempDir,
    user: Option<(u32, u32)>,
}

impl Database {
    /// Makes one.
    pub(crate) fn fresh() -> Database {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var(COMMON_SERVER).unwrap_or_else(|_| {
            panic!("{COMMON_SERVER} is not set: run ./test.sh, which starts the servers that tests need")
        });
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("it_{}_{number}", std::process::id());
        let database = Database {
            server,
            name,
            number,
        };
        // A process with the same id may have been killed before it could tidy up.
        query(&database.server, &database.drop_statement());
        let create = format!("CREATE DATABASE {} TEMPLATE template0", database.name);
        query(&database.server, &create);
        database
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let (server, _database) = self.server.rsplit_once('/').expect("a URL with a database");
        format!("{server}/{}", self.name)
    }

    /// A master key for the engines on it, which no other database has.
    pub(crate) fn master_key(&self) -> String {
        format!("{:032x}{:032x}", std::process::id(), self.number)
    }

    fn drop_statement(&self) -> String {
        format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Failing in a drop would hide why the test failed.
        run_psql(&self.server, &self.drop_statement()).ok();
    }
}

impl PostgresServer {
    /// Makes a new installation and starts it.
    pub(crate) async fn start() -> PostgresServer {
        let home = TempDir::new().expect("a folder for the server can be made");
        let user = unprivileged_user();
        if let Some((uid, gid)) = user {
            chown(home.path(), Some(uid), Some(gid)).expect("root may give folders away");
        }
        let mut server = PostgresServer {
            process: None,
            port: 0,
            home,
            user,
        };
        server.initialise();
        for _ in 0..PORTS_TRIED_MAX {
            server.port = free_port();
            if server.spawn_until_ready().await {
                return server;
            }
        }
        panic!("PostgreSQL does not start: {}", server.log());
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The address of its database, seen through another port.
    pub(crate) fn url_through(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }

    /// Ends it in order, as an administrator who restarts it does: sessions are cut off, nothing is lost.
    pub(crate) async fn stop(&mut self) {
        self.end_by("INT").await;
    }

    /// Ends it without a farewell; it repairs itself when it starts again.
    pub(crate) async fn crash(&mut self) {
        self.end_by("QUIT").await;
    }

    /// Starts it again on the same port.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        assert!(self.spawn_until_ready().await, "{}", self.log());
    }

    /// Stops every one of its processes where it is.
    pub(crate) async fn freeze(&self) {
        let postmaster = self.process_id();
        // First, so that it starts no more of them.
        process::signal(postmaster, "STOP").await;
        for child in process::children(postmaster) {
            // One that was about to end may be gone.
            process::try_signal(child, "STOP").await;
        }
    }

    /// Lets them go on.
    pub(crate) async fn thaw(&self) {
        let postmaster = self.process_id();
        for child in process::children(postmaster) {
            process::try_signal(child, "CONT").await;
        }
        process::signal(postmaster, "CONT").await;
    }

    fn process_id(&self) -> u32 {
        let process = self.process.as_ref().expect("it runs");
        process.id().expect("it has not been waited for")
    }

    async fn end_by(&mut self, signal: &str) {
        process::signal(self.process_id(), signal).await;
        let mut process = self.process.take().expect("it runs");
        process.wait().await.expect("one's own process ends");
    }

    fn initialise(&self) {
        let mut command = self.program("initdb");
        command
            .arg("--pgdata")
            .arg(self.data())
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--no-instructions", "--no-sync"]);
        let output = command.output().expect("initdb can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "initdb: {errors}");
    }

    async fn spawn_until_ready(&mut self) -> bool {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"));
        let mut command = Running::from(self.program("postgres"));
        let mut process = command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=200"])
            .stdin(Stdio::null())
            .stderr(log.expect("the log can be opened"))
            .kill_on_drop(true)
            .spawn()
            .expect("postgres can be run");
        let url = PostgresServer::url_through(self.port);
        let is_ready = until("PostgreSQL is ready", async || {
            if let Ok(Some(_status)) = process.try_wait() {
                return Some(false);
            }
            run_psql(&url, "SELECT 1").is_ok().then_some(true)
        })
        .await;
        self.process = is_ready.then_some(process);
        is_ready
    }

    fn program(&self, name: &str) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(programs().join(name));
        command.current_dir(self.home.path()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The children see that the first process has gone and follow it, unless they are frozen.
        let Some(postmaster) = self.process.as_ref().and_then(Child::id) else {
            return;
        };
        for child in process::children(postmaster) {
            process::signal_now(child, "CONT");
        }
    }
}

/// Runs one statement and answers what it says, a row a line.
#[track_caller]
pub(crate) fn query(url: &str, statement: &str) -> String {
    match run_psql(url, statement) {
        Ok(said) => said,
        Err(errors) => panic!("{statement}: {errors}"),
    }
}

/// Everything that a database holds, as text.
pub(crate) fn dump(url: &str) -> Vec<u8> {
    let output = Command::new("pg_dump").arg(url).output();
    let output = output.expect("pg_dump can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_dump: {errors}");
    output.stdout
}

fn run_psql(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
        .args(["-c", "SET client_min_messages = error", "-c", statement])
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .expect("psql can be run");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Where the server's programs are: not on the path in Debian, because versions may stand side by side.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<_> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort_unstable();
    // Elsewhere they are on the path, and a bare name is enough.
    found.pop().unwrap_or_else(|| Path::new("").to_owned())
}

/// Whom the server runs as: it refuses root.
fn unprivileged_user() -> Option<(u32, u32)> {
    let number = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    if number(&["-u"]) != Some(0) {
        return None;
    }
    let user = number(&["-u", "postgres"]).zip(number(&["-g", "postgres"]));
    Some(user.expect("root needs a user `postgres` to run the server as"))
}
