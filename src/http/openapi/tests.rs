//! That the document and the server say the same.

use std::collections::BTreeSet;

use domain::permission::Permission;

use super::*;
use crate::http::{problem::Code, routes::ROUTES};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                operations.push((path.clone(), method.clone(), operation.clone()));
            }
        }
    }
    operations
}

fn visit<'a>(value: &'a Value, look: &mut impl FnMut(&'a Value)) {
    look(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| visit(item, look)),
        Value::Object(members) => members.values().for_each(|member| visit(member, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_route_is_in_the_document_and_every_path_of_it_is_a_route() {
    let served: BTreeSet<(String, String)> = ROUTES
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .iter()
                .map(|method| ((*path).to_owned(), (*method).to_owned()))
        })
        .collect();
    let document = document();
    let described: BTreeSet<(String, String)> = operations(&document)
        .into_iter()
        .map(|(path, method, _)| (path, method))
        .collect();
    let missing: Vec<_> = served.difference(&described).collect();
    let invented: Vec<_> = described.difference(&served).collect();
    assert!(missing.is_empty(), "not in the document: {missing:?}");
    assert!(invented.is_empty(), "not served: {invented:?}");
}

#[test]
fn every_code_of_a_problem_is_listed() {
    let listed = document()["components"]["schemas"]["ErrorCode"]["enum"].clone();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, serde_json::json!(codes));
}

#[test]
fn every_permission_is_listed() {
    let listed = document()["components"]["schemas"]["Permission"]["examples"].clone();
    let names: Vec<&str> = Permission::ALL
        .iter()
        .map(|permission| permission.name())
        .collect();
    assert_eq!(listed, serde_json::json!(names));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    visit(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    });
}

#[test]
fn every_schema_parameter_and_answer_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    visit(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            used.insert(reference.to_owned());
        }
    });
    for kind in ["schemas", "parameters", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "{reference}");
        }
    }
}

#[test]
fn every_operation_says_what_a_reader_needs() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{at}");
        assert!(!operation["tags"].as_array().unwrap().is_empty(), "{at}");
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{at}: {name} is there twice");
        let answers = operation["responses"].as_object().unwrap();
        // A WebSocket begins with 101.
        let is_success = |status: &String| status.starts_with('2') || status == "101";
        assert!(answers.keys().any(is_success), "{at}");
        for part in path.split('/').filter(|part| part.starts_with('{')) {
            let part = part.trim_matches(['{', '}']);
            let resolved = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parameter| match parameter["$ref"].as_str() {
                    Some(reference) => document.pointer(&reference[1..]).unwrap(),
                    None => parameter,
                });
            let is_there =
                |parameter: &Value| parameter["name"] == part && parameter["in"] == "path";
            assert_eq!(
                resolved.filter(|parameter| is_there(parameter)).count(),
                1,
                "{at}: {part}"
            );
        }
    }
}
