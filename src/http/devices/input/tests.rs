//! What is understood and what is refused, and where the refusal points.

use domain::{
    device::DeviceState,
    ids::{DeviceId, TenantId, WorkspaceId},
};

use super::*;
use crate::http::problem::Code;

/// A device of this connector.
pub(in crate::http::devices) fn device(connector: &str) -> Device {
    Device {
        id: DeviceId::from_uuid(uuid::Uuid::nil()),
        tenant: TenantId::from_uuid(uuid::Uuid::nil()),
        workspace: WorkspaceId::from_uuid(uuid::Uuid::nil()),
        name: "phone".to_owned(),
        connector: connector.to_owned(),
        settings: "{}".to_owned(),
        state: DeviceState::Offline,
        reason: None,
        fence: 0,
        node: None,
        session: None,
        is_live: false,
        gateway: None,
        last_seen_at: None,
        moved_at: None,
        is_leaving: false,
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
        version: 1,
    }
}

fn pointers(problem: &Problem) -> Vec<&str> {
    let errors = problem.errors().iter();
    errors.map(|error| error.pointer.as_str()).collect()
}

#[test]
fn a_number_is_completed_unless_its_network_has_bare_ones() {
    let full = "1234567890@s.whatsapp.net";
    for connector in ["gateway", "baileys", "whatsapp"] {
        assert_eq!(address("+12 345-67890", &device(connector)).unwrap(), full);
    }
    for connector in ["telegram", "mqtt"] {
        assert_eq!(address("-1001", &device(connector)).unwrap(), "-1001");
        assert_eq!(group("room/1", &device(connector)).unwrap(), "room/1");
        address("", &device(connector)).unwrap_err();
        address(&"x".repeat(256), &device(connector)).unwrap_err();
        address("a\nb", &device(connector)).unwrap_err();
    }
    assert_eq!(group("1203", &device("baileys")).unwrap(), "1203@g.us");
    group(full, &device("baileys")).unwrap_err();
}

#[test]
fn every_participant_that_is_wrong_is_pointed_at() {
    let body = br#"{"participants":["1234567890","x",7,"+1234567890"]}"#;
    let problem = participants(body, &device("gateway")).unwrap_err();
    assert_eq!(pointers(&problem), ["/participants/1", "/participants/2"]);
    let body = br#"{"participants":["1234567890","7@lid","+1234567890"]}"#;
    let people = participants(body, &device("gateway")).unwrap();
    assert_eq!(
        people,
        ["1234567890@s.whatsapp.net", "7@lid"],
        "named twice, meant once"
    );
}

#[test]
fn a_group_needs_a_subject_and_people() {
    let problem = new_group(b"{}", &device("gateway")).unwrap_err();
    assert_eq!(pointers(&problem), ["/subject", "/participants"]);
    let problem = new_group(
        br#"{"subject":7,"participants":[],"more":1}"#,
        &device("gateway"),
    );
    let problem = problem.unwrap_err();
    assert_eq!(problem.code(), Code::UnknownField);
    assert_eq!(pointers(&problem), ["/more", "/subject", "/participants"]);
}

#[test]
fn privacy_is_changed_setting_by_setting() {
    let settings = privacy(br#"{"lastSeen":"contacts","online":"matches"}"#).unwrap();
    assert_eq!(
        json!(settings),
        json!({"lastSeen": "contacts", "online": "matches"})
    );
    for (body, pointer) in [
        ("{}", ""),
        (r#"{"online":"none"}"#, "/online"),
        (r#"{"readreceipts":"contacts"}"#, "/readreceipts"),
        (r#"{"groupAdd":null}"#, "/groupAdd"),
        (r#"{"statusPrivacy":7}"#, "/statusPrivacy"),
        (r#"{"last_seen":"all"}"#, "/last_seen"),
    ] {
        let problem = privacy(body.as_bytes()).unwrap_err();
        assert!(pointers(&problem).contains(&pointer), "{body}: {problem}");
    }
}

#[test]
fn history_has_a_size_and_maybe_a_chat() {
    let args = |body: &str| history(body.as_bytes(), &device("gateway"));
    assert_eq!(args("").unwrap(), json!({"count": 50}));
    let full =
        args(r#"{"chat":"1234567890","count":7,"before":{"id":"a","at":"2026-01-01T00:00:00Z"}}"#);
    let expected = json!({
        "chat": "1234567890@s.whatsapp.net",
        "count": 7,
        "before": {"id": "a", "at": "2026-01-01T00:00:00.000000Z"},
    });
    assert_eq!(full.unwrap(), expected);
    for (body, pointer) in [
        (r#"{"count":501}"#, "/count"),
        (r#"{"before":{"id":"a"}}"#, "/chat"),
        (
            r#"{"chat":"1234567890","before":{"id":"a","me":true}}"#,
            "/before",
        ),
        (r#"{"chat":"1234567890","before":{"id":""}}"#, "/before/id"),
        (r#"{"chat":7}"#, "/chat"),
    ] {
        let problem = args(body).unwrap_err();
        assert!(pointers(&problem).contains(&pointer), "{body}: {problem}");
    }
}
