//! What the operating pages and `deploy/` promise of metrics and alerts, held against a working engine and Prometheus's own
//! checker.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::process::Command;

use crate::harness::{Behaviour, Engine, Sink, program, until};

/// One line of the table of metrics.
struct Explained {
    kind: String,
    labels: BTreeSet<String>,
}

fn of_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The table of metrics, by name.
fn explained() -> BTreeMap<String, Explained> {
    let page = of_the_repository("docs/operating/metrics.md");
    let text = fs::read_to_string(page).expect("the page is there");
    let line = |line: &str| {
        let cells: Vec<&str> = line
            .strip_prefix("| `")?
            .split('|')
            .map(str::trim)
            .collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let labels = cells[2].split(", ").filter(|label| !label.is_empty());
        let explained = Explained {
            kind: cells[1].to_owned(),
            labels: labels
                .map(|label| label.trim_matches('`').to_owned())
                .collect(),
        };
        Some((name, explained))
    };
    text.lines().filter_map(line).collect()
}

/// The labels of a series such as `name{a="b",c="d"} 1`, without those that belong to its kind.
fn labels_of(series: &str) -> BTreeSet<String> {
    let Some((_, rest)) = series.split_once('{') else {
        return BTreeSet::new();
    };
    let inside = rest.rsplit_once('}').expect("labels end").0;
    let names = inside
        .split("\",")
        .filter_map(|label| label.split_once('='));
    let names = names.map(|(name, _)| name.to_owned());
    names.filter(|name| name != "le").collect()
}

#[tokio::test]
async fn every_metric_of_a_working_engine_is_explained_with_its_kind_and_labels() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::with(|_, n| Behaviour::Answer(if n == 0 { 500 } else { 200 })).await;
    let webhook = json!({ "url": sink.url(), "retry": { "schedule": [0, 0] } });
    client.post("/v1/webhooks", &webhook).await.ok(201);
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    sink.wait_for(2).await;
    let text = until("deliveries are counted", async || {
        let text = engine.anonymous().get("/metrics").await.ok(200).text();
        text.contains("\ndelivery_seconds_count").then_some(text)
    })
    .await;
    let explained = explained();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a kind");
        let page = explained
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not explained"));
        assert_eq!(page.kind, kind, "{name}");
        kinds.insert(name, kind);
    }
    for series in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let shown = series.split(['{', ' ']).next().expect("a name");
        let parts = ["_bucket", "_sum", "_count"];
        let base = parts.iter().find_map(|part| shown.strip_suffix(part));
        let name = base
            .filter(|base| kinds.contains_key(base))
            .unwrap_or(shown);
        assert_eq!(labels_of(series), explained[name].labels, "{series}");
    }
}

async fn promtool(arguments: &[&str]) {
    let ended = Command::new("promtool")
        .args(arguments)
        .current_dir(of_the_repository("deploy/prometheus"))
        .output()
        .await
        .expect("promtool is installed; test.sh does it");
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn prometheus_takes_the_rules_and_each_alert_fires_when_it_should() {
    promtool(&["check", "config", "prometheus.yaml"]).await;
    promtool(&["test", "rules", "rules.test.yaml"]).await;
}

#[test]
fn alerts_ask_only_for_metrics_that_there_are_and_have_a_way_out() {
    let read = |path| fs::read_to_string(of_the_repository(path)).expect("the file is there");
    let (rules, page) = (
        read("deploy/prometheus/rules.yaml"),
        read("docs/operating.md"),
    );
    let explained = explained();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut asked_for = 0;
    // A metric is what stands before its labels or its range.
    for (at, _) in rules.match_indices(['{', '[']) {
        let start = rules[..at]
            .rfind(|c| !is_name(c))
            .map_or(0, |before| before + 1);
        let name = &rules[start..at];
        if name.is_empty() || name == "up" {
            continue;
        }
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(explained.contains_key(name), "{name} is not explained");
        asked_for += 1;
    }
    assert!(asked_for > 0);
    for line in rules.lines() {
        if let Some((_, alert)) = line.split_once("- alert: ") {
            assert!(
                page.contains(&format!("`{alert}`")),
                "{alert} has no way out"
            );
        }
    }
}

#[tokio::test]
async fn the_health_command_says_by_its_exit_code_whether_the_server_can_do_its_work() {
    let mut engine = Engine::start().await;
    let port = engine.port().to_string();
    let variables = [("PORT", port.as_ref())];
    let ready = program::run(&["health"], &variables).await;
    assert_eq!((ready.code, ready.output.trim()), (Some(0), "ready"));
    let url = engine.anonymous().base().to_owned();
    let live = program::run(&["health", "--live", "--url", &url], &[]).await;
    assert_eq!((live.code, live.output.trim()), (Some(0), "ok"));
    engine.kill_9().await;
    let gone = program::run(&["health"], &variables).await;
    assert_eq!(gone.code, Some(1), "{}", gone.said());
    assert!(gone.errors.contains("/ready"), "{}", gone.said());
}
