//! GET /v1/events/{id}/proof and GET /v1/workspaces/{id}/checkpoint.
//!
//! The path is followed here with nothing but SHA-256, as RFC 6962 describes it, so that no code of ours vouches for itself.

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Client, Engine, client::number, client::text};

fn hash_of(value: &Value) -> [u8; 32] {
    let bytes = hex::decode(value.as_str().expect("a hash is text")).expect("a hash is hex");
    bytes.try_into().expect("a hash has 32 bytes")
}

fn node(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The root that a path leads to (RFC 9162, 2.1.3.2).
fn root(leaf: [u8; 32], index: u64, size: u64, path: &[[u8; 32]]) -> [u8; 32] {
    let (mut index, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        assert!(last > 0, "the path is too long");
        if index % 2 == 1 || index == last {
            hash = node(*step, hash);
            while index % 2 == 0 && index > 0 {
                index /= 2;
                last /= 2;
            }
        } else {
            hash = node(hash, *step);
        }
        index /= 2;
        last /= 2;
    }
    assert_eq!(last, 0, "the path is too short");
    hash
}

async fn fill(client: &Client, count: u64) {
    let events: Vec<Value> = (0..count)
        .map(|n| json!({ "type": "a", "payload": n }))
        .collect();
    client.post("/v1/events", &json!(events)).await.ok(202);
}

#[tokio::test]
async fn every_event_has_a_proof_that_leads_to_the_signed_root() {
    let engine = Engine::start().await;
    let client = engine.client();
    for count in [1, 2, 4, 30] {
        fill(&client, count).await;
        for event in client.every_page("/v1/events?order=asc").await {
            assert_proven(&client, &event).await;
        }
    }
}

/// Fetches an event's proof and follows it to the signed root.
pub(crate) async fn assert_proven(client: &Client, event: &Value) {
    let path = format!("/v1/events/{}/proof", text(event, "id"));
    let proof = client.get(&path).await.ok(200).data();
    let steps = proof["path"].as_array().expect("a path is a list");
    let steps: Vec<_> = steps.iter().map(hash_of).collect();
    let (index, size) = (number(&proof, "leaf_index"), number(&proof, "tree_size"));
    assert_eq!(index, number(event, "seq") - 1);
    let found = root(hash_of(&event["hash"]), index, size, &steps);
    let note = text(&proof, "checkpoint");
    let mut lines = note.lines();
    let origin = lines.next().expect("a note has an origin");
    assert!(origin.contains("AU"), "the origin names the region: {note}");
    assert_eq!(lines.next(), Some(size.to_string().as_str()));
    let signed = lines.next().expect("a note has a root");
    let signed = base64::engine::general_purpose::STANDARD.decode(signed);
    assert_eq!(signed.expect("a root is Base64"), found);
}

#[tokio::test]
async fn a_checkpoint_is_a_signed_note() {
    let engine = Engine::start().await;
    let client = engine.client();
    fill(&client, 7).await;
    let workspace = client.every_page("/v1/workspaces").await[0].clone();
    let path = format!("/v1/workspaces/{}/checkpoint", text(&workspace, "id"));
    let answer = client.get(&path).await.ok(200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|text| text.starts_with("text/plain"))
    );
    let note = answer.text();
    let lines: Vec<_> = note.lines().collect();
    assert_eq!(lines[1], "7");
    assert_eq!(lines[3], "", "a blank line stands before the signatures");
    assert!(lines[4].starts_with("— trunkline/AU "), "{note}");
}

#[tokio::test]
async fn what_is_not_there_has_no_proof() {
    let engine = Engine::start().await;
    let client = engine.client();
    for path in [
        "/v1/events/evt_00000000000000000000000000000000/proof",
        "/v1/workspaces/ws_00000000000000000000000000000000/checkpoint",
        "/v1/workspaces/nonsense/checkpoint",
    ] {
        client.get(path).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn checkpoints_go_on_after_a_kill() {
    let mut engine = Engine::start().await;
    fill(&engine.client(), 5).await;
    let event = engine.client().every_page("/v1/events").await[0].clone();
    let path = format!("/v1/events/{}/proof", text(&event, "id"));
    engine.client().get(&path).await.ok(200);
    engine.kill_9().await;
    engine.start_again().await;
    fill(&engine.client(), 6).await;
    let proof = engine.client().get(&path).await.ok(200).data();
    assert_eq!(number(&proof, "tree_size"), 11);
}
