//! Bodies that clients send, right and wrong.

mod laws;

use super::*;
use crate::time::Timestamp;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn one(text: &str) -> Result<Draft, InputError> {
    parse_one(&bytes(text), &Limits::default())
}

fn many(text: &str) -> Result<Input, InputError> {
    parse_many(&bytes(text), &Limits::default())
}

fn batch(text: &str) -> Vec<Result<Draft, InputError>> {
    match many(text).unwrap() {
        Input::Batch(events) => events,
        Input::One(draft) => panic!("expected a batch, got {draft:?}"),
    }
}

fn wrong<T: std::fmt::Debug>(answer: Result<T, InputError>) -> String {
    let error = answer.unwrap_err();
    format!("{} {}", error.code, error.pointer)
}

const FULL: &str = r#"{"type":"user.created","payload":{"n":12345678901234567890, "n":1.0},"workspace":"main",
    "category":"auth","project":"p\u0031","actor":{"id":"u1", "email":null},"target":{"id":"t","type":"doc"},
    "occurred_at":"2026-01-01T01:00:00+01:00","dedup_id":"d","ordering_key":"o","trace_id":"t"}"#;

#[test]
fn every_member_is_read_and_bytes_are_kept() {
    let Input::One(draft) = many(FULL).unwrap() else {
        panic!("one event was sent");
    };
    assert_eq!(draft, one(FULL).unwrap());
    assert_eq!(draft.kind.as_str(), "user.created");
    assert_eq!(
        &draft.payload[..],
        br#"{"n":12345678901234567890, "n":1.0}"#
    );
    assert_eq!(draft.workspace, Some(WorkspaceRef::Slug("main".into())));
    let fields = draft.fields;
    assert_eq!(fields.project.as_deref(), Some("p1"));
    let actor = fields.actor.unwrap();
    assert_eq!(&actor.json[..], br#"{"id":"u1", "email":null}"#);
    assert_eq!(actor.id.as_deref(), Some("u1"));
    assert_eq!(fields.target.unwrap().id.as_deref(), Some("t"));
    assert_eq!(
        fields.occurred_at,
        Timestamp::parse("2026-01-01T00:00:00Z").ok()
    );
    let texts = [
        fields.category,
        fields.dedup_id,
        fields.ordering_key,
        fields.trace_id,
    ];
    assert_eq!(
        texts.map(|text| text.unwrap()),
        ["auth", "d", "o", "t"].map(Box::from)
    );
}

#[test]
fn a_payload_is_a_part_of_the_body() {
    let body = bytes(r#"{"type":"a","payload":[1]}"#);
    let draft = parse_one(&body, &Limits::default()).unwrap();
    assert!(body.as_ptr_range().contains(&draft.payload.as_ptr()));
}

#[test]
fn an_event_of_a_batch_does_not_keep_the_batch_in_memory() {
    let body = bytes(r#"[{"type":"a","payload":[1]},{"type":"b","payload":[2]}]"#);
    let Ok(Input::Batch(drafts)) = parse_many(&body, &Limits::default()) else {
        panic!("a batch was expected");
    };
    for (draft, payload) in drafts.into_iter().zip(["[1]", "[2]"]) {
        let draft = draft.unwrap();
        assert_eq!(draft.payload, payload);
        assert!(!body.as_ptr_range().contains(&draft.payload.as_ptr()));
    }
    let lines = bytes("{\"type\":\"a\",\"payload\":[1]}\n");
    let drafts = parse_ndjson(&lines, &Limits::default()).unwrap();
    let payload = &drafts[0].as_ref().unwrap().payload;
    assert!(!lines.as_ptr_range().contains(&payload.as_ptr()));
}

#[test]
fn aliases_are_understood() {
    for (kind, payload) in [
        ("action", "metadata"),
        ("event_type", "data"),
        ("type", "payload"),
    ] {
        let draft = one(&format!(r#"{{"{kind}":"a","{payload}":5}}"#)).unwrap();
        assert_eq!((draft.kind.as_str(), &draft.payload[..]), ("a", &b"5"[..]));
    }
}

#[test]
fn an_absent_payload_is_an_empty_object_and_null_is_null() {
    assert_eq!(&one(r#"{"type":"a"}"#).unwrap().payload[..], b"{}");
    assert_eq!(
        &one(r#"{"type":"a","payload":null}"#).unwrap().payload[..],
        b"null"
    );
}

#[test]
fn null_is_absent_for_optional_members() {
    let text = r#"{"type":"a","workspace":null,"category":null,"actor":null,"occurred_at":null,"dedup_id":null}"#;
    let draft = one(text).unwrap();
    assert_eq!((draft.workspace, draft.fields), (None, Fields::default()));
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (members, wanted) in [
        (r#""type":5"#, "invalid_field /type"),
        (r#""type":null"#, "invalid_field /type"),
        (r#""action":"a b""#, "invalid_field /action"),
        (r#""payload":1"#, "invalid_field /type"),
        (r#""type":"a","action":"a""#, "invalid_field /action"),
        (r#""type":"a","payload":1,"data":1"#, "invalid_field /data"),
        (r#""type":"a","dedup_id":"""#, "invalid_field /dedup_id"),
        (
            r#""type":"a","dedup_id":"\u0000""#,
            "invalid_field /dedup_id",
        ),
        (r#""type":"a","category":["x"]"#, "invalid_field /category"),
        (
            r#""type":"a","workspace":"ws_1""#,
            "invalid_field /workspace",
        ),
        (
            r#""type":"a","workspace":"a b""#,
            "invalid_field /workspace",
        ),
        (
            r#""type":"a","occurred_at":"now""#,
            "invalid_field /occurred_at",
        ),
        (
            r#""type":"a","occurred_at":1700000000"#,
            "invalid_field /occurred_at",
        ),
        (r#""type":"a","actor":"u""#, "invalid_field /actor"),
        (r#""type":"a","actor":{"id":5}"#, "invalid_field /actor/id"),
        (
            r#""type":"a","actor":{"email":{}}"#,
            "invalid_field /actor/email",
        ),
        (
            r#""type":"a","actor":{"name":"\u0000"}"#,
            "invalid_field /actor/name",
        ),
        (
            r#""type":"a","actor":{"id":"1","id":"2"}"#,
            "invalid_field /actor/id",
        ),
        (
            r#""type":"a","actor":{"age":5}"#,
            "unknown_field /actor/age",
        ),
        (
            r#""type":"a","target":{"email":"x"}"#,
            "unknown_field /target/email",
        ),
        (r#""type":"a","x/y":1"#, "unknown_field /x~1y"),
        (r#""type":"a","events":[]"#, "unknown_field /events"),
        (r#""type":"a","#, "malformed_json "),
        (r#""type":"a","payload":{"a":}"#, "malformed_json "),
        (r#""type":"a","payload":01"#, "malformed_json "),
    ] {
        let text = format!("{{{members}}}");
        assert_eq!(wrong(one(&text)), wanted, "{text}");
        assert_eq!(wrong(many(&text)), wanted, "{text}");
    }
}

#[test]
fn what_is_no_event_is_refused() {
    for (text, wanted) in [
        ("", "malformed_json "),
        ("nonsense", "malformed_json "),
        ("5", "invalid_field "),
        ("\"a\"", "invalid_field "),
        ("null", "invalid_field "),
        ("{} {}", "invalid_field /type"),
        (r#"{"type":"a"} x"#, "malformed_json "),
    ] {
        assert_eq!(wrong(one(text)), wanted, "{text}");
        assert_eq!(wrong(many(text)), wanted, "{text}");
    }
}

#[test]
fn what_is_not_utf8_is_malformed() {
    for body in [
        &b"{\"type\":\"a\",\"payload\":\"\xff\"}"[..],
        &b"{\"type\":\"a\",\"category\":\"\xff\"}"[..],
        &b"{\"type\":\"a\",\"actor\":{\"id\":\"\xff\"}}"[..],
        &b"\xff"[..],
    ] {
        let answer = parse_many(&Bytes::copy_from_slice(body), &Limits::default());
        assert_eq!(wrong(answer), "malformed_json ", "{body:?}");
    }
}

#[test]
fn a_lone_surrogate_in_a_short_text_is_malformed() {
    for text in [
        r#"{"type":"a","category":"\ud800"}"#,
        r#"{"type":"a","actor":{"id":"\ud800"}}"#,
    ] {
        assert_eq!(wrong(one(text)), "malformed_json ", "{text}");
    }
}

#[test]
fn lengths_have_limits() {
    let of = |length| "x".repeat(length);
    let text = |name: &str, length| format!(r#"{{"type":"a","{name}":"{}"}}"#, of(length));
    for name in [
        "category",
        "project",
        "dedup_id",
        "ordering_key",
        "trace_id",
    ] {
        assert!(one(&text(name, 255)).is_ok(), "{name}");
        assert_eq!(
            wrong(one(&text(name, 256))),
            format!("invalid_field /{name}")
        );
    }
    let limit = PAYLOAD_LENGTH_MAX - 2;
    assert!(one(&text("payload", limit)).is_ok());
    assert_eq!(
        wrong(one(&text("data", limit + 1))),
        "payload_too_large /data"
    );
    let actor = format!(r#"{{"type":"a","actor":{{"name":"{}"}}}}"#, of(8 * 1024));
    assert_eq!(wrong(one(&actor)), "invalid_field /actor");
    let id = format!(r#"{{"type":"a","actor":{{"id":"{}"}}}}"#, of(256));
    assert_eq!(wrong(one(&id)), "invalid_field /actor/id");
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| {
        format!(
            r#"{{"type":"a","payload":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    assert!(one(&nested(64)).is_ok());
    assert_eq!(wrong(one(&nested(65))), "invalid_field /payload");
    assert_eq!(wrong(one(&nested(100_000))), "invalid_field /payload");
    let wide = format!(r#"{{"type":"a","payload":[{}[]]}}"#, "[],".repeat(1_000));
    assert!(one(&wide).is_ok());
    let open = format!(r#"{{"type":"a","payload":{}"#, "[".repeat(100_000));
    assert_eq!(wrong(many(&open)), "malformed_json ");
    assert_eq!(wrong(many(&"[".repeat(100_000))), "malformed_json /0");
}

#[test]
fn a_batch_comes_in_two_forms() {
    for text in [
        r#"[{"type":"a"},{"type":"b","payload":[ 1 ]}]"#,
        r#"{"events":[{"type":"a"},{"type":"b","payload":[ 1 ]}]}"#,
    ] {
        let events = batch(text);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].as_ref().unwrap().kind.as_str(), "a");
        assert_eq!(&events[1].as_ref().unwrap().payload[..], b"[ 1 ]");
    }
    assert!(batch("[]").is_empty());
    assert!(batch(r#"{"events":[]}"#).is_empty());
}

#[test]
fn a_wrong_event_takes_nothing_with_it() {
    let events = batch(
        r#"{"events":[{"type":"a"},{"type":5},7,{"type":"b","actor":{"email":5}},{"type":"c"}]}"#,
    );
    assert!(events[0].is_ok() && events[4].is_ok());
    assert_eq!(wrong(events[1].clone()), "invalid_field /events/1/type");
    assert_eq!(wrong(events[2].clone()), "invalid_field /events/2");
    assert_eq!(
        wrong(events[3].clone()),
        "invalid_field /events/3/actor/email"
    );
    let events = batch(r#"[{"type":"a"},{"x":1}]"#);
    assert_eq!(wrong(events[1].clone()), "unknown_field /1/x");
}

#[test]
fn a_batch_that_is_wrong_as_a_whole_is_refused() {
    for (text, wanted) in [
        (r#"{"events":5}"#, "invalid_field /events"),
        (r#"{"events":null}"#, "invalid_field /events"),
        (r#"{"events":[],"type":"a"}"#, "unknown_field /type"),
        (r#"{"events":[],"events":[]}"#, "unknown_field /events"),
        (r#"[{"type":"a"},{"type":5},"#, "malformed_json /2"),
        (r#"[{"type":"a"}"#, "malformed_json /1"),
        (r#"[{"type":"a"}] x"#, "malformed_json "),
    ] {
        assert_eq!(wrong(many(text)), wanted, "{text}");
    }
}

#[test]
fn a_batch_has_a_limit() {
    let limits = Limits {
        batch_events_max: 2,
        ..Limits::default()
    };
    let read = |text: &str| parse_many(&bytes(text), &limits);
    assert!(read(r#"[{"type":"a"},{"type":"a"}]"#).is_ok());
    assert_eq!(
        wrong(read(r#"[{"type":"a"},{"type":"a"},{"type":"a"}]"#)),
        "payload_too_large "
    );
    assert_eq!(
        wrong(read(r#"{"events":[{},{},{}]}"#)),
        "payload_too_large /events"
    );
    let lines = parse_ndjson(&bytes("{}\n{}\n{}"), &limits);
    assert_eq!(wrong(lines), "payload_too_large ");
}

#[test]
fn lines_are_events() {
    let text = "{\"type\":\"a\"}\r\n\n  \nnonsense\n{\"type\":\"b\",\"payload\":1}";
    let events = parse_ndjson(&bytes(text), &Limits::default()).unwrap();
    assert_eq!(events.len(), 3);
    assert!(events[0].is_ok());
    assert_eq!(wrong(events[1].clone()), "malformed_json /1");
    assert_eq!(&events[2].as_ref().unwrap().payload[..], b"1");
}

#[test]
fn a_workspace_is_named_by_id_or_slug() {
    let id = "ws_01930000000070008000000000000001";
    assert_eq!(
        WorkspaceRef::parse(id),
        id.parse().ok().map(WorkspaceRef::Id)
    );
    assert_eq!(
        WorkspaceRef::parse("a-b"),
        Some(WorkspaceRef::Slug("a-b".into()))
    );
    assert_eq!(WorkspaceRef::parse(""), None);
    assert_eq!(WorkspaceRef::parse(&"a".repeat(65)), None);
}
