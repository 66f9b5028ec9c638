//! Backup and restore, as `docs/operating/backup.md` describes them: taken from an engine under load, restored elsewhere.

use std::{
    collections::HashSet, ffi::OsStr, fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc,
};

use serde_json::json;
use tokio::process::Command;

use crate::harness::{
    Client, Engine, Settings, Sink,
    client::{number, text},
    export::fetch_verified,
    load::{Acknowledged, Load},
    postgres::{Database, query},
    program::Ended,
    store::Store,
    until,
};

/// Events that are there before the backup begins.
const BEFORE: usize = 300;
/// Events that come while it is made, at least.
const MEANWHILE: usize = 100;

async fn run(program: impl AsRef<OsStr>, arguments: &[&OsStr]) -> Ended {
    let output = Command::new(program.as_ref())
        .args(arguments)
        .output()
        .await
        .expect("the program can be started");
    Ended {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs the script that the page names.
async fn back_up(data_dir: &Path, target: &Path, more: &[&OsStr]) -> Ended {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/backup/embedded.sh");
    let mut arguments = vec![data_dir.as_os_str(), target.as_os_str()];
    arguments.extend(more);
    run(script, &arguments).await
}

/// What a backup must bring back.
struct Known {
    client: Client,
    workspace: String,
    verifier: String,
    secret: String,
    sink: Sink,
}

impl Known {
    /// Sets up what an engine can lose: a webhook, a workspace's signed checkpoint, a pull reader's place.
    async fn set_up(client: Client) -> Known {
        let sink = Sink::start().await;
        let webhook = json!({ "url": sink.url() });
        let webhook = client.post("/v1/webhooks", &webhook).await.ok(201).data();
        let receipt = client
            .send_event(&json!({ "type": "first", "payload": 0 }))
            .await;
        client
            .post("/v1/inbox/ack", &json!({ "up_to": 1 }))
            .await
            .ok(200);
        let workspace = text(&receipt, "workspace").to_owned();
        let path = format!("/v1/workspaces/{workspace}/checkpoint");
        let checkpoint = client.get(&path).await.ok(200);
        let verifier = checkpoint.header("x-verifier-key").expect("a key");
        Known {
            verifier: verifier.to_owned(),
            secret: text(&webhook, "secret").to_owned(),
            client,
            workspace,
            sink,
        }
    }

    /// Checks a restored engine against what was there.
    async fn is_restored(&self, restored: &Engine, client: &Client, before: &[Acknowledged]) {
        let events = fetch_verified(restored, client).await;
        let positions: Vec<u64> = events
            .iter()
            .map(|event| number(event, "position"))
            .collect();
        let whole: Vec<u64> = (1..=events.len() as u64).collect();
        assert_eq!(positions, whole, "no hole and no fork");
        let there: HashSet<(&str, u64)> = events
            .iter()
            .map(|event| (text(event, "id"), number(event, "position")))
            .collect();
        for one in before {
            let key = (one.id.as_str(), one.position);
            assert!(
                there.contains(&key),
                "{one:?} was acknowledged before the backup"
            );
        }
        let inbox = client.get("/v1/inbox?limit=1").await.ok(200).data();
        assert_eq!(inbox[0]["position"], 2, "the reader is where it was");
        let path = format!("/v1/workspaces/{}/checkpoint", self.workspace);
        let checkpoint = client.get(&path).await.ok(200);
        let verifier = checkpoint.header("x-verifier-key");
        assert_eq!(verifier, Some(&*self.verifier), "the same signing key");
        let next = json!({ "type": "later", "payload": { "n": "after" } });
        let receipt = client.send_event(&next).await;
        assert_eq!(number(&receipt, "position"), events.len() as u64 + 1);
        let id = text(&receipt, "id").to_owned();
        let delivered = until("a later event is delivered", async || {
            let received = self.sink.received();
            received
                .into_iter()
                .find(|one| one.json()["id"] == id.as_str())
        })
        .await;
        delivered.verify(&self.secret);
    }
}

#[tokio::test]
async fn a_copy_of_a_running_embedded_engine_has_everything_that_was_acknowledged_before() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    let known = Known::set_up(engine.client()).await;
    let load = Load::start(&known.client, 4, "a");
    until("there is something", async || {
        (load.count() >= BEFORE).then_some(())
    })
    .await;
    let before = load.count();
    let target = engine.home().join("backup");
    let ended = back_up(&engine.data_dir(), &target, &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let then = load.count() + MEANWHILE;
    until("the load goes on", async || {
        (load.count() >= then).then_some(())
    })
    .await;
    assert_eq!(load.refused().len(), 0, "a backup hinders nobody");
    let acknowledged = load.stop().await;
    engine.kill_9().await;
    let mode = fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "only the owner may look in");

    known.sink.take();
    let settings = Settings::default().embedded().in_folder(&target);
    let restored = Engine::start_expecting_no_key(settings).await;
    let client = restored.anonymous().with_key(engine.key());
    known
        .is_restored(&restored, &client, &acknowledged[..before])
        .await;
}

#[tokio::test]
async fn a_dump_of_a_running_postgres_has_everything_that_was_acknowledged_before() {
    let database = Arc::new(Database::fresh());
    let store = Store::Postgres(Arc::clone(&database));
    let mut engine = Engine::start_with(Settings::default().on(store)).await;
    let known = Known::set_up(engine.client()).await;
    let load = Load::start(&known.client, 4, "a");
    until("there is something", async || {
        (load.count() >= BEFORE).then_some(())
    })
    .await;
    let before = load.count();
    let dump = engine.home().join("trunkline.dump");
    let mut into = "--file=".to_owned();
    into += dump.to_str().expect("paths of tests are text");
    let dumped = run(
        "pg_dump",
        &[
            "--format=custom".as_ref(),
            into.as_ref(),
            database.url().as_ref(),
        ],
    )
    .await;
    assert_eq!(dumped.code, Some(0), "{}", dumped.said());
    let then = load.count() + MEANWHILE;
    until("the load goes on", async || {
        (load.count() >= then).then_some(())
    })
    .await;
    assert_eq!(load.refused().len(), 0, "a backup hinders nobody");
    let acknowledged = load.stop().await;
    engine.kill_9().await;

    let other = Arc::new(Database::fresh());
    let target = format!("--dbname={}", other.url());
    let flags = [
        "--exit-on-error",
        "--no-owner",
        "--single-transaction",
        &*target,
    ];
    let mut arguments: Vec<&OsStr> = flags.iter().map(AsRef::as_ref).collect();
    arguments.push(dump.as_ref());
    let restored = run("pg_restore", &arguments).await;
    assert_eq!(restored.code, Some(0), "{}", restored.said());
    query(&other.url(), "DELETE FROM trunkline.node_sessions");
    known.sink.take();
    // As the page says, the master key is kept beside the dump.
    let settings = Settings::default()
        .on(Store::Postgres(other))
        .with("MASTER_KEY", database.master_key());
    let restored = Engine::start_expecting_no_key(settings).await;
    let client = restored.anonymous().with_key(engine.key());
    known
        .is_restored(&restored, &client, &acknowledged[..before])
        .await;
}

#[tokio::test]
async fn a_backup_of_an_embedded_store_is_refused_where_it_would_overwrite_or_find_nothing() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    let (data, home) = (engine.data_dir(), engine.home().to_owned());
    engine.send_sigterm().await;
    engine.ended().await;
    let nothing = back_up(&home.join("nothing"), &home.join("a"), &[]).await;
    assert_ne!(nothing.code, Some(0));
    assert!(
        nothing.errors.contains("there is no store"),
        "{}",
        nothing.said()
    );
    let stopped = back_up(&data, &home.join("a"), &["--without-key".as_ref()]).await;
    assert_eq!(
        stopped.code,
        Some(0),
        "a stopped engine is copied too: {}",
        stopped.said()
    );
    assert!(home.join("a/control.db").exists() && !home.join("a/master.key").exists());
    let again = back_up(&data, &home.join("a"), &[]).await;
    assert!(
        again.errors.contains("is there already"),
        "{}",
        again.said()
    );
    fs::write(data.join("AU.db"), "no database").unwrap();
    let damaged = back_up(&data, &home.join("b"), &[]).await;
    assert_ne!(damaged.code, Some(0));
    assert!(
        !home.join("b").exists(),
        "what is not whole never has the name"
    );
}

#[tokio::test]
async fn an_embedded_log_that_is_older_than_what_was_signed_is_not_signed_again() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    let known = Known::set_up(engine.client()).await;
    let target = engine.home().join("backup");
    let ended = back_up(&engine.data_dir(), &target, &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    known
        .client
        .send_event(&json!({ "type": "lost", "payload": 1 }))
        .await;
    let path = format!("/v1/workspaces/{}/checkpoint", known.workspace);
    known.client.get(&path).await.ok(200);
    engine.kill_9().await;
    // The newer memory of what was signed survives the loss of the databases.
    let newer = engine.data_dir().join("checkpoints");
    fs::remove_dir_all(target.join("checkpoints")).unwrap();
    fs::rename(newer, target.join("checkpoints")).unwrap();
    let settings = Settings::default().embedded().in_folder(&target);
    let restored = Engine::start_expecting_no_key(settings).await;
    let client = restored.anonymous().with_key(engine.key());
    client.get(&path).await.problem(500, "internal");
    let reason = until("the log says why", async || {
        let log = restored.log();
        log.contains("does not continue what was signed")
            .then_some(log)
    })
    .await;
    assert!(reason.contains(&known.workspace), "{reason}");
}
