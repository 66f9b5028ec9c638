//! What templates demand and add.

use bytes::Bytes;

use super::*;
use crate::new_event::{Limits, parse_one};

fn event(body: &'static str) -> NewEvent {
    let draft = parse_one(&Bytes::from_static(body.as_bytes()), &Limits::default()).unwrap();
    draft.into_event(crate::ids::WorkspaceId::from_uuid(uuid::Uuid::nil()))
}

fn template(text: &str) -> Template {
    serde_json::from_str(text).unwrap()
}

fn pointers(template: &Template, body: &'static str) -> Vec<String> {
    match template.apply(&mut event(body)) {
        Ok(()) => Vec::new(),
        Err(wrong) => wrong
            .into_iter()
            .map(|violation| violation.pointer)
            .collect(),
    }
}

#[test]
fn the_default_template_changes_nothing() {
    let mut changed = event(r#"{"type":"a","payload":1}"#);
    let before = changed.clone();
    Template::default().apply(&mut changed).unwrap();
    assert_eq!(changed, before);
}

#[test]
fn everything_that_is_missing_is_named() {
    let template = template(
        r#"{"required_actor_fields":["id","email"],"required_payload_keys":["a/b","c"],"require_project":true}"#,
    );
    let found = pointers(
        &template,
        r#"{"type":"a","actor":{"id":"u","email":null},"payload":{"c":null}}"#,
    );
    assert_eq!(found, ["/project", "/actor/email", "/payload/a~1b"]);
    let found = pointers(&template, r#"{"type":"a","project":"p","payload":[]}"#);
    assert_eq!(
        found,
        ["/actor/id", "/actor/email", "/payload/a~1b", "/payload/c"]
    );
    let good =
        r#"{"type":"a","project":"p","actor":{"email":"e","id":"u"},"payload":{"c":1,"a/b":2}}"#;
    assert!(pointers(&template, good).is_empty());
}

#[test]
fn an_actor_without_id_lacks_its_id() {
    let template = template(r#"{"required_actor_fields":["id"]}"#);
    assert_eq!(
        pointers(&template, r#"{"type":"a","actor":{"name":"n"}}"#),
        ["/actor/id"]
    );
    assert!(pointers(&template, r#"{"type":"a","actor":{"id":"n"}}"#).is_empty());
}

#[test]
fn a_required_key_is_found_however_it_is_escaped() {
    let template = template(r#"{"required_payload_keys":["ä"]}"#);
    assert!(pointers(&template, r#"{"type":"a","payload":{"\u00e4":1}}"#).is_empty());
}

#[test]
fn the_default_category_does_not_replace_one() {
    let template = template(r#"{"default_category":"auth"}"#);
    let mut bare = event(r#"{"type":"a"}"#);
    template.apply(&mut bare).unwrap();
    assert_eq!(bare.fields.category.as_deref(), Some("auth"));
    let mut other = event(r#"{"type":"a","category":"billing"}"#);
    template.apply(&mut other).unwrap();
    assert_eq!(other.fields.category.as_deref(), Some("billing"));
}

#[test]
fn a_template_with_unknown_members_is_refused() {
    assert!(serde_json::from_str::<Template>(r#"{"require_actor":true}"#).is_err());
    assert!(serde_json::from_str::<Template>(r#"{"required_actor_fields":["age"]}"#).is_err());
}

#[test]
fn a_template_has_limits() {
    let mut wrong = Template {
        personal_keys: vec![String::from("k"); NAMES_MAX + 1],
        required_payload_keys: vec![String::new()],
        default_category: Some("a\0".to_owned()),
        retention_days: Some(0),
        ..Template::default()
    };
    let pointers: Vec<String> = wrong
        .check()
        .unwrap_err()
        .into_iter()
        .map(|violation| violation.pointer)
        .collect();
    assert_eq!(
        pointers,
        [
            "/required_payload_keys/0",
            "/personal_keys",
            "/default_category",
            "/retention_days"
        ]
    );
    wrong = Template::default();
    assert_eq!(wrong.check(), Ok(()));
}
