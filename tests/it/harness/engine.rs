//! The engine as a process of its own, with a store of its own, that a test may stop, kill and start again.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout},
};

use super::{
    client::{Client, text},
    ports::free_port,
    process, program,
    store::Store,
    until::{soon, until},
};

/// The operators' token of every engine under test.
pub(crate) const INTERNAL_TOKEN: &str = "an-internal-token-for-tests-0123456789";
/// How often another port is tried when somebody else was faster.
const PORTS_TRIED_MAX: usize = 10;
/// How much of the log is shown when a test fails.
const LOG_SHOWN_BYTES: usize = 6_000;

/// What an engine is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    variables: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    store: Option<Store>,
}

/// A running engine. Dropping it kills it and deletes its store.
#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    running: Option<Running>,
    port: u16,
    key: String,
    home: TempDir,
}

#[derive(Debug)]
struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
}

/// A tenant, with a client that has its first key.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    /// Its id.
    pub(crate) id: String,
    /// Its first key.
    pub(crate) key: String,
    /// Calls the API as this tenant.
    pub(crate) client: Client,
}

impl Settings {
    /// Sets one environment variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Settings {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Keeps the store in this folder, which the test made.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Settings {
        self.data_dir = Some(folder.to_owned());
        self
    }

    /// Keeps the data in this store.
    pub(crate) fn on(mut self, store: Store) -> Settings {
        self.store = Some(store);
        self
    }

    /// Keeps the data in files, whatever the other tests run on.
    pub(crate) fn embedded(self) -> Settings {
        self.on(Store::Embedded)
    }
}

impl Engine {
    /// Starts an engine with an empty store, and answers when it is ready.
    pub(crate) async fn start() -> Engine {
        Engine::start_with(Settings::default()).await
    }

    /// The same with settings.
    pub(crate) async fn start_with(settings: Settings) -> Engine {
        let mut engine = Engine::start_expecting_no_key(settings).await;
        engine.key = engine.first_key().await;
        engine
    }

    /// The same on a store that may have been used before, so that no key may be printed.
    pub(crate) async fn start_expecting_no_key(mut settings: Settings) -> Engine {
        settings.store.get_or_insert_with(Store::fresh);
        let home = TempDir::new().expect("a folder for the store can be made");
        let mut engine = Engine {
            settings,
            running: None,
            port: 0,
            key: String::new(),
            home,
        };
        for _ in 0..PORTS_TRIED_MAX {
            engine.port = free_port();
            match engine.spawn_until_ready().await {
                Ok(()) => return engine,
                Err(_status) if engine.log().to_lowercase().contains("in use") => {}
                Err(status) => panic!("the engine ended with {status}: {}", engine.log()),
            }
        }
        panic!("no free port was found");
    }

    /// Starts one more on a store that has a first tenant, whose key is known.
    pub(crate) async fn join(settings: Settings, key: &str) -> Engine {
        let mut engine = Engine::start_expecting_no_key(settings).await;
        key.clone_into(&mut engine.key);
        engine
    }

    /// Starts it again on the same store and port.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        if let Err(status) = self.spawn_until_ready().await {
            panic!("the engine ended with {status}: {}", self.log());
        }
    }

    /// Kills it at once, as `kill -9` does, and waits until it is gone.
    pub(crate) async fn kill_9(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running
            .child
            .kill()
            .await
            .expect("one's own process can be killed");
        self.store().forget_the_dead();
    }

    /// Sends SIGTERM.
    pub(crate) async fn send_sigterm(&self) {
        process::signal(self.process_id(), "TERM").await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let status = soon("the engine has ended", running.child.wait()).await;
        status.expect("one's own process can be waited for")
    }

    /// Ends it in order and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.send_sigterm().await;
        let status = self.ended().await;
        assert!(
            status.success(),
            "the engine ended with {status}: {}",
            self.log()
        );
        self.start_again().await;
    }

    /// Changes what it will be started with the next time.
    pub(crate) fn change(&mut self, change: impl FnOnce(Settings) -> Settings) {
        self.settings = change(std::mem::take(&mut self.settings));
    }

    /// A client with the first tenant's key.
    pub(crate) fn client(&self) -> Client {
        self.anonymous().with_key(&self.key)
    }

    /// A client without any key.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(format!("http://127.0.0.1:{}", self.port))
    }

    /// A client with the operators' token.
    pub(crate) fn operator(&self) -> Client {
        self.anonymous()
            .with_header("x-internal-token", INTERNAL_TOKEN)
    }

    /// Makes another tenant on a plan.
    pub(crate) async fn tenant(&self, slug: &str, plan: &str) -> Tenant {
        let body = json!({ "name": slug, "slug": slug, "plan": plan, "region": "AU" });
        let answer = self.operator().post("/internal/tenants", &body).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        let made = answer.text();
        let key = find_key(&made).expect("a new tenant comes with a key");
        let id = find_id(&made, "ten_").expect("a new tenant comes with its id");
        Tenant {
            id: id.to_owned(),
            key: key.to_owned(),
            client: self.anonymous().with_key(key),
        }
    }

    /// The id of the first tenant.
    pub(crate) async fn first_tenant_id(&self) -> String {
        let tenants = self
            .operator()
            .get("/internal/tenants")
            .await
            .ok(200)
            .data();
        let is_default = |tenant: &&Value| tenant["slug"] == "default";
        let found = tenants
            .as_array()
            .and_then(|list| list.iter().find(is_default).cloned());
        text(&found.expect("there is a tenant `default`"), "id").to_owned()
    }

    /// The first tenant's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub(crate) fn process_id(&self) -> u32 {
        let running = self.running.as_ref().expect("it runs");
        running.child.id().expect("it has not been waited for")
    }

    /// Everything that its present process wrote to standard output.
    pub(crate) fn output(&self) -> String {
        let running = self.running.as_ref().expect("it runs");
        running
            .output
            .lock()
            .expect("nobody panics while holding it")
            .clone()
    }

    /// Everything that it ever wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where its databases are.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let own = self.settings.data_dir.clone();
        own.unwrap_or_else(|| self.home.path().join("data"))
    }

    /// The variables by which commands find its store.
    pub(crate) fn store_variables(&self) -> Vec<(String, OsString)> {
        let mut variables = vec![("DATA_DIR".to_owned(), self.data_dir().into_os_string())];
        let given = self.store().variables().into_iter();
        variables.extend(given.map(|(name, value)| (name, value.into())));
        variables
    }

    /// Where its data are.
    pub(crate) fn store(&self) -> &Store {
        let store = self.settings.store.as_ref();
        store.expect("every engine has one from its start")
    }

    /// A folder that goes when the engine goes.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    async fn spawn_until_ready(&mut self) -> Result<(), ExitStatus> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path());
        let mut child = program::program()
            .arg("serve")
            .current_dir(self.home.path())
            .env("DATA_DIR", self.data_dir())
            .env("PORT", self.port.to_string())
            .env("INTERNAL_TOKEN", INTERNAL_TOKEN)
            .env("TRUNKLINE__OUTBOUND__ALLOW", "127.0.0.0/8")
            .env("TRUNKLINE__LOG__REQUESTS", "false")
            .envs(self.store().variables())
            .envs(self.settings.variables.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(log.expect("the log can be opened"))
            .spawn()
            .expect("the program can be started");
        let output = gather(child.stdout.take().expect("the output is piped"));
        let probe = self.anonymous();
        let outcome = until("the engine is ready", async || {
            if let Some(status) = child.try_wait().expect("one's own process can be asked") {
                return Some(Err(status));
            }
            let answer = probe.get("/ready").attempt().await;
            matches!(answer, Ok(answer) if answer.status == 200).then_some(Ok(()))
        })
        .await;
        self.running = Some(Running { child, output });
        outcome.inspect_err(|_| self.running = None)
    }

    async fn first_key(&self) -> String {
        until("the first key is printed", async || {
            find_key(&self.output()).map(str::to_owned)
        })
        .await
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("stderr.log")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(LOG_SHOWN_BYTES);
            let shown = log.get(start..).unwrap_or(&log);
            eprintln!("--- the engine's log ends with:\n{shown}\n---");
        }
    }
}

/// Reads whatever a process writes, so that its pipe never fills.
fn gather(output: ChildStdout) -> Arc<Mutex<String>> {
    let gathered = Arc::new(Mutex::new(String::new()));
    let target = Arc::clone(&gathered);
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut text = target.lock().expect("nobody panics while holding it");
            text.push_str(&line);
            text.push('\n');
        }
    });
    gathered
}

/// The first API key in a text: `ak_`, a slug, `_`, 64 hex digits.
pub(crate) fn find_key(text: &str) -> Option<&str> {
    text.match_indices("ak_").find_map(|(start, _)| {
        let is_slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let rest = &text[start + 3..];
        let slug = rest.find(|c| !is_slug(c))?;
        let secret = rest[slug..].strip_prefix('_')?;
        let digits = secret
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(secret.len());
        (slug > 0 && digits == 64).then(|| &text[start..start + 3 + slug + 1 + 64])
    })
}

/// The first id with this prefix in a text.
fn find_id<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.find(prefix)?;
    let rest = &text[start..];
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    Some(&rest[..rest.find(|c| !is_id(c)).unwrap_or(rest.len())])
}
