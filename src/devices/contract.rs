//! That `docs/gateway-protocol.asyncapi.yaml` and the code say the same.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::device::{
    ByeReason, CommandName, DeviceState, EVENT_TYPES, Report,
    frame::{FRAME_BYTES_MAX, FromGateway, SUBPROTOCOL, ToGateway},
};
use serde_json::{Map, Value};

use super::gateway::NACK_CODES;

const DOCUMENT: &str = include_str!("../../docs/gateway-protocol.asyncapi.yaml");

fn document() -> Value {
    serde_norway::from_str(DOCUMENT).unwrap()
}

fn schemas(document: &Value) -> &Map<String, Value> {
    document["components"]["schemas"].as_object().unwrap()
}

/// The texts of a list.
fn texts(list: &Value) -> BTreeSet<String> {
    let texts = list.as_array().unwrap().iter();
    texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn set<T: ToString>(all: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    all.into_iter().map(|one| one.to_string()).collect()
}

/// The examples of a kind of frame.
fn examples<'a>(document: &'a Value, kind: &str) -> Vec<&'a Value> {
    let examples = document["components"]["messages"][kind]["examples"].as_array();
    let examples = examples.unwrap_or_else(|| panic!("{kind} has no examples"));
    examples.iter().map(|example| &example["payload"]).collect()
}

/// The kinds that an operation lists.
fn kinds(document: &Value, operation: &str) -> Vec<String> {
    let messages = document["operations"][operation]["messages"].as_array();
    let name = |message: &Value| {
        let name = message["$ref"].as_str().unwrap().rsplit('/').next();
        name.unwrap().to_owned()
    };
    messages.unwrap().iter().map(name).collect()
}

fn from_gateway(example: &Value) -> FromGateway {
    let text = Bytes::from(example.to_string());
    FromGateway::parse(&text).unwrap_or_else(|error| panic!("{example}: {error}"))
}

fn to_gateway(example: &Value) -> ToGateway {
    let text = Bytes::from(example.to_string());
    ToGateway::parse(&text).unwrap_or_else(|error| panic!("{example}: {error}"))
}

/// The kinds that the code knows: a new one does not compile before it is named here, and then it has to be documented.
fn kind_of_gateways(frame: &FromGateway) -> &'static str {
    match frame {
        FromGateway::Hello { .. } => "hello",
        FromGateway::State(_) => "state",
        FromGateway::Event(_) => "event",
        FromGateway::Result(_) => "result",
        FromGateway::Ping => "ping",
    }
}

fn kind_of_engines(frame: &ToGateway) -> &'static str {
    match frame {
        ToGateway::Welcome { .. } => "welcome",
        ToGateway::Command(_) => "command",
        ToGateway::Ack { .. } => "ack",
        ToGateway::Nack { .. } => "nack",
        ToGateway::Bye(_) => "bye",
        ToGateway::Pong => "pong",
    }
}

#[test]
fn every_kind_of_frame_is_documented_with_examples_that_are_read_and_written_as_they_stand() {
    let document = document();
    let (from, to) = (
        kinds(&document, "fromGateway"),
        kinds(&document, "toGateway"),
    );
    for kind in &from {
        for example in examples(&document, kind) {
            let frame = from_gateway(example);
            assert_eq!(kind_of_gateways(&frame), kind);
            let written: Value = serde_json::from_str(&frame.write()).unwrap();
            assert_eq!(&written, example, "a member is not understood");
        }
    }
    for kind in &to {
        for example in examples(&document, kind) {
            let frame = to_gateway(example);
            assert_eq!(kind_of_engines(&frame), kind);
            let written: Value = serde_json::from_str(&frame.write()).unwrap();
            assert_eq!(&written, example, "a member is not understood");
        }
    }
    let known = ["hello", "state", "event", "result", "ping"];
    assert_eq!(set(&from), set(known));
    let known = ["welcome", "command", "ack", "nack", "bye", "pong"];
    assert_eq!(set(&to), set(known));
    let listed = document["channels"]["session"]["messages"].as_object();
    let described = document["components"]["messages"].as_object();
    let all: BTreeSet<String> = from.into_iter().chain(to).collect();
    assert_eq!(set(listed.unwrap().keys()), all);
    assert_eq!(set(described.unwrap().keys()), all);
}

#[test]
fn every_name_that_frames_use_is_listed_and_no_other() {
    let document = document();
    let schemas = schemas(&document);
    let listed = |name: &str| texts(&schemas[name]["enum"]);
    assert_eq!(listed("EventType"), set(EVENT_TYPES));
    assert_eq!(listed("CommandName"), set(CommandName::ALL));
    assert_eq!(listed("ByeReason"), set(ByeReason::ALL));
    assert_eq!(listed("ErrorCode"), set(NACK_CODES));
    for state in listed("ReportedState") {
        let text = Bytes::from(format!(r#"{{"kind":"state","state":"{state}"}}"#));
        let frame = FromGateway::parse(&text).unwrap();
        assert!(matches!(&frame, FromGateway::State(report) if report.state().as_str() == state));
    }
    let (all, reported) = (set(DeviceState::ALL), listed("ReportedState"));
    for state in all.difference(&reported) {
        let text = Bytes::from(format!(r#"{{"kind":"state","state":"{state}"}}"#));
        assert!(FromGateway::parse(&text).is_err(), "{state}");
    }
    let args = schemas["Command"]["x-args"].as_object().unwrap();
    assert_eq!(set(args.keys()), set(CommandName::ALL));
    for schema in args.values() {
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn every_name_that_frames_use_has_an_example() {
    let document = document();
    let names = |kind: &str, member: &str| -> BTreeSet<String> {
        let found = examples(&document, kind).into_iter();
        found
            .map(|example| example[member].as_str().unwrap().to_owned())
            .collect()
    };
    let engines_own = ["device.connected", "device.disconnected"];
    let sent = EVENT_TYPES
        .into_iter()
        .filter(|kind| !engines_own.contains(kind));
    assert!(names("event", "type").is_superset(&set(sent)));
    assert_eq!(names("command", "name"), set(CommandName::ALL));
    assert_eq!(names("bye", "reason"), set(ByeReason::ALL));
    let states: Vec<Report> = examples(&document, "state")
        .into_iter()
        .map(|example| match from_gateway(example) {
            FromGateway::State(report) => report,
            other @ (FromGateway::Hello { .. }
            | FromGateway::Event(_)
            | FromGateway::Result(_)
            | FromGateway::Ping) => panic!("{other:?}"),
        })
        .collect();
    let reached: BTreeSet<String> = set(states.iter().map(Report::state));
    assert_eq!(
        reached,
        set(["pairing", "connected", "offline", "replaced"])
    );
}

#[test]
fn every_event_that_is_an_example_is_one_that_is_taken() {
    let document = document();
    for example in examples(&document, "event") {
        let FromGateway::Event(event) = from_gateway(example) else {
            panic!("{example}");
        };
        event.check().unwrap();
    }
}

#[test]
fn every_member_that_a_schema_has_is_in_an_example_and_the_other_way_round() {
    let document = document();
    let messages = document["components"]["messages"].as_object().unwrap();
    for (kind, message) in messages {
        let name = message["payload"]["$ref"].as_str().unwrap();
        let name = name.rsplit('/').next().unwrap();
        let schema = &schemas(&document)[name];
        let mut shown: BTreeMap<&str, u32> = BTreeMap::new();
        for example in examples(&document, kind) {
            for member in example.as_object().unwrap().keys() {
                *shown.entry(member).or_default() += 1;
            }
            for required in texts(&schema["required"]) {
                assert!(example.get(&required).is_some(), "{required}: {example}");
            }
        }
        let described = schema["properties"].as_object().unwrap();
        assert_eq!(set(shown.keys()), set(described.keys()), "{kind}");
        assert_eq!(described["kind"]["const"], kind.as_str());
    }
}

#[test]
fn the_limits_in_the_text_are_those_of_the_code() {
    let document = document();
    let text = document["info"]["description"].as_str().unwrap();
    let frame = format!("{} KiB a frame", FRAME_BYTES_MAX / 1024);
    assert!(text.contains(&frame), "{frame}");
    assert!(text.contains(&format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}")));
    let bindings = &document["channels"]["session"]["bindings"]["ws"]["headers"];
    let offered = &bindings["properties"]["Sec-WebSocket-Protocol"]["const"];
    assert_eq!(offered, SUBPROTOCOL);
}
