//! `CloudEvents` in their three forms.

use super::*;
use crate::new_event::{InputCode, WorkspaceRef};

fn read(text: &str) -> Result<Draft, InputError> {
    parse_structured(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn with(members: &str) -> Result<Draft, InputError> {
    read(&format!(
        r#"{{"specversion":"1.0","type":"a.b","source":"/s","id":"1"{members}}}"#
    ))
}

fn wrong(answer: Result<Draft, InputError>) -> String {
    let error = answer.unwrap_err();
    format!("{} {}", error.code, error.pointer)
}

const REQUIRED: [Header<'_>; 4] = [
    ("ce-specversion", "1.0"),
    ("ce-type", "a.b"),
    ("ce-source", "/s"),
    ("ce-id", "1"),
];

fn binary(
    extra: &[Header<'_>],
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Draft, InputError> {
    let headers = REQUIRED.iter().chain(extra).copied();
    parse_binary(
        headers,
        content_type,
        &Bytes::copy_from_slice(body),
        &Limits::default(),
    )
}

#[test]
fn every_attribute_has_its_place() {
    let draft = read(
        r#"{"specversion":"1.0","type":"com.example.made","source":"https://e.com/x","id":"A-1","time":"2026-01-01T00:00:00Z",
            "subject":"s","partitionkey":"p","datacontenttype":"application/json","dataschema":"urn:x","other":5,
            "traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","workspace":"main","category":"c",
            "data": { "b":1,  "b":12345678901234567890 } }"#,
    )
    .unwrap();
    let fields = draft.fields;
    assert_eq!(draft.kind.as_str(), "com.example.made");
    assert_eq!(draft.workspace, Some(WorkspaceRef::Slug("main".into())));
    assert_eq!(
        &draft.payload[..],
        br#"{ "b":1,  "b":12345678901234567890 }"#
    );
    assert_eq!(fields.dedup_id.as_deref(), Some("https://e.com/x A-1"));
    assert_eq!(fields.project.as_deref(), Some("https://e.com/x"));
    assert_eq!(fields.ordering_key.as_deref(), Some("p"));
    assert_eq!(fields.category.as_deref(), Some("c"));
    assert_eq!(
        fields.trace_id.as_deref(),
        Some("0af7651916cd43dd8448eb211c80319c")
    );
    assert_eq!(
        fields.occurred_at,
        crate::time::Timestamp::parse("2026-01-01T00:00:00Z").ok()
    );
}

#[test]
fn the_subject_orders_where_there_is_no_partition_key() {
    assert_eq!(
        with(r#","subject":"s""#)
            .unwrap()
            .fields
            .ordering_key
            .as_deref(),
        Some("s")
    );
}

#[test]
fn a_missing_attribute_is_named() {
    for name in ["specversion", "type", "source", "id"] {
        let text = r#"{"specversion":"1.0","type":"a","source":"/s","id":"1"}"#;
        let without = text.replace(&format!("\"{name}\":"), "\"other\":");
        assert_eq!(wrong(read(&without)), format!("invalid_field /{name}"));
    }
}

#[test]
fn wrong_attributes_are_refused() {
    for (members, wanted) in [
        (r#","time":"yesterday""#, "invalid_field /time"),
        (r#","id":"2""#, "invalid_field /id"),
        (r#","subject":5"#, "invalid_field /subject"),
        (r#","subject":"""#, "invalid_field /subject"),
        (r#","workspace":"a b""#, "invalid_field /workspace"),
        (r#","Upper":1"#, "unknown_field /Upper"),
        (
            r#","data":1,"data_base64":"AA==""#,
            "invalid_field /data_base64",
        ),
        (r#","data_base64":5"#, "invalid_field /data_base64"),
        (r#","data_base64":"a b""#, "invalid_field /data_base64"),
        (r#","data":"#, "malformed_json "),
    ] {
        assert_eq!(wrong(with(members)), wanted, "{members}");
    }
    assert_eq!(wrong(read("[]")), "invalid_field ");
    let old = r#"{"specversion":"0.3","type":"a","source":"/s","id":"1"}"#;
    assert_eq!(wrong(read(old)), "invalid_field /specversion");
    let kind = r#"{"specversion":"1.0","type":"a/b","source":"/s","id":"1"}"#;
    assert_eq!(wrong(read(kind)), "invalid_field /type");
    let source = r#"{"specversion":"1.0","type":"a","source":"a b","id":"1"}"#;
    assert_eq!(wrong(read(source)), "invalid_field /source");
}

#[test]
fn base64_data_becomes_a_string() {
    assert_eq!(
        &with(r#","data_base64":"AAE=""#).unwrap().payload[..],
        b"\"AAE=\""
    );
    assert_eq!(&with("").unwrap().payload[..], b"{}");
}

#[test]
fn an_invalid_traceparent_is_ignored() {
    for bad in [
        "00-0-0-0",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
    ] {
        let draft = with(&format!(r#","traceparent":"{bad}""#)).unwrap();
        assert_eq!(draft.fields.trace_id, None, "{bad}");
    }
}

#[test]
fn long_texts_are_replaced_by_their_hash() {
    let long = "x".repeat(300);
    let draft = with(&format!(r#","partitionkey":"{long}""#)).unwrap();
    let key = draft.fields.ordering_key.unwrap();
    assert!(key.starts_with("sha256:") && key.len() == 71, "{key}");
    let text = format!(r#"{{"specversion":"1.0","type":"a","source":"{long}","id":"1"}}"#);
    let fields = read(&text).unwrap().fields;
    assert_eq!(fields.project, None);
    assert!(fields.dedup_id.unwrap().starts_with("sha256:"));
}

#[test]
fn each_event_of_a_batch_stands_for_itself() {
    let text =
        r#"[{"specversion":"1.0","type":"a","source":"/s","id":"1","data":[1, 2]},{"id":"2"},5]"#;
    let body = Bytes::copy_from_slice(text.as_bytes());
    let Input::Batch(events) = parse_batch(&body, &Limits::default()).unwrap() else {
        panic!("a batch was read");
    };
    assert_eq!(&events[0].as_ref().unwrap().payload[..], b"[1, 2]");
    assert_eq!(wrong(events[1].clone()), "invalid_field /1/specversion");
    assert_eq!(wrong(events[2].clone()), "invalid_field /2");
}

#[test]
fn a_batch_has_a_limit_and_must_be_an_array() {
    let limits = Limits {
        batch_events_max: 1,
        ..Limits::default()
    };
    let read = |text: &'static [u8]| {
        parse_batch(&Bytes::from_static(text), &limits)
            .unwrap_err()
            .code
    };
    assert_eq!(read(b"[1,2]"), InputCode::PayloadTooLarge);
    assert_eq!(read(b"{}"), InputCode::InvalidField);
    assert_eq!(read(b"[1"), InputCode::MalformedJson);
}

#[test]
fn a_json_body_is_the_payload_in_binary_mode() {
    let extra = [
        ("CE-Subject", "caf%C3%A9 100%"),
        ("accept", "x"),
        ("ce-other", "y"),
    ];
    let draft = binary(
        &extra,
        Some("application/json; charset=utf-8"),
        b" {\"a\": 1}\n",
    )
    .unwrap();
    assert_eq!(&draft.payload[..], b"{\"a\": 1}");
    assert_eq!(draft.fields.ordering_key.as_deref(), Some("café 100%"));
    assert_eq!(&binary(&[], None, b"").unwrap().payload[..], b"{}");
}

#[test]
fn any_other_body_becomes_base64_in_binary_mode() {
    let draft = binary(&[], Some("application/octet-stream"), &[0, 1]).unwrap();
    assert_eq!(&draft.payload[..], b"\"AAE=\"");
}

#[test]
fn wrong_headers_and_bodies_are_refused_in_binary_mode() {
    assert_eq!(wrong(binary(&[], None, b"{")), "malformed_json ");
    assert_eq!(wrong(binary(&[], None, b"\"\xff\"")), "malformed_json ");
    assert_eq!(
        wrong(binary(&[("ce-time", "x")], None, b"")),
        "invalid_field /ce-time"
    );
    assert_eq!(
        wrong(binary(&[("ce-id", "2")], None, b"")),
        "invalid_field /ce-id"
    );
    assert_eq!(
        wrong(binary(&[("ce-subject", "%FF")], None, b"")),
        "invalid_field /ce-subject"
    );
    let deep = "[".repeat(65) + &"]".repeat(65);
    assert_eq!(wrong(binary(&[], None, deep.as_bytes())), "invalid_field ");
}
