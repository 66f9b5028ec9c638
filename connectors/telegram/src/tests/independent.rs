//! The connector with a Bot API that is not ours: the npm package `telegram-test-api`.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::{engine::Engine, start};

/// The server, which ends with this.
struct Api {
    url: String,
    client: reqwest::Client,
    _server: Child,
}

impl Api {
    async fn start() -> Api {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telegram-test-api");
        assert!(
            folder.join("node_modules").is_dir(),
            "run connectors/telegram/tests/install.sh first"
        );
        let mut server = Command::new("node")
            .arg("serve.js")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node must be installed");
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("a port");
        Api {
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            _server: server,
        }
    }

    /// Does what a user's client does.
    async fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = self
            .client
            .post(format!("{}/{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let bytes = answer.bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    /// What the bot sent to the chat, as its user sees it.
    async fn history(&self) -> Vec<Value> {
        let answer = self
            .ask("getUpdatesHistory", &json!({ "token": "1:token" }))
            .await;
        let all = answer["result"].as_array().unwrap().iter();
        all.filter(|update| update["message"]["chat_id"] == 7)
            .cloned()
            .collect()
    }
}

#[tokio::test]
async fn a_bot_api_that_is_not_ours_is_understood() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (engine, api) = (Engine::start().await, Api::start().await);
    let (_gateway, _relay) = start(&engine, &api.url);
    let mut session = engine.accept().await;
    session.expect_state("connected").await;

    let said = json!({
        "botToken": "1:token", "date": 1_700_000_000, "text": "hello",
        "from": { "id": 7, "first_name": "Anna" }, "chat": { "id": 7, "type": "private" },
    });
    api.ask("sendMessage", &said).await;
    let event = session.expect("event").await;
    assert_eq!(event["type"], "message.received");
    assert_eq!(event["data"]["text"], "hello");
    assert_eq!(event["data"]["push_name"], "Anna");
    assert_eq!(event["key"]["sender"], "7");
    session.ack(&event).await;

    let args = json!({ "to": "7", "text": "hello Anna" });
    session.command("msg_1", "message.send", &args).await;
    let result = session.expect("result").await;
    assert_eq!(result["ok"], true, "{result}");
    let id = result["data"]["key"]["id"].clone();
    assert_eq!(api.history().await[0]["message"]["text"], "hello Anna");

    let args = json!({ "to": "7", "edit": { "id": id, "text": "good day" } });
    session.command("msg_2", "message.send", &args).await;
    assert_eq!(session.expect("result").await["ok"], true);
    assert_eq!(api.history().await[0]["message"]["text"], "good day");

    let args = json!({ "to": "7", "delete": id });
    session.command("msg_3", "message.send", &args).await;
    assert_eq!(session.expect("result").await["ok"], true);
    assert!(api.history().await.is_empty());

    session.command("msg_4", "message.send", &args).await;
    let refused = session.expect("result").await;
    assert_eq!(refused["error"]["code"], "telegram_refused", "{refused}");
}
