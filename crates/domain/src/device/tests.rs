//! What holds for devices.

mod frames;
mod inputs;
mod sessions;

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    event::{DEDUP_ID_LENGTH_MAX, EventType},
    ids::{DeviceId, WorkspaceId},
    time::Timestamp,
};

fn device() -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(7))
}

fn workspace() -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(8))
}

fn key(chat: &str, sender: &str, id: &str) -> MessageKey {
    MessageKey {
        chat: chat.into(),
        sender: sender.into(),
        id: id.into(),
    }
}

fn event(kind: &str, key: Option<MessageKey>) -> DeviceEvent {
    DeviceEvent {
        id: "1".into(),
        kind: EventType::new(kind).unwrap(),
        at: None,
        key,
        data: Bytes::from_static(b"{\"text\":\"hi\"}"),
    }
}

fn dedup_id(event: DeviceEvent) -> Option<Box<str>> {
    event
        .into_new_event(device(), workspace())
        .0
        .fields
        .dedup_id
}

#[test]
fn every_type_but_the_engines_own_may_be_sent() {
    for kind in EVENT_TYPES {
        let checked = event(kind, Some(key("chat", "", "id"))).check();
        assert_eq!(checked.is_ok(), !kind.starts_with("device."), "{kind}");
    }
    assert!(event("sensor.temperature", None).check().is_ok());
}

#[test]
fn a_typing_error_within_a_family_is_refused() {
    for kind in ["message.recieved", "group.x", "device.up", "contact.a.b"] {
        let refusal = event(kind, Some(key("c", "s", "i"))).check().unwrap_err();
        assert_eq!(refusal.code, "invalid_field", "{kind}");
    }
    assert!(event("messages", None).check().is_ok());
}

#[test]
fn messages_and_receipts_need_a_key() {
    for step in MessageStep::ALL {
        assert!(event(step.event_type(), None).check().is_err());
        assert!(
            event(step.event_type(), Some(key("", "s", "i")))
                .check()
                .is_err()
        );
        assert!(
            event(step.event_type(), Some(key("c", "s", "")))
                .check()
                .is_err()
        );
        assert!(
            event(step.event_type(), Some(key(&"c".repeat(256), "s", "i")))
                .check()
                .is_err()
        );
        let sent = event(step.event_type(), Some(key("c", "", "i")));
        assert!(sent.check().is_ok());
        assert_eq!(sent.step(), Some((key("c", "", "i"), step)));
    }
    assert_eq!(
        event("group.created", Some(key("c", "s", "i"))).step(),
        None
    );
}

#[test]
fn too_much_data_is_refused() {
    let mut large = event("a", None);
    large.data = Bytes::from(format!("\"{}\"", "x".repeat(256 * 1024)));
    assert_eq!(large.check().unwrap_err().code, "payload_too_large");
    large.data = Bytes::from(format!("{}1{}", "[".repeat(65), "]".repeat(65)));
    assert_eq!(large.check().unwrap_err().code, "invalid_field");
}

#[test]
fn an_event_goes_into_the_log_with_its_device_chat_and_time() {
    let mut sent = event("message.received", Some(key("chat", "anna", "42")));
    sent.at = Some(Timestamp::from_micros(5));
    let (new, step) = sent.clone().into_new_event(device(), workspace());
    assert_eq!(new.workspace, workspace());
    assert_eq!(new.payload, sent.data);
    assert_eq!(new.fields.device, Some(device()));
    assert_eq!(new.fields.occurred_at, sent.at);
    assert_eq!(new.fields.ordering_key.as_deref(), Some("chat"));
    assert_eq!(
        new.fields.dedup_id.as_deref(),
        Some("dev_00000000000000000000000000000007/chat/anna/42")
    );
    assert_eq!(
        step,
        Some((key("chat", "anna", "42"), MessageStep::Received))
    );
}

#[test]
fn a_received_message_has_one_name_whatever_its_frame() {
    let first = event("message.received", Some(key("c", "s", "i")));
    let again = DeviceEvent {
        id: "2".into(),
        at: Some(Timestamp::from_micros(1)),
        data: Bytes::from_static(b"1"),
        ..first.clone()
    };
    assert_eq!(dedup_id(first), dedup_id(again));
}

#[test]
fn other_events_are_named_by_frame_and_content() {
    let first = event("receipt.read", Some(key("c", "s", "i")));
    assert_eq!(dedup_id(first.clone()), dedup_id(first.clone()));
    let others = [
        DeviceEvent {
            id: "2".into(),
            ..first.clone()
        },
        DeviceEvent {
            at: Some(Timestamp::from_micros(1)),
            ..first.clone()
        },
        DeviceEvent {
            data: Bytes::from_static(b"{\"text\":\"hi\" }"),
            ..first.clone()
        },
        event("receipt.read", Some(key("c", "s", "j"))),
        event("receipt.delivery", Some(key("c", "s", "i"))),
    ];
    for other in others {
        assert_ne!(
            dedup_id(first.clone()),
            dedup_id(other.clone()),
            "{other:?}"
        );
    }
    let nameless = DeviceEvent {
        id: "".into(),
        ..first
    };
    assert_eq!(dedup_id(nameless), None);
}

#[test]
fn a_state_of_a_message_never_goes_back() {
    assert_eq!(
        MessageState::Pending.with(MessageStep::Delivered),
        MessageState::Delivered
    );
    assert_eq!(
        MessageState::Read.with(MessageStep::Delivered),
        MessageState::Read
    );
    assert_eq!(
        MessageState::Failed.raised_to(MessageState::Sent),
        MessageState::Sent
    );
    assert_eq!(
        MessageState::Sent.raised_to(MessageState::Failed),
        MessageState::Sent
    );
    for state in MessageState::ALL {
        for step in MessageStep::ALL {
            assert!(state.with(step).rank() >= state.rank());
        }
    }
}

#[test]
fn names_read_back() {
    for state in DeviceState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            format!("\"{state}\"")
        );
    }
    for state in MessageState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(
            serde_json::to_string(&state).unwrap(),
            format!("\"{state}\"")
        );
    }
    for name in CommandName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
        assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{name}\""));
    }
    for bye in ByeReason::ALL {
        assert_eq!(serde_json::to_string(&bye).unwrap(), format!("\"{bye}\""));
        assert_eq!(EndReason::from(bye).as_str(), bye.as_str());
    }
}

fn any_part() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c/]{0,3}", "[a-z0-9@.:/-]{1,40}", "x{200,255}"]
}

proptest! {
    #[test]
    fn two_messages_never_share_a_name(
        one in (any_part(), any_part(), any_part()),
        other in (any_part(), any_part(), any_part()),
    ) {
        let name = |(chat, sender, id): &(String, String, String)| {
            dedup_id(event("message.received", Some(key(chat, sender, id))))
        };
        prop_assert_eq!(name(&one) == name(&other), one == other);
        prop_assert!(name(&one).unwrap().len() <= DEDUP_ID_LENGTH_MAX);
    }
}
