//! The connector with the engine's own program, which `TRUNKLINE_BIN` names.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use whatsapp_rust::{NodeBuilder, proto_helpers::MessageExt as _};

use crate::{
    connector::{Connector, Program},
    network::{Network, attr},
    pairing::ADA,
};

/// The engine, in a folder of its own, with SQLite. Killed when it is dropped.
struct RealEngine {
    // Dropped in this order.
    _program: Program,
    _folder: TempDir,
    /// Host and port.
    host: String,
    key: String,
}

impl RealEngine {
    fn start() -> RealEngine {
        let program = std::env::var("TRUNKLINE_BIN").expect("TRUNKLINE_BIN names the engine");
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .current_dir(folder.path())
            .env("PORT", "0")
            .env("DATA_DIR", folder.path().join("data"))
            .env("LOG_LEVEL", "warn")
            .stdout(Stdio::piped());
        let mut program = Program::start(&mut command);
        let stdout = program.child().stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let (mut host, mut key) = (None, None);
        while host.is_none() || key.is_none() {
            let line = lines
                .next()
                .expect("the engine starts")
                .expect("it is text");
            if let Some((_, address)) = line.split_once("serves http://") {
                let address = address.split_whitespace().next();
                host = address.map(|address| address.trim_end_matches('/').to_owned());
            }
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let found = words.find(|word| word.starts_with("ak_") && word.len() > 64);
            key = key.or(found.map(str::to_owned));
        }
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.count());
        RealEngine {
            _program: program,
            _folder: folder,
            host: host.expect("it was found"),
            key: key.expect("it was found"),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.host).await.expect("it listens");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            self.key,
            body.len()
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// What stands at this address, as soon as there is something to be found in it.
    async fn until<T>(&self, path: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let answer = self.ask("GET", path, &Value::Null).await;
            if let Some(found) = found(&answer["data"]) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_account_is_paired_and_talks_through_the_engine() {
    let engine = RealEngine::start();
    let network = Network::start(&[ADA]).await;
    let device = json!({"name": "phone", "connector": "whatsapp"});
    let device = engine.ask("POST", "/v1/devices", &device).await;
    let id = device["data"]["id"].as_str().expect("a device").to_owned();
    let path = format!("/v1/devices/{id}");
    let url = format!("http://{}", engine.host);
    let connector = Connector::start(&url, &id, &engine.key, &network.url());
    let qr = engine
        .until(&path, |device| device["qr"].as_str().map(str::to_owned))
        .await;
    network.scan(&qr).await;
    let is_connected = |device: &Value| (device["state"] == "connected").then_some(());
    engine.until(&path, is_connected).await;

    network.say(ADA, "M1", "hello").await;
    network
        .sent(|node| node.tag == "receipt" && attr(node, "id") == "M1")
        .await;
    let messages = format!("{path}/messages");
    engine
        .until(&messages, |list| list.get(0).map(|_| ()))
        .await;
    let events = format!("{path}/events?type=message.received");
    let first = engine.until(&events, |list| list.get(0).cloned()).await;
    assert_eq!(first["payload"]["text"], "hello", "{first}");

    let said = json!({"to": "+49 1510 000002", "text": "good morning"});
    let sent = engine.ask("POST", &messages, &said).await;
    assert!(
        sent["data"]["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("msg_")),
        "{sent}"
    );
    let stanza = network.message_to(ADA).await;
    assert_eq!(
        network.read(ADA, &stanza).await.text_content(),
        Some("good morning")
    );
    let receipt = NodeBuilder::new("receipt")
        .attr("from", "491510000002@s.whatsapp.net")
        .attr("id", attr(&stanza, "id"))
        .attr("t", "1760000200")
        .attr("type", "read");
    network.send(receipt.build());
    let is_read = |list: &Value| {
        let mut messages = list.as_array()?.iter();
        messages
            .find(|message| message["state"] == "read")
            .map(|_| ())
    };
    engine.until(&messages, is_read).await;

    // Another machine takes the account over with nothing but the device's name and a key.
    connector.kill();
    let connector = Connector::start(&url, &id, &engine.key, &network.url());
    network.logins(2).await;
    network.say(ADA, "M2", "still there?").await;
    network
        .sent(|node| node.tag == "receipt" && attr(node, "id") == "M2")
        .await;
    assert!(connector.terminate().await.success());
    let is_closed = |device: &Value| (device["reason"] == "closed").then_some(());
    engine.until(&path, is_closed).await;
}
