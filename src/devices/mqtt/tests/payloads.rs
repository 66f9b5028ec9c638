//! Payloads in the engine's words.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Properties, UserProperty};

use crate::devices::mqtt::{connect::Will, message};

fn said(pairs: &[(&str, &str)]) -> Properties {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| UserProperty::new(*name, *value).unwrap().into())
        .collect()
}

fn data(payload: &'static [u8]) -> String {
    let event = message::event("sensor.reading", &Bytes::from_static(payload), &[]).unwrap();
    String::from_utf8(event.data.to_vec()).unwrap()
}

fn will(topic: &str, payload: &'static [u8]) -> Result<String, String> {
    let will = Will {
        topic: topic.into(),
        payload: Bytes::from_static(payload),
        properties: Properties::new(),
    };
    let event = message::will(&will).map_err(|refusal| refusal.to_string())?;
    Ok(event.kind.as_str().to_owned())
}

#[test]
fn json_is_kept_as_it_is_and_the_rest_becomes_json() {
    assert_eq!(data(b"{\"a\" : 1.0}\n"), "{\"a\" : 1.0}");
    assert_eq!(data(b"21.50"), "21.50");
    assert_eq!(data(b"on \"fire\""), r#""on \"fire\"""#);
    assert_eq!(data(b""), r#""""#);
    assert_eq!(data(b"\xff\x00"), r#"{"base64":"/wA="}"#);
    assert_eq!(data(b"{\"cut\":"), r#""{\"cut\":""#);
}

#[test]
fn what_nests_too_deep_is_refused_and_not_taken_for_text() {
    let deep = Bytes::from("[".repeat(200) + &"]".repeat(200));
    assert!(message::event("sensor.reading", &deep, &[]).is_err());
    let allowed_by_parsers = Bytes::from("[".repeat(70) + &"]".repeat(70));
    assert!(message::event("sensor.reading", &allowed_by_parsers, &[]).is_err());
}

#[test]
fn a_message_is_named_by_its_payload_or_by_properties() {
    let payload = Bytes::from_static(br#"{"key":{"chat":"c","sender":"s","id":"i"},"text":"hi"}"#);
    let event = message::event("message.received", &payload, &[]).unwrap();
    let key = event.key.unwrap();
    assert_eq!((&*key.chat, &*key.sender, &*key.id), ("c", "s", "i"));
    assert_eq!(&*event.id, "");
    let properties = said(&[("chat", "x"), ("id", "7"), ("at", "2026-01-02T03:04:05Z")]);
    let event = message::event("message.received", &payload, &properties).unwrap();
    let key = event.key.unwrap();
    assert_eq!((&*key.chat, &*key.sender, &*key.id), ("x", "", "7"));
    assert_eq!(&*event.id, "7");
    assert!(event.at.is_some());
}

#[test]
fn a_sensor_may_have_a_member_that_is_called_key() {
    let payload = Bytes::from_static(br#"{"key":7}"#);
    assert_eq!(
        message::event("sensor.reading", &payload, &[]).unwrap().key,
        None
    );
    let refusal = message::event("message.received", &payload, &[]).unwrap_err();
    assert!(refusal.message.starts_with("key: "), "{refusal}");
    let without = Bytes::from_static(b"{}");
    assert!(message::event("message.received", &without, &[]).is_err());
}

#[test]
fn what_the_engine_says_itself_is_no_event_of_a_device_but_may_be_its_will() {
    let payload = Bytes::from_static(b"{}");
    assert!(message::event("device.disconnected", &payload, &[]).is_err());
    assert!(message::event("message.recieved", &payload, &[]).is_err());
    assert!(message::event("no type", &payload, &[]).is_err());
    let disconnected = will("events/device.disconnected", b"gone");
    assert_eq!(disconnected.as_deref(), Ok("device.disconnected"));
    assert_eq!(
        will("events/sensor.gone", b"{}").as_deref(),
        Ok("sensor.gone")
    );
    assert!(will("events/device.connected", b"{}").is_err());
    assert!(will("results", b"{}").is_err());
    assert!(will("elsewhere", b"{}").is_err());
}

#[test]
fn a_result_is_read_with_and_without_its_kind() {
    for payload in [
        &br#"{"id":"cmd_1","ok":true,"data":{"a":1}}"#[..],
        br#" {"kind":"result","id":"cmd_1","ok":true,"data":{"a":1}}"#,
    ] {
        let result = message::result(&Bytes::copy_from_slice(payload)).unwrap();
        assert_eq!(&*result.id, "cmd_1");
        assert_eq!(&result.outcome.unwrap()[..], br#"{"a":1}"#);
    }
    let refused = br#"{"id":"cmd_1","ok":false,"error":{"code":"no","message":"never"}}"#;
    let result = message::result(&Bytes::from_static(refused)).unwrap();
    assert_eq!(result.outcome.unwrap_err().code, "no");
    for payload in [
        &b"{}"[..],
        b"[]",
        b"text",
        br#"{"kind":"ping"}"#,
        br#"{"kind":null}"#,
    ] {
        assert!(message::result(&Bytes::copy_from_slice(payload)).is_err());
    }
}
