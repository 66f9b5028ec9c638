//! Clients that are not ours: `mosquitto_pub`, `mosquitto_sub` and `paho-mqtt`, in both versions, with TLS and without.

use std::{path::PathBuf, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use super::{device, engine, log_types, payloads, settings, until_logged, until_state};
use crate::harness::{Engine, certificate, mqtt::port, process, program::program, python::python};

/// The certificate of whoever signed the engine's.
fn authority() -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/outbound/fixtures");
    folder.join("ca.pem").to_string_lossy().into_owned()
}

/// Runs one of mosquitto's programs; answers whether it succeeded, and what it said.
async fn mosquitto(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await
        .expect("mosquitto's clients are installed");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// What mosquitto's programs are told about where to go and as whom.
fn identity<'a>(port: &'a str, version: &'a str, id: &'a str, key: &'a str) -> [&'a str; 12] {
    [
        "-h",
        "127.0.0.1",
        "-p",
        port,
        "-V",
        version,
        "-i",
        id,
        "-u",
        "anybody",
        "-P",
        key,
    ]
}

#[tokio::test]
async fn mosquitto_pub_publishes_in_every_version_and_qos() {
    let engine = engine().await;
    let client = engine.client();
    let port = port(&engine).await.to_string();
    let mut sent = Vec::new();
    for version in ["311", "5"] {
        let id = device(&client).await;
        for qos in ["0", "1", "2"] {
            let payload = json!({ "version": version, "qos": qos });
            let text = payload.to_string();
            let what = ["-t", "events/sensor.reading", "-q", qos, "-m", &text];
            let who = identity(&port, version, &id, engine.key());
            let arguments = [&who[..], &what].concat();
            let (is_fine, said) = mosquitto("mosquitto_pub", &arguments).await;
            assert!(is_fine, "{said}");
            // What is not acknowledged is stored a little later.
            until_logged(&client, "device.disconnected").await;
            sent.push(payload);
        }
        until_state(&client, &id, "offline").await;
    }
    assert_eq!(payloads(&client, "sensor.reading").await, sent);
}

#[tokio::test]
async fn mosquitto_pub_is_told_that_it_may_not() {
    let engine = engine().await;
    let id = device(&engine.client()).await;
    let port = port(&engine).await.to_string();
    let what = ["-q", "1", "-m", "1"];
    let stranger = identity(&port, "5", &id, "ak_x_0");
    let wrong_key = [&stranger[..], &what, &["-t", "events/a.b"]].concat();
    let (is_fine, said) = mosquitto("mosquitto_pub", &wrong_key).await;
    assert!(
        !is_fine && said.to_lowercase().contains("bad user name or password"),
        "{said}"
    );
    let who = identity(&port, "5", &id, engine.key());
    let foreign = [&who[..], &what, &["-t", "elsewhere"]].concat();
    let (_, said) = mosquitto("mosquitto_pub", &foreign).await;
    assert!(said.to_lowercase().contains("not authorized"), "{said}");
}

#[tokio::test]
async fn mosquitto_sub_is_given_a_command() {
    let settings = settings().with("TRUNKLINE__DEVICES__COMMAND_TIMEOUT_MS", "4000");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let port = port(&engine).await.to_string();
    for version in ["311", "5"] {
        let id = device(&client).await;
        let who = identity(&port, version, &id, engine.key());
        let arguments = [&who[..], &["-q", "1", "-t", "commands", "-C", "1"]].concat();
        let asks = async {
            until_state(&client, &id, "connected").await;
            let path = format!("/v1/devices/{id}/groups/7@g.us");
            client.get(&path).await.problem(504, "device_timeout");
        };
        let (_, (is_fine, said)) = tokio::join!(asks, mosquitto("mosquitto_sub", &arguments));
        assert!(is_fine, "{said}");
        let command: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(command["name"], "group.info");
    }
}

#[tokio::test]
async fn paho_publishes_and_carries_out_commands_in_both_versions() {
    let engine = engine().await;
    let client = engine.client();
    let port = port(&engine).await.to_string();
    for version in ["311", "5"] {
        let id = device(&client).await;
        let path = format!("/v1/devices/{id}/groups/7@g.us");
        let asks = async {
            until_state(&client, &id, "connected").await;
            client.get(&path).await.ok(200).data()
        };
        let arguments = ["talk", version, &port, &id, engine.key(), ""];
        let (answer, told) = tokio::join!(asks, python("devices/mqtt/paho_client.py", &arguments));
        assert_eq!(answer, json!({ "subject": "Crew" }));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["command"], "group.info");
        assert_eq!(told["acknowledged"], 110);
        let expected = if version == "5" {
            "Not authorized"
        } else {
            "none"
        };
        assert_eq!(told["foreign"], expected);
        until_state(&client, &id, "offline").await;
    }
    let sent: Vec<Value> = (0..110).map(|number| json!({ "n": number })).collect();
    assert_eq!(
        payloads(&client, "sensor.reading").await,
        [&sent[..], &sent].concat()
    );
}

#[tokio::test]
async fn the_will_of_paho_is_published_when_its_process_dies() {
    let engine = engine().await;
    let client = engine.client();
    let port = port(&engine).await.to_string();
    for version in ["311", "5"] {
        let id = device(&client).await;
        python(
            "devices/mqtt/paho_client.py",
            &["die", version, &port, &id, engine.key(), ""],
        )
        .await;
        let said = until_logged(&client, "device.disconnected").await;
        assert_eq!(said["reason"], "will");
        until_state(&client, &id, "offline").await;
    }
    let wills = payloads(&client, "sensor.gone").await;
    assert_eq!(
        wills,
        [json!({ "why": "battery" }), json!({ "why": "battery" })]
    );
}

#[tokio::test]
async fn both_clients_come_in_inside_of_tls() {
    let mut engine = engine().await;
    let client = engine.client();
    let ids = [device(&client).await, device(&client).await];
    let key = engine.key().to_owned();
    engine.send_sigterm().await;
    assert!(engine.ended().await.success());
    // Its HTTP is inside of TLS too, which the tests' own client does not speak: this one runs beside them.
    let mut inside = Inside::start(&engine);
    let port = inside.port().await.to_string();
    for (version, id) in ["311", "5"].into_iter().zip(&ids) {
        let authority = authority();
        let who = identity(&port, version, id, &key);
        let what = ["-t", "events/a.b", "-q", "1", "-m", "1"];
        let arguments = [&who[..], &["--cafile", &authority], &what].concat();
        let (is_fine, said) = mosquitto("mosquitto_pub", &arguments).await;
        assert!(is_fine, "{said}");
        let arguments = ["send", version, &port, id, &key, &authority];
        python("devices/mqtt/paho_client.py", &arguments).await;
    }
    inside.end().await;
    engine.start_again().await;
    let count = log_types(&client)
        .await
        .iter()
        .filter(|kind| *kind == "sensor.reading")
        .count();
    assert_eq!((count, payloads(&client, "a.b").await.len()), (2 * 110, 2));
}

/// The engine with TLS on all of its ports.
struct Inside {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Inside {
    fn start(engine: &Engine) -> Inside {
        let (cert, key) = certificate::files();
        let mut child = program()
            .arg("serve")
            .current_dir(engine.home())
            .envs(engine.store_variables())
            .env("PORT", "0")
            .env("TRUNKLINE__SERVER__TLS_CERT", cert)
            .env("TRUNKLINE__SERVER__TLS_KEY", key)
            .env("TRUNKLINE__MQTT__TLS_PORT", "0")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let log = child.stderr.take().expect("it is piped");
        let lines = BufReader::new(log).lines();
        Inside { child, lines }
    }

    async fn port(&mut self) -> u16 {
        let begins = "MQTT is taken on mqtts://127.0.0.1:";
        loop {
            let line = self.lines.next_line().await.expect("the log is text");
            let line = line.expect("the engine says where it takes MQTT");
            if let Some((_, after)) = line.split_once(begins) {
                let digits = after.split(|letter: char| !letter.is_ascii_digit()).next();
                return digits
                    .and_then(|digits| digits.parse().ok())
                    .expect("a port");
            }
        }
    }

    async fn end(mut self) {
        let process_id = self.child.id().expect("it runs");
        process::signal(process_id, "TERM").await;
        // What it still says has to be read, or it would wait for a reader.
        while let Ok(Some(_)) = self.lines.next_line().await {}
        let status = self
            .child
            .wait()
            .await
            .expect("one's own process can be waited for");
        assert!(status.success(), "{status}");
    }
}
