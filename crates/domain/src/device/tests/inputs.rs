//! What holds for the words of owners: devices, privacy settings, phone numbers.

use super::*;
use crate::new_event::{InputCode, WorkspaceRef};

#[test]
fn a_device_needs_only_a_name() {
    let input = DeviceInput::parse(br#"{"name":"Shop phone","workspace":null}"#).unwrap();
    assert_eq!(
        input,
        DeviceInput {
            name: "Shop phone".to_owned(),
            connector: "gateway".to_owned(),
            workspace: None,
            settings: "{}".to_owned(),
        }
    );
}

#[test]
fn a_device_with_everything_is_read() {
    let body =
        br#"{"name":"a","connector":"baileys","workspace":"default","settings":{"pair":"code"}}"#;
    let input = DeviceInput::parse(body).unwrap();
    assert_eq!(input.connector, "baileys");
    assert_eq!(input.workspace, Some(WorkspaceRef::Slug("default".into())));
    assert_eq!(input.settings, r#"{"pair":"code"}"#);
}

#[test]
fn every_mistake_is_found_at_once() {
    let large = format!(
        r#"{{"connector":"A B","workspace":7,"settings":{{"x":"{}"}},"colour":"red"}}"#,
        "x".repeat(SETTINGS_LENGTH_MAX)
    );
    let errors = DeviceInput::parse(large.as_bytes()).unwrap_err();
    let mut pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/colour", "/connector", "/name", "/settings", "/workspace"]
    );
    for bad in [
        "null",
        r#""""#,
        r#"" ""#,
        r#""\n""#,
        "1",
        &format!("\"{}\"", "x".repeat(101)),
    ] {
        let body = format!(r#"{{"name":{bad}}}"#);
        let errors = DeviceInput::parse(body.as_bytes()).unwrap_err();
        assert_eq!(errors.len(), 1, "{bad}");
        assert_eq!(errors[0].pointer, "/name");
    }
    assert_eq!(
        DeviceInput::parse(b"{").unwrap_err()[0].code,
        InputCode::MalformedJson
    );
    assert_eq!(
        DeviceInput::parse(b"[]").unwrap_err()[0].code,
        InputCode::InvalidField
    );
}

#[test]
fn a_patch_changes_what_it_names() {
    assert!(DevicePatch::parse(b"{}").unwrap().is_empty());
    let patch = DevicePatch::parse(br#"{"connector":null,"settings":null}"#).unwrap();
    assert_eq!(patch.connector.as_deref(), Some("gateway"));
    assert_eq!(patch.settings.as_deref(), Some("{}"));
    assert_eq!(patch.name, None);
    assert!(DevicePatch::parse(br#"{"workspace":null}"#).is_err());
}

#[test]
fn numbers_are_completed_and_addresses_are_kept() {
    for (text, jid) in [
        ("1234567890", "1234567890@s.whatsapp.net"),
        ("+49 (170) 123-45.67", "491701234567@s.whatsapp.net"),
        ("120363@g.us", "120363@g.us"),
        ("1@lid", "1@lid"),
    ] {
        assert_eq!(complete_jid(text).as_deref(), Ok(jid));
    }
    for bad in [
        "",
        "1234",
        "+",
        "12345a",
        "@x",
        "x@",
        "a b@c",
        "1+2345678",
        &"1".repeat(21),
    ] {
        assert_eq!(complete_jid(bad), Err(JidError::Person), "{bad}");
    }
    assert_eq!(
        complete_group_jid("120363-17").as_deref(),
        Ok("120363-17@g.us")
    );
    assert_eq!(complete_group_jid("1@g.us").as_deref(), Ok("1@g.us"));
    for bad in ["", "-", "1@s.whatsapp.net", "abc", "@g.us"] {
        assert_eq!(complete_group_jid(bad), Err(JidError::Group), "{bad}");
    }
}

#[test]
fn a_privacy_update_names_at_least_one_setting_and_no_other() {
    let body = br#"{"readreceipts":"none","lastSeen":"contacts","online":"matches"}"#;
    let update = PrivacySettings::parse_update(body).unwrap();
    assert_eq!(update.readreceipts, Some(ReadReceipts::None));
    assert_eq!(update.last_seen, Some(Circle::Contacts));
    assert_eq!(
        serde_json::to_string(&update).unwrap(),
        r#"{"readreceipts":"none","online":"matches","lastSeen":"contacts"}"#
    );
    for bad in [
        "{}",
        r#"{"online":null}"#,
        r#"{"online":"none"}"#,
        r#"{"colour":"all"}"#,
        "[]",
        "",
    ] {
        assert!(
            PrivacySettings::parse_update(bad.as_bytes()).is_err(),
            "{bad}"
        );
    }
}
