//! `/openapi.json` is what the server does.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Engine;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn operations(document: &Value) -> Vec<(String, String)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for method in METHODS {
            if item.get(method).is_some() {
                operations.push((method.to_owned(), path.clone()));
            }
        }
    }
    operations
}

#[tokio::test]
async fn every_operation_of_the_document_is_there() {
    let engine = Engine::start().await;
    let document = engine.anonymous().get("/openapi.json").await.ok(200).json();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{}",
        document["openapi"]
    );
    let operations = operations(&document);
    assert!(operations.len() > 50, "{}", operations.len());
    for (method, path) in operations {
        // With nothing in its place a parameter names nothing; a path that is not there has no such method.
        let filled = path.replace(['{', '}'], "x");
        let verb: Method = method.to_uppercase().parse().unwrap();
        let answer = engine
            .anonymous()
            .call(verb, &filled)
            .json(&json!({}))
            .await;
        let problem = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        assert_ne!(answer.status, 405, "{method} {path}");
        let is_route_missing = answer.status == 404
            && problem["detail"]
                .as_str()
                .is_some_and(|text| text.contains("path"));
        assert!(!is_route_missing, "{method} {path}: {problem}");
        assert!(answer.status < 500, "{method} {path}: {problem}");
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let engine = Engine::start().await;
    let document = engine.anonymous().get("/openapi.json").await.ok(200).json();
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    for reference in references {
        let pointer = reference
            .strip_prefix('#')
            .expect("nothing outside is referred to");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_document_names_every_code() {
    let engine = Engine::start().await;
    let document = engine.anonymous().get("/openapi.json").await.ok(200).text();
    for code in [
        "malformed_json",
        "bad_request",
        "missing_key",
        "invalid_key",
        "expired_key",
        "revoked_key",
        "permission_denied",
        "ip_not_allowed",
        "plan_required",
        "not_found",
        "duplicate_event",
        "conflict",
        "device_offline",
        "device_refused",
        "device_timeout",
        "idempotency_in_flight",
        "version_mismatch",
        "payload_too_large",
        "unsupported_media_type",
        "invalid_field",
        "unknown_field",
        "template_violation",
        "idempotency_mismatch",
        "no_webhook",
        "rate_limited",
        "overloaded",
        "store_unavailable",
        "region_unavailable",
        "owner_unreachable",
        "storage_full",
    ] {
        assert!(
            document.contains(&format!("\"{code}\"")) || document.contains(code),
            "{code}"
        );
        engine
            .anonymous()
            .get(&format!("/problems/{code}"))
            .await
            .ok(200);
    }
}

#[tokio::test]
async fn the_docs_need_nothing_from_elsewhere() {
    let engine = Engine::start().await;
    let answer = engine.anonymous().get("/docs").await.ok(200);
    let policy = answer
        .header("content-security-policy")
        .expect("a policy")
        .to_owned();
    assert!(policy.contains("default-src"), "{policy}");
    let page = answer.text();
    for outside in ["src=\"http", "href=\"http", "//cdn", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("/v1/events"));
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members
                .values()
                .for_each(|value| collect_references(value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
