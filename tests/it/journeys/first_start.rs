//! The first start, and what it leaves behind.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio, sync::Arc};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    Engine, Settings, Store,
    engine::find_key,
    postgres::Database,
    program::{self, program},
    until::soon,
};

#[tokio::test]
async fn the_first_start_prints_a_key_and_the_second_does_not() {
    let mut engine = Engine::start().await;
    let output = engine.output();
    assert_eq!(
        output.matches("curl").count(),
        3,
        "three lines to try: {output}"
    );
    assert!(output.contains("/docs"), "{output}");
    engine.restart().await;
    engine.client().get("/v1/events").await.ok(200);
    assert_eq!(find_key(&engine.output()), None, "{}", engine.output());
}

#[tokio::test]
async fn the_lines_to_try_work_as_they_are_printed() {
    let engine = Engine::start().await;
    let output = engine.output().replace("\\\n", " ");
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.trim_start().starts_with("curl"))
        .collect();
    assert_eq!(lines.len(), 3, "{output}");
    let mut said = Vec::new();
    for line in &lines[..2] {
        let run = tokio::process::Command::new("sh")
            .arg("-c")
            .arg(line.trim())
            .output();
        let run = soon("curl has ended", run).await.expect("there is a shell");
        assert!(
            run.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
        said.push(String::from_utf8_lossy(&run.stdout).into_owned());
    }
    assert!(said[0].contains("evt_"), "{said:?}");
    assert!(said[1].contains("evt_"), "{said:?}");
    assert!(lines[2].contains("/v1/events/tail"), "{}", lines[2]);
}

#[tokio::test]
async fn the_secrets_of_an_embedded_store_are_for_the_owner_only() {
    let engine = Engine::start_with(Settings::default().embedded()).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&engine.data_dir()), 0o700);
    let master_key = engine.data_dir().join("master.key");
    assert_eq!(mode(&master_key), 0o600);
    let text = fs::read_to_string(&master_key).unwrap();
    assert_eq!(text.trim().len(), 64, "64 hex digits");
    assert!(!engine.output().contains(text.trim()) && !engine.log().contains(text.trim()));
}

#[tokio::test]
async fn neither_keys_nor_webhook_secrets_are_in_the_store_as_they_are() {
    let mut engine = Engine::start().await;
    let body = json!({ "url": "https://example.com" });
    let made = engine
        .client()
        .post("/v1/webhooks", &body)
        .await
        .ok(201)
        .data();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let key = engine.key().to_owned();
    engine.send_sigterm().await;
    engine.ended().await;
    let secret = secret.trim_start_matches("whsec_");
    let key = &key[key.len() - 64..];
    let holds = |bytes: &[u8], needle: &str| {
        bytes
            .windows(needle.len())
            .any(|part| part == needle.as_bytes())
    };
    let dump = engine.store().dump();
    assert!(!holds(&dump, secret) && !holds(&dump, key), "the database");
    for entry in fs::read_dir(engine.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            for needle in [secret, key] {
                assert!(!holds(&bytes, needle), "{} has it", path.display());
            }
        }
    }
    assert!(!engine.log().contains(secret) && !engine.log().contains(key));
}

#[tokio::test]
async fn a_second_process_on_the_folder_of_an_embedded_store_is_refused() {
    let engine = Engine::start_with(Settings::default().embedded()).await;
    let folder = engine.data_dir();
    let variables = [("DATA_DIR", folder.as_os_str()), ("PORT", "0".as_ref())];
    let ended = soon("it gives up", program::run(&["serve"], &variables)).await;
    assert_eq!(ended.code, Some(2), "{}", ended.said());
    assert!(!ended.errors.trim().is_empty());
    engine.client().get("/v1/events").await.ok(200);
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_is_named() {
    let folder = TempDir::new().unwrap();
    for (name, value, expected) in [
        ("TRUNKLINE__SERVER__PORT", "many", "TRUNKLINE__SERVER__PORT"),
        (
            "TRUNKLINE__SERVER__COLOUR",
            "red",
            "TRUNKLINE__SERVER__COLOUR",
        ),
        ("PORT", "99999", "PORT"),
        ("MASTER_KEY", "short", "MASTER_KEY"),
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL"),
        ("NATS_URL", "http://localhost", "NATS_URL"),
    ] {
        let variables = [
            ("DATA_DIR", folder.path().as_os_str()),
            (name, value.as_ref()),
        ];
        let ended = soon("it gives up", program::run(&["serve"], &variables)).await;
        assert_eq!(ended.code, Some(2), "{name}: {}", ended.said());
        assert!(ended.errors.contains(expected), "{name}: {}", ended.errors);
        assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
    }
}

#[tokio::test]
async fn a_first_start_that_is_killed_at_any_moment_leaves_nothing_half_done() {
    for round in 0..12_u64 {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let store = Store::fresh();
        let mut child = program()
            .arg("serve")
            .env("DATA_DIR", &data)
            .env("PORT", "0")
            .envs(store.variables())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Later in each round, so that every step of the first start is cut off some time.
        let moment = std::time::Duration::from_millis(round * 15);
        tokio::time::timeout(moment, child.wait()).await.ok();
        child.kill().await.unwrap();
        store.forget_the_dead();
        let settings = Settings::default().in_folder(&data).on(store);
        let engine = Engine::start_expecting_no_key(settings).await;
        engine.anonymous().get("/health").await.ok(200);
        let made = engine
            .operator()
            .get("/internal/tenants")
            .await
            .ok(200)
            .data();
        assert_eq!(made.as_array().unwrap().len(), 1, "one tenant `default`");
    }
}

#[tokio::test]
async fn a_node_whose_stores_others_could_share_is_told_that_without_a_bus_it_has_to_be_the_only_one()
 {
    let told = "cluster.nats_url is empty";
    let settings = Settings::default().on(Store::Postgres(Arc::new(Database::fresh())));
    let shared = Engine::start_with(settings).await;
    assert!(shared.log().contains(told), "{}", shared.log());
    let alone = Engine::start_with(Settings::default().embedded()).await;
    assert!(!alone.log().contains(told), "{}", alone.log());
}
