//! Exports: fetched into a file, checked with the program's own `verify`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Client, Engine, program};

/// Fetches an export into a file of the engine's folder. `name` ends in `.json`, `.csv` or `.ndjson`.
pub(crate) async fn fetch(engine: &Engine, client: &Client, name: &str, query: &str) -> PathBuf {
    let format = name.rsplit('.').next().expect("a name has an ending");
    let answer = client
        .get(&format!("/v1/events/export.{format}{query}"))
        .await
        .ok(200);
    let path = engine.home().join(name);
    fs::write(&path, &answer.body).expect("the export can be written");
    path
}

/// Runs `trunkline verify`.
pub(crate) async fn verify(path: &Path) -> program::Ended {
    let path = path.to_str().expect("paths of tests are text");
    program::run(&["verify", path], &[]).await
}

/// Fetches everything a client may see and checks it; answers the events.
pub(crate) async fn fetch_verified(engine: &Engine, client: &Client) -> Vec<Value> {
    let path = fetch(engine, client, "whole.ndjson", "").await;
    let ended = verify(&path).await;
    assert_eq!(
        ended.code,
        Some(0),
        "the export does not verify: {}",
        ended.said()
    );
    events_of(&path)
}

/// The events of an NDJSON export, without its manifest.
pub(crate) fn events_of(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the export is there");
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"))
        .filter(|line| line.get("manifest").is_none())
        .collect()
}
