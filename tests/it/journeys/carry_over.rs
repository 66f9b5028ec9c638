//! `trunkline migrate --from sqlite: --to postgres:`: an embedded installation goes on as the same one on PostgreSQL.

use std::{ffi::OsStr, fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    Behaviour, Client, Engine, Settings, Sink, Store,
    client::{number, text},
    export::{events_of, fetch, fetch_verified},
    postgres::{Database, query},
    program::{self, Ended},
    until,
};

/// Events of the bulk: more than are written at once, and more than one kept tree node covers.
const BULK: usize = 1_300;
/// The position at which the first run is stopped.
const STOPPED_AT: u64 = 700;
/// Where events before that position end that were written in whole transactions.
const WRITTEN: &str = "500";
/// With which the schemas are made ahead; nothing is sealed by it.
const MASTER_KEY: &str = "6d61737465722d6b65792d6f662d74686520656e67696e652d756e6465722d74";
/// Positions are the lower 40 bits of a place.
const POSITION: &str = "(place & 1099511627775)";

fn arguments<'a>(from: &'a str, to: &'a str) -> [&'a str; 6] {
    ["migrate", "--from", from, "--to", to, "--json"]
}

async fn migrate(from: &Path, to: &str) -> Ended {
    let from = format!("sqlite:{}", from.display());
    program::run(&arguments(&from, to), &[]).await
}

async fn stop(engine: &mut Engine) {
    engine.send_sigterm().await;
    let status = engine.ended().await;
    assert!(status.success(), "{status}: {}", engine.log());
}

/// Changes a file of the stopped engine behind its back.
async fn change(file: &Path, statement: &str) {
    let done = tokio::process::Command::new("sqlite3")
        .arg(file)
        .arg(statement)
        .output()
        .await
        .expect("sqlite3 can be run");
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
}

/// Everything that the tenant may see of an installation, and that must be the same afterwards.
#[derive(Debug, PartialEq)]
struct Seen {
    lists: Vec<(&'static str, Vec<Value>)>,
    deliveries: Vec<Vec<Value>>,
    events: Vec<String>,
    consumer: Value,
}

/// What was set up.
struct Installation {
    fine: Sink,
    failing: Sink,
    refusing: Sink,
    webhooks: Vec<String>,
    secret: String,
    receipt: Value,
    workspace: String,
}

impl Installation {
    async fn set_up(client: &Client) -> Installation {
        let body = json!({ "slug": "other", "name": "Other" });
        let other = client.post("/v1/workspaces", &body).await.ok(201).data();
        let fine = Sink::start().await;
        let failing = Sink::that(Behaviour::Answer(503)).await;
        let refusing = Sink::that(Behaviour::Answer(400)).await;
        let mut webhooks = Vec::new();
        let mut secret = String::new();
        for (sink, kind) in [(&fine, "fine"), (&failing, "fails"), (&refusing, "dies")] {
            let retry = json!({ "schedule": [0, 3600] });
            let body = json!({ "url": sink.url(), "events": [kind], "retry": retry });
            let made = client.post("/v1/webhooks", &body).await.ok(201).data();
            webhooks.push(text(&made, "id").to_owned());
            if kind == "fine" {
                text(&made, "secret").clone_into(&mut secret);
            }
        }
        for batch in (0..BULK).collect::<Vec<_>>().chunks(100) {
            let workspace = |n: usize| {
                if n.is_multiple_of(3) {
                    "other"
                } else {
                    "default"
                }
            };
            let event = |&n: &usize| json!({ "type": "bulk", "payload": n, "workspace": workspace(n), "dedup_id": n.to_string() });
            let events: Vec<Value> = batch.iter().map(event).collect();
            client.post("/v1/events", &json!(events)).await.ok(202);
        }
        for kind in ["fine", "fails", "dies", "dies"] {
            client
                .send_event(&json!({ "type": kind, "payload": kind }))
                .await;
        }
        // Spaces, escapes and digits as no serializer would write them.
        let exact =
            "{\"type\":\"exact\",\"payload\":{ \"n\" : 1.50 ,\t\"s\":\"\\u00e9\\u0000é\" }}";
        let call = client.call(reqwest::Method::POST, "/v1/events");
        call.body("application/json", exact).await.ok(202);
        let receipt = Installation::send_with_key(client).await.json();
        client
            .post("/v1/inbox/ack", &json!({ "consumer": "c", "up_to": 40 }))
            .await
            .ok(200);
        for (webhook, state) in webhooks
            .iter()
            .zip(["delivered", "retrying", "dead_letter"])
        {
            let path = format!("/v1/webhooks/{webhook}/deliveries");
            until(&format!("all outcomes are {state}"), async || {
                let listed = client.every_page(&path).await;
                let is_there = !listed.is_empty() && listed.iter().all(|one| one["state"] == state);
                is_there.then_some(())
            })
            .await;
        }
        until("both are dead", async || {
            (client.every_page("/v1/dead-letters").await.len() == 2).then_some(())
        })
        .await;
        Installation {
            fine,
            failing,
            refusing,
            webhooks,
            secret,
            receipt,
            workspace: text(&other, "id").to_owned(),
        }
    }

    async fn send_with_key(client: &Client) -> crate::harness::Answer {
        let event = json!({ "type": "once", "payload": 1 });
        let call = client.post("/v1/events", &event);
        call.header("idempotency-key", "k1").await.ok(202)
    }

    async fn look(&self, engine: &Engine, client: &Client) -> Seen {
        let mut lists = Vec::new();
        for path in [
            "/v1/workspaces",
            "/v1/webhooks",
            "/v1/keys",
            "/v1/dead-letters",
            "/v1/audit-logs",
        ] {
            let mut list = client.every_page(path).await;
            for one in &mut list {
                // It is of another minute after every call.
                if let Some(members) = one.as_object_mut() {
                    members.remove("last_used_at");
                }
            }
            lists.push((path, list));
        }
        let mut deliveries = Vec::new();
        for webhook in &self.webhooks {
            let path = format!("/v1/webhooks/{webhook}/deliveries");
            deliveries.push(client.every_page(&path).await);
        }
        fetch_verified(engine, client).await;
        let path = fetch(engine, client, "seen.ndjson", "").await;
        let export = fs::read_to_string(&path).expect("the export is there");
        let count = events_of(&path).len();
        let events = export.lines().filter(|line| !line.contains("\"manifest\""));
        let events: Vec<String> = events.map(str::to_owned).collect();
        assert_eq!(events.len(), count);
        let inbox = client.get("/v1/inbox?consumer=c&limit=1").await.ok(200);
        Seen {
            lists,
            deliveries,
            events,
            consumer: inbox.data(),
        }
    }
}

/// Starts the command and kills it amid the events.
async fn run_and_kill(from: &Path, database: &Database) {
    let url = database.url();
    let variables = [
        ("DATABASE_URL", OsStr::new(&url)),
        ("MASTER_KEY", OsStr::new(MASTER_KEY)),
    ];
    let made = program::run(&["migrate"], &variables).await;
    assert_eq!(made.code, Some(0), "{}", made.said());
    let pause = format!(
        "CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
         CREATE TRIGGER pause BEFORE INSERT ON region_au.events FOR EACH ROW
             WHEN ((NEW.place & 1099511627775) = {STOPPED_AT}) EXECUTE FUNCTION public.pause()"
    );
    query(&url, &pause);
    let from = format!("sqlite:{}", from.display());
    let mut command = program::program();
    let mut running = command
        .args(arguments(&from, &url))
        .spawn()
        .expect("the program can be started");
    let sleeping = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event = 'PgSleep'";
    until("it has come to the event", async || {
        (query(&url, sleeping).trim() == "1").then_some(())
    })
    .await;
    running
        .kill()
        .await
        .expect("one's own process can be killed");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'PgSleep'";
    query(&url, end);
    query(&url, "DROP FUNCTION public.pause() CASCADE");
    assert_eq!(
        query(&url, "SELECT max(head) FROM region_au.tenants").trim(),
        WRITTEN
    );
    assert_eq!(
        query(&url, "SELECT count(*) FROM trunkline.tenants").trim(),
        "0"
    );
}

#[tokio::test]
async fn an_embedded_installation_goes_on_as_the_same_one_on_postgresql() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    let client = engine.client();
    let installation = Installation::set_up(&client).await;
    let before = installation.look(&engine, &client).await;
    let database = Database::fresh();
    let url = database.url();
    let data = engine.data_dir();
    let refused = migrate(&data, &url).await;
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    assert!(
        refused.errors.contains("serves from the data folder"),
        "{}",
        refused.said()
    );
    stop(&mut engine).await;

    run_and_kill(&data, &database).await;
    let session = "INSERT INTO trunkline.node_sessions VALUES ('s', 'n', 0, 9000000000000000000)";
    query(&url, session);
    let refused = migrate(&data, &url).await;
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    assert!(
        refused.errors.contains("serve from the target"),
        "{}",
        refused.said()
    );
    query(&url, "DELETE FROM trunkline.node_sessions");
    let done = migrate(&data, &url).await;
    assert_eq!(done.code, Some(0), "{}", done.said());
    let report: Value = serde_json::from_str(&done.output).expect("one JSON object");
    let au = &report["regions"][0];
    assert_eq!(
        (&au["region"], number(au, "events")),
        (&json!("AU"), before.events.len() as u64)
    );
    let again = migrate(&data, &url).await;
    assert!(
        again.code == Some(0) && again.output.contains("\"already_done\":true"),
        "{}",
        again.said()
    );

    let key = fs::read_to_string(data.join("master.key")).expect("the key is kept");
    engine.change(|settings| {
        settings
            .on(Store::Given)
            .with("DATABASE_URL", url.as_str())
            .with("MASTER_KEY", key.trim())
    });
    engine.start_again().await;
    let again = [&installation.fine, &installation.failing].map(Sink::count);
    assert_eq!(again, [1, 1]);
    assert_eq!(installation.look(&engine, &client).await, before);
    let replayed = Installation::send_with_key(&client).await;
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    assert_eq!(replayed.json(), installation.receipt);
    goes_on(&engine, &client, &installation, &before).await;
}

/// New events continue the chains, known ones are known, and nobody is told twice.
async fn goes_on(engine: &Engine, client: &Client, installation: &Installation, before: &Seen) {
    let known = json!({ "type": "bulk", "payload": 1, "dedup_id": "1" });
    client.post("/v1/events", &known).await;
    let next = json!({ "type": "fine", "payload": "next", "workspace": installation.workspace });
    let receipt = client.send_event(&next).await;
    assert_eq!(number(&receipt, "position"), before.events.len() as u64 + 1);
    let received = installation.fine.wait_for(2).await;
    assert_eq!(
        received[1].event_id(),
        text(&receipt, "id"),
        "only the new one is sent"
    );
    received[1].verify(&installation.secret);
    let counts = [&installation.failing, &installation.refusing].map(Sink::count);
    assert_eq!(
        counts,
        [1, 2],
        "the retry is not due, and the dead stay dead"
    );
    let events = fetch_verified(engine, client).await;
    assert_eq!(events.len(), before.events.len() + 1);
    let path = format!("/v1/workspaces/{}/checkpoint", installation.workspace);
    client.get(&path).await.ok(200);
}

#[tokio::test]
async fn an_embedded_log_that_somebody_changed_is_not_carried_over() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    let client = engine.client();
    for n in 1..=5 {
        client
            .send_event(&json!({ "type": "a", "payload": n }))
            .await;
    }
    stop(&mut engine).await;
    let (database, data) = (Database::fresh(), engine.data_dir());
    let file = data.join("AU.db");
    let set = |payload: &str| {
        format!("UPDATE events SET payload = CAST('{payload}' AS BLOB) WHERE {POSITION} = 3")
    };
    change(&file, &set("9")).await;
    let refused = migrate(&data, &database.url()).await;
    assert_eq!(refused.code, Some(1), "{}", refused.said());
    let report: Value = serde_json::from_str(&refused.output).expect("one JSON object");
    assert_eq!(
        (
            number(&report, "position"),
            number(&report, "first_bad_seq")
        ),
        (3, 3)
    );
    assert!(refused.errors.contains("position 3"), "{}", refused.said());

    // Mended, it goes through; and then the target is taken.
    change(&file, &set("3")).await;
    let done = migrate(&data, &database.url()).await;
    assert_eq!(done.code, Some(0), "{}", done.said());
    let mut other = Engine::start_with(Settings::default().embedded()).await;
    stop(&mut other).await;
    let refused = migrate(&other.data_dir(), &database.url()).await;
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    assert!(
        refused.errors.contains("another installation"),
        "{}",
        refused.said()
    );
}

#[tokio::test]
async fn an_embedded_installation_of_another_schema_is_not_carried_over() {
    let mut engine = Engine::start_with(Settings::default().embedded()).await;
    stop(&mut engine).await;
    let (database, data) = (Database::fresh(), engine.data_dir());
    let cases = [
        (
            "control.db",
            "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1",
            "newer",
        ),
        (
            "control.db",
            "DELETE FROM _sqlx_migrations WHERE version > 1",
            "start `trunkline serve` once",
        ),
    ];
    for (file, statement, says) in cases {
        change(&data.join(file), statement).await;
        let refused = migrate(&data, &database.url()).await;
        assert_eq!(refused.code, Some(2), "{}", refused.said());
        assert!(refused.errors.contains(says), "{}", refused.said());
    }
    assert_eq!(
        query(
            &database.url(),
            "SELECT to_regnamespace('trunkline') IS NULL"
        )
        .trim(),
        "t"
    );
}
