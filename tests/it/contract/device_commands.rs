//! API §8: groups, privacy and history: what the gateway is told, what is answered, and each way to fail.

use serde_json::{Value, json};

use super::devices::made;
use crate::harness::{Client, Engine, Gateway, Reply, Serving, Settings, client::text};

const GROUP: &str = "120363000000000000@g.us";

/// A call that makes a command: method, path after the device, body, the command's name, its args, the answer's status.
pub(crate) type Row = (&'static str, &'static str, Value, &'static str, Value, u16);

/// Every command.
#[expect(clippy::too_many_lines, reason = "a table: one row a command")]
pub(crate) fn rows() -> Vec<Row> {
    let people = json!({ "participants": ["1234567890", "+12 34 56 78 90", "7@lid"] });
    let named = json!(["1234567890@s.whatsapp.net", "7@lid"]);
    let changed = json!({ "group": GROUP, "participants": named });
    let group = json!({ "subject": "Night shift", "participants": ["1234567890", "7@lid"] });
    let group_args = json!({ "subject": "Night shift", "participants": named });
    let privacy = json!({ "lastSeen": "contacts", "readreceipts": "none" });
    let before = json!({ "id": "3EB0", "from_me": true });
    let chat = json!({ "chat": "1234567890", "count": 7, "before": before });
    let chat_args = json!({ "chat": "1234567890@s.whatsapp.net", "count": 7, "before": before });
    vec![
        (
            "POST",
            "groups/create",
            group,
            "group.create",
            group_args,
            201,
        ),
        (
            "GET",
            "groups/120363000000000000@g.us",
            json!(null),
            "group.info",
            json!({ "group": GROUP }),
            200,
        ),
        (
            "GET",
            "groups/120363000000000000",
            json!(null),
            "group.info",
            json!({ "group": GROUP }),
            200,
        ),
        (
            "POST",
            "groups/120363000000000000@g.us/participants/add",
            people.clone(),
            "group.participants.add",
            changed.clone(),
            200,
        ),
        (
            "POST",
            "groups/120363000000000000%40g.us/participants/remove",
            people,
            "group.participants.remove",
            changed,
            200,
        ),
        (
            "GET",
            "privacy/settings",
            json!(null),
            "privacy.get",
            json!({}),
            200,
        ),
        (
            "POST",
            "privacy/settings",
            privacy.clone(),
            "privacy.set",
            privacy,
            200,
        ),
        (
            "POST",
            "history/sync",
            json!({}),
            "history.sync",
            json!({ "count": 50 }),
            202,
        ),
        ("POST", "history/sync", chat, "history.sync", chat_args, 202),
    ]
}

/// Makes the call of a row.
pub(crate) async fn call(client: &Client, device: &str, row: &Row) -> crate::harness::Answer {
    let (method, rest, body, ..) = row;
    let path = format!("/v1/devices/{device}/{rest}");
    let call = client.call(method.parse().expect("a method"), &path);
    if body.is_null() {
        call.await
    } else {
        call.json(body).await
    }
}

/// A device whose gateway answers commands.
pub(crate) async fn serving(
    engine: &Engine,
    answer: impl FnMut(&Value) -> Reply + Send + 'static,
) -> (String, Serving) {
    let client = engine.client();
    let device = made(&client).await;
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    (device, gateway.serve(answer))
}

#[tokio::test]
async fn every_command_reaches_the_gateway_and_its_answer_comes_back_as_it_is() {
    let engine = Engine::start().await;
    let client = engine.client();
    let answer = |command: &Value| Reply::Done(json!({ "did": command["name"], "n": [1, null] }));
    let (device, gateway) = serving(&engine, answer).await;
    for (index, row) in rows().iter().enumerate() {
        let (.., name, args, status) = row;
        let data = call(&client, &device, row).await.ok(*status).data();
        assert_eq!(data, json!({ "did": name, "n": [1, null] }));
        let command = &gateway.wait_for(index + 1).await[index];
        assert_eq!(command["name"], *name);
        assert_eq!(&command["args"], args, "{name}");
        assert!(text(command, "id").starts_with("cmd_"), "{command}");
    }
}

#[tokio::test]
async fn a_gateway_that_says_only_that_it_is_done_is_answered_as_null() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, _gateway) = serving(&engine, |_| Reply::Done(Value::Null)).await;
    let path = format!("/v1/devices/{device}/privacy/settings");
    let answer = client.post(&path, &json!({ "online": "all" })).await;
    assert_eq!(answer.ok(200).data(), Value::Null);
}

#[tokio::test]
async fn every_command_is_refused_as_offline_without_a_gateway() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    for row in rows() {
        let answer = call(&client, &device, &row).await;
        answer.problem(409, "device_offline");
    }
}

#[tokio::test]
async fn every_command_that_the_gateway_refuses_tells_why() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, _gateway) =
        serving(&engine, |_| Reply::Refused("forbidden", "not an admin")).await;
    for row in rows() {
        let answer = call(&client, &device, &row).await;
        let problem = answer.problem(502, "device_refused");
        let expected = json!({ "code": "forbidden", "message": "not an admin" });
        assert_eq!(problem["device_error"], expected);
    }
}

#[tokio::test]
async fn every_command_that_nobody_answers_times_out() {
    let settings = Settings::default().with("TRUNKLINE__DEVICES__COMMAND_TIMEOUT_MS", "200");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let (device, _gateway) = serving(&engine, |_| Reply::Silence).await;
    for row in rows() {
        let answer = call(&client, &device, &row).await;
        answer.problem(504, "device_timeout");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table: one row a mistake")]
async fn what_a_command_says_is_checked_before_anybody_is_told() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = serving(&engine, |_| Reply::Silence).await;
    let many: Vec<String> = (0..1_025).map(|n| format!("1234567{n:04}")).collect();
    let add = "groups/1@g.us/participants/add";
    for (rest, body, pointer, code) in [
        ("groups/create", json!({}), "/subject", "invalid_field"),
        (
            "groups/create",
            json!({ "subject": "a" }),
            "/participants",
            "invalid_field",
        ),
        (
            "groups/create",
            json!({ "subject": "a", "participants": [] }),
            "/participants",
            "invalid_field",
        ),
        (
            "groups/create",
            json!({ "subject": "a", "participants": "1234567890" }),
            "/participants",
            "invalid_field",
        ),
        (
            "groups/create",
            json!({ "subject": 1, "participants": ["1234567890"] }),
            "/subject",
            "invalid_field",
        ),
        (
            "groups/create",
            json!({ "subject": "x".repeat(256), "participants": ["1234567890"] }),
            "/subject",
            "invalid_field",
        ),
        (
            "groups/create",
            json!({ "subject": "a", "participants": ["1234567890"], "icon": 1 }),
            "/icon",
            "unknown_field",
        ),
        (
            add,
            json!({ "participants": ["1234567890", "x"] }),
            "/participants/1",
            "invalid_field",
        ),
        (
            add,
            json!({ "participants": ["1234567890", "12345678901", 7] }),
            "/participants/2",
            "invalid_field",
        ),
        (
            add,
            json!({ "participants": [""] }),
            "/participants/0",
            "invalid_field",
        ),
        (
            add,
            json!({ "participants": ["1".repeat(21)] }),
            "/participants/0",
            "invalid_field",
        ),
        (
            add,
            json!({ "participants": many }),
            "/participants",
            "invalid_field",
        ),
        ("privacy/settings", json!({}), "", "invalid_field"),
        (
            "privacy/settings",
            json!({ "online": "none" }),
            "/online",
            "invalid_field",
        ),
        (
            "privacy/settings",
            json!({ "lastSeen": null }),
            "/lastSeen",
            "invalid_field",
        ),
        (
            "privacy/settings",
            json!({ "last_seen": "all" }),
            "/last_seen",
            "unknown_field",
        ),
        (
            "history/sync",
            json!({ "count": 0 }),
            "/count",
            "invalid_field",
        ),
        (
            "history/sync",
            json!({ "count": 501 }),
            "/count",
            "invalid_field",
        ),
        (
            "history/sync",
            json!({ "chat": "x" }),
            "/chat",
            "invalid_field",
        ),
        (
            "history/sync",
            json!({ "before": { "id": "a" } }),
            "/chat",
            "invalid_field",
        ),
        (
            "history/sync",
            json!({ "chat": "1234567890", "before": { "id": "" } }),
            "/before/id",
            "invalid_field",
        ),
        (
            "history/sync",
            json!({ "chat": "1234567890", "before": 7 }),
            "/before",
            "invalid_field",
        ),
    ] {
        let path = format!("/v1/devices/{device}/{rest}");
        let problem = client.post(&path, &body).await.problem(422, code);
        let errors = problem["errors"].as_array().expect("mistakes");
        assert!(
            errors.iter().any(|error| error["pointer"] == pointer),
            "{rest} {body}: {problem}"
        );
    }
    for path in ["groups/hello", "groups/1@s.whatsapp.net", "groups/%20"] {
        let answer = client.get(&format!("/v1/devices/{device}/{path}")).await;
        answer.problem(404, "not_found");
    }
    let get = client
        .get(&format!("/v1/devices/{device}/groups/create"))
        .await;
    get.problem(405, "method_not_allowed");
    assert!(gateway.commands().is_empty());
}

#[tokio::test]
async fn a_command_survives_the_reconnect_of_its_gateway() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut first = Gateway::connected(client.base(), engine.key(), &device).await;
    let path = format!("/v1/devices/{device}/privacy/settings");
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.get(&path).await.ok(200).data() }
    });
    let command = first.expect("command").await;
    drop(first);
    let mut second = Gateway::connected(client.base(), engine.key(), &device).await;
    let again = second.expect("command").await;
    assert_eq!(again, command, "the same command, not another one");
    let result = json!({ "kind": "result", "id": command["id"], "ok": true, "data": 7 });
    second.say(&result).await;
    second.say(&result).await;
    assert_eq!(asking.await.unwrap(), 7);
    second.say(&json!({ "kind": "ping" })).await;
    second.expect("pong").await;
}

#[tokio::test]
async fn a_device_for_which_too_much_waits_takes_no_more() {
    const WAITING_MAX: usize = 256;
    let engine = Engine::start().await;
    let client = engine.client();
    let (device, gateway) = serving(&engine, |_| Reply::Silence).await;
    let path = format!("/v1/devices/{device}/privacy/settings");
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..WAITING_MAX {
        let (client, path) = (client.clone(), path.clone());
        waiting.spawn(async move { client.get(&path).attempt().await });
    }
    gateway.wait_for(WAITING_MAX).await;
    let refused = client.get(&path).await;
    refused.problem(503, "overloaded");
    assert_eq!(gateway.commands().len(), WAITING_MAX);
}
