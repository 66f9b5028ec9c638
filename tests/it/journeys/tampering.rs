//! `trunkline verify`: whatever is done to an export is found, and the first bad seq is named.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    Engine,
    export::{fetch, verify},
    program::{self, Ended},
};

const EVENTS: usize = 12;

async fn exported(engine: &Engine, name: &str) -> String {
    let client = engine.client();
    for n in 0..EVENTS {
        let event = json!({ "type": "order.paid", "payload": { "amount": n }, "project": "shop" });
        client.send_event(&event).await;
    }
    let path = fetch(engine, &client, name, "").await;
    assert_eq!(verify(&path).await.code, Some(0));
    fs::read_to_string(path).expect("the export is there")
}

async fn verify_text(engine: &Engine, name: &str, text: &str) -> Ended {
    let path = engine.home().join(name);
    fs::write(&path, text).expect("the changed export can be written");
    verify(&path).await
}

#[track_caller]
fn assert_found(ended: &Ended, what: &str, seq: Option<usize>) {
    assert_eq!(ended.code, Some(1), "{what}: {}", ended.said());
    if let Some(seq) = seq {
        let named = format!("seq {seq}");
        assert!(
            ended.said().contains(&named),
            "{what} should name {named}: {}",
            ended.said()
        );
    }
}

/// Ways to spoil the lines of an NDJSON export, and the seq that should be named.
fn spoilings(lines: &[String]) -> Vec<(&'static str, Vec<String>, Option<usize>)> {
    let last = lines.len() - 1;
    let changed = |index: usize, from: &str, to: &str| {
        let mut copy = lines.to_vec();
        assert!(copy[index].contains(from), "{from} in {}", copy[index]);
        copy[index] = copy[index].replacen(from, to, 1);
        copy
    };
    let without = |index: usize| {
        let mut copy = lines.to_vec();
        copy.remove(index);
        copy
    };
    let swapped = |a: usize, b: usize| {
        let mut copy = lines.to_vec();
        copy.swap(a, b);
        copy
    };
    let mut doubled = lines.to_vec();
    doubled.insert(5, lines[4].clone());
    let mut cut = lines[..8].to_vec();
    cut.push(lines[last].clone());
    vec![
        (
            "a changed payload",
            changed(3, "\"amount\":3", "\"amount\":9"),
            Some(4),
        ),
        (
            "a changed type",
            changed(6, "order.paid", "order.sent"),
            Some(7),
        ),
        (
            "a changed project",
            changed(2, "\"shop\"", "\"bank\""),
            Some(3),
        ),
        (
            "a changed time",
            changed(0, "received_at\":\"2", "received_at\":\"3"),
            Some(1),
        ),
        (
            "added white space in a payload",
            changed(5, "\"amount\":5", "\"amount\": 5"),
            Some(6),
        ),
        ("a missing event", without(4), Some(5)),
        ("a missing first event", without(0), Some(1)),
        ("a missing last event", without(last - 1), Some(EVENTS)),
        ("two events in the wrong order", swapped(4, 5), Some(5)),
        ("an event that is there twice", doubled, Some(5)),
        ("the end cut off, manifest kept", cut, Some(9)),
        ("the end cut off, manifest too", lines[..8].to_vec(), None),
        ("no manifest", lines[..last].to_vec(), None),
        (
            "a changed count",
            changed(last, "\"count\":12", "\"count\":11"),
            None,
        ),
    ]
}

#[tokio::test]
async fn every_change_of_an_ndjson_export_is_found() {
    let engine = Engine::start().await;
    let text = exported(&engine, "whole.ndjson").await;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), EVENTS + 1);
    for (what, lines, seq) in spoilings(&lines) {
        let text = lines.join("\n") + "\n";
        assert_found(
            &verify_text(&engine, "spoilt.ndjson", &text).await,
            what,
            seq,
        );
    }
}

#[tokio::test]
async fn every_change_of_a_json_export_is_found() {
    let engine = Engine::start().await;
    let text = exported(&engine, "whole.json").await;
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole["data"].as_array().unwrap().len(), EVENTS);
    let change = |edit: &dyn Fn(&mut Vec<Value>)| {
        let mut copy = whole.clone();
        edit(copy["data"].as_array_mut().unwrap());
        copy.to_string()
    };
    let cases = [
        (
            "a changed payload",
            change(&|data| data[3]["payload"]["amount"] = json!(9)),
            Some(4),
        ),
        (
            "a missing event",
            change(&|data| drop(data.remove(4))),
            Some(5),
        ),
        (
            "two events in the wrong order",
            change(&|data| data.swap(4, 5)),
            Some(5),
        ),
        (
            "a missing last event",
            change(&|data| drop(data.pop())),
            Some(EVENTS),
        ),
        (
            "a changed hash",
            change(&|data| data[7]["hash"] = data[6]["hash"].clone()),
            Some(8),
        ),
        ("a cut file", text[..text.len() / 2].to_owned(), None),
    ];
    for (what, text, seq) in cases {
        assert_found(&verify_text(&engine, "spoilt.json", &text).await, what, seq);
    }
}

#[tokio::test]
async fn an_event_of_another_chain_does_not_fit() {
    let engine = Engine::start().await;
    let other = Engine::start().await;
    let text = exported(&engine, "whole.ndjson").await;
    let foreign = exported(&other, "whole.ndjson").await;
    let mut lines: Vec<&str> = text.lines().collect();
    lines[4] = foreign.lines().nth(4).unwrap();
    let text = lines.join("\n") + "\n";
    assert_found(
        &verify_text(&engine, "spoilt.ndjson", &text).await,
        "a foreign event",
        None,
    );
}

#[tokio::test]
async fn an_export_signed_by_somebody_else_is_found_with_the_right_key() {
    let engine = Engine::start().await;
    let other = Engine::start().await;
    let own = exported(&engine, "whole.ndjson").await;
    let foreign = exported(&other, "whole.ndjson").await;
    let manifest: Value = serde_json::from_str(own.lines().last().unwrap()).unwrap();
    let key = manifest["manifest"]["key"].as_str().unwrap();
    let check = async |name: &str, text: &str| {
        let path = engine.home().join(name);
        fs::write(&path, text).unwrap();
        program::run(&["verify", path.to_str().unwrap(), "--key", key], &[]).await
    };
    assert_eq!(check("own.ndjson", &own).await.code, Some(0));
    assert_eq!(check("foreign.ndjson", &foreign).await.code, Some(1));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_another_failure() {
    let ended = verify(Path::new("/nowhere/at/all.ndjson")).await;
    assert_eq!(ended.code, Some(2), "{}", ended.said());
}

#[tokio::test]
async fn scripts_read_the_outcome_as_json() {
    let engine = Engine::start().await;
    let text = exported(&engine, "whole.ndjson").await;
    let good = engine.home().join("whole.ndjson");
    let ended = program::run(&["verify", good.to_str().unwrap(), "--json"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let outcome: Value = serde_json::from_str(&ended.output).expect("one JSON value");
    assert!(outcome.to_string().contains("12"), "{outcome}");

    let spoilt = engine.home().join("spoilt.ndjson");
    fs::write(&spoilt, text.replacen("\"amount\":3", "\"amount\":4", 1)).unwrap();
    let ended = program::run(&["verify", spoilt.to_str().unwrap(), "--json"], &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.said());
    let outcome: Value = serde_json::from_str(&ended.output).expect("one JSON value");
    assert!(outcome.to_string().contains('4'), "{outcome}");
}
