//! The commands: send, tail, listen, keys, tenants, demo, config.

use std::{ffi::OsStr, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::{
    Engine, Sink,
    engine::find_key,
    program::{self, program},
    until::soon,
};

/// A command that goes on, and what it writes.
struct Running {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(engine: &Engine, arguments: &[&str]) -> Running {
        let mut command = program();
        command
            .args(arguments)
            .args(["--url", engine.anonymous().base()])
            .env("TRUNKLINE_KEY", engine.key());
        Running::spawn(command)
    }

    fn spawn(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let output = child.stdout.take().expect("the output is piped");
        Running {
            _child: child,
            lines: BufReader::new(output).lines(),
        }
    }

    async fn line_with(&mut self, needle: &str) -> String {
        loop {
            let line = soon("the command writes", self.lines.next_line()).await;
            let line = line
                .expect("output can be read")
                .expect("the command goes on");
            if line.contains(needle) {
                return line;
            }
        }
    }
}

async fn client_command(engine: &Engine, arguments: &[&str]) -> program::Ended {
    let client = engine.anonymous();
    let mut all = arguments.to_vec();
    all.extend(["--url", client.base()]);
    program::run(&all, &[("TRUNKLINE_KEY", engine.key().as_ref())]).await
}

#[tokio::test]
async fn send_sends_one_event() {
    let engine = Engine::start().await;
    let arguments = ["send", "--type", "a.b", "--payload", r#"{"k":1}"#];
    let ended = client_command(&engine, &arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let events = engine.client().get("/v1/events").await.data();
    assert_eq!(events[0]["payload"], json!({ "k": 1 }));
    assert!(
        ended.output.contains(events[0]["id"].as_str().unwrap()),
        "{}",
        ended.output
    );
    let ended = client_command(&engine, &["send", "--type", "not a type", "--payload", "1"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.said());
    let ended = client_command(&engine, &["send", "--type", "a", "--payload", "{"]).await;
    assert!(matches!(ended.code, Some(1 | 2)), "{}", ended.said());
}

#[tokio::test]
async fn tail_shows_what_comes() {
    let engine = Engine::start().await;
    engine
        .client()
        .send_event(&json!({ "type": "a.first", "payload": 1 }))
        .await;
    let mut tail = Running::start(&engine, &["tail", "--from", "earliest", "--json"]);
    let first: Value = serde_json::from_str(&tail.line_with("a.first").await).unwrap();
    assert_eq!(first["position"], 1);
    engine
        .client()
        .send_event(&json!({ "type": "a.second", "payload": 2 }))
        .await;
    tail.line_with("a.second").await;
}

#[tokio::test]
async fn listen_forwards_signed_events() {
    let engine = Engine::start().await;
    let sink = Sink::start().await;
    let mut listen = Running::start(&engine, &["listen", "--forward-to", &sink.url()]);
    let line = listen.line_with("whsec_").await;
    let start = line.find("whsec_").unwrap();
    let secret: String = line[start..]
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '"')
        .collect();
    // It listens from some moment on; what comes before that is not for it.
    let received = crate::harness::until("an event is forwarded", async || {
        engine
            .client()
            .send_event(&json!({ "type": "a", "payload": 1 }))
            .await;
        sink.received().first().cloned()
    })
    .await;
    received.verify(&secret);
    assert_eq!(received.json()["data"], 1);
    assert_eq!(received.header("x-event-type"), Some("a"));
}

#[tokio::test]
async fn operators_make_keys_and_tenants_beside_a_running_engine() {
    let engine = Engine::start().await;
    let variables = engine.store_variables();
    let variables: Vec<(&str, &OsStr)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_os_str()))
        .collect();
    let made = program::run(
        &["keys", "create", "--tenant", "default", "--name", "cli"],
        &variables,
    );
    let made = made.await;
    assert_eq!(made.code, Some(0), "{}", made.said());
    let key = find_key(&made.output).expect("the key is printed");
    engine
        .anonymous()
        .with_key(key)
        .get("/v1/events")
        .await
        .ok(200);

    let listed = program::run(
        &["keys", "list", "--tenant", "default", "--json"],
        &variables,
    )
    .await;
    assert_eq!(listed.code, Some(0), "{}", listed.said());
    assert!(listed.output.contains("cli") && !listed.output.contains(key));

    let arguments = [
        "tenants", "create", "--name", "Acme", "acme", "--plan", "growth",
    ];
    let made = program::run(&arguments, &variables).await;
    assert_eq!(made.code, Some(0), "{}", made.said());
    let key = find_key(&made.output).expect("the key is printed");
    engine
        .anonymous()
        .with_key(key)
        .get("/v1/events")
        .await
        .ok(200);
    let listed = program::run(&["tenants", "list", "--json"], &variables).await;
    assert!(listed.output.contains("acme"), "{}", listed.said());
}

#[tokio::test]
async fn config_shows_what_is_in_force_and_no_secret() {
    let secret = "a-secret-token-that-nobody-may-see";
    let variables = [
        ("INTERNAL_TOKEN", secret.as_ref()),
        ("PORT", "9999".as_ref()),
    ];
    let ended = program::run(&["config"], &variables).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.output.contains("9999"), "{}", ended.output);
    assert!(!ended.said().contains(secret));
    let ended = program::run(&["config", "--json"], &variables).await;
    serde_json::from_str::<Value>(&ended.output).expect("JSON");
    assert!(!ended.said().contains(secret));
}

#[tokio::test]
async fn the_demo_shows_deliveries_and_ends_by_itself() {
    let ended = soon(
        "the demo ends",
        program::run(&["demo", "--seconds", "5"], &[]),
    )
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(
        ended.output.contains("message.received"),
        "{}",
        ended.said()
    );
}

#[tokio::test]
async fn the_demo_pairs_a_phone_that_loses_its_connection_and_comes_back() {
    let mut command = program();
    command.arg("demo");
    let mut demo = Running::spawn(command);
    for told in [
        "scan this to pair the phone",
        "█",
        "the phone is connected",
        "came in, position",
        "writes",
        "receipt.read came in",
        "the connection is cut",
        "is back, with session 2",
        "nothing was lost",
    ] {
        demo.line_with(told).await;
    }
}

#[tokio::test]
async fn bad_usage_is_told_from_failure() {
    for arguments in [
        &["fly"][..],
        &["send"],
        &["verify"],
        &["listen"],
        &["--colour"],
    ] {
        let ended = program::run(arguments, &[]).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.said());
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let ended = program::run(arguments, &[]).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.said());
    }
}
