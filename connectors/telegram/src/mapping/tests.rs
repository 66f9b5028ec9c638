//! What becomes of Telegram's updates.

use serde_json::from_str;

use super::*;

fn made(update: &str) -> Vec<DeviceEvent> {
    let me = Me {
        id: 666,
        username: "bot".to_owned(),
    };
    let raw: Box<RawValue> = from_str(update).unwrap();
    let events = events(&me, &raw).unwrap();
    for event in &events {
        event.check().unwrap();
    }
    events
}

fn only(update: &str) -> (DeviceEvent, Value) {
    let mut events = made(update);
    assert_eq!(events.len(), 1, "{events:?}");
    let event = events.remove(0);
    let data = serde_json::from_slice(&event.data).unwrap();
    (event, data)
}

#[test]
fn a_text_is_a_received_message() {
    let (event, mut data) = only(
        r#"{"update_id":9,"message":{"message_id":5,"date":1700000000,"text":"hi","chat":{"id":-3,"type":"group","title":"Us"},
            "from":{"id":7,"first_name":"Anna","last_name":"B","is_bot":false},"reply_to_message":{"message_id":4,"chat":{"id":-3}},
            "entities":[{"type":"text_mention","offset":0,"length":2,"user":{"id":8,"first_name":"C"}}]}}"#,
    );
    assert_eq!(event.kind.as_str(), "message.received");
    assert_eq!(&*event.id, "update_9.0");
    assert_eq!(event.at.unwrap().to_string(), "2023-11-14T22:13:20.000000Z");
    let network = data.as_object_mut().unwrap().remove("message").unwrap();
    assert_eq!(network["text"], "hi");
    assert_eq!(
        data,
        json!({
            "key": { "chat": "-3", "sender": "7", "id": "5" },
            "from_me": false, "push_name": "Anna B", "timestamp": 1_700_000_000, "kind": "text",
            "text": "hi", "reply_to": "4", "mentions": ["8"],
        })
    );
}

#[test]
fn an_edit_has_the_key_of_its_message() {
    let (event, data) = only(
        r#"{"update_id":1,"edited_message":{"message_id":5,"date":1,"edit_date":2,"text":"ho","chat":{"id":7,"type":"private"},
            "from":{"id":7,"first_name":"A"}}}"#,
    );
    assert_eq!(event.kind.as_str(), "message.updated");
    assert_eq!(event.at.unwrap().micros(), 2_000_000);
    assert_eq!(
        data["key"],
        json!({ "chat": "7", "sender": "7", "id": "5" })
    );
}

#[test]
fn a_post_of_a_channel_is_sent_by_the_channel() {
    let (event, data) = only(
        r#"{"update_id":1,"channel_post":{"message_id":5,"date":1,"caption":"look","chat":{"id":-9,"type":"channel","title":"News"},
            "sender_chat":{"id":-9,"type":"channel","title":"News"},"photo":[{"file_id":"s","file_size":1},{"file_id":"l","file_size":9}]}}"#,
    );
    assert_eq!(event.kind.as_str(), "message.received");
    assert_eq!(data["key"]["sender"], "-9");
    assert_eq!(data["kind"], "image");
    assert_eq!(data["text"], "look");
    assert_eq!(data["media"], json!({ "file_id": "l", "size": 9 }));
}

#[test]
fn kinds_are_told_apart() {
    for (member, kind) in [
        (
            r#""voice":{"file_id":"x","mime_type":"audio/ogg"}"#,
            "audio",
        ),
        (r#""video_note":{"file_id":"x"}"#, "video"),
        (
            r#""animation":{"file_id":"x"},"document":{"file_id":"x"}"#,
            "video",
        ),
        (
            r#""document":{"file_id":"x","file_name":"a.pdf"}"#,
            "document",
        ),
        (r#""sticker":{"file_id":"x"}"#, "sticker"),
        (r#""location":{"latitude":1,"longitude":2}"#, "location"),
        (r#""contact":{"phone_number":"1"}"#, "contact"),
        (r#""poll":{"id":"1"}"#, "poll"),
        (r#""dice":{"value":6}"#, "other"),
    ] {
        let (_, data) = only(&format!(
            r#"{{"update_id":1,"message":{{"message_id":5,"chat":{{"id":7}},{member}}}}}"#
        ));
        assert_eq!(data["kind"], kind);
    }
}

#[test]
fn deletions_are_one_event_a_message() {
    let events = made(
        r#"{"update_id":1,"deleted_business_messages":{"business_connection_id":"b","chat":{"id":7,"type":"private"},"message_ids":[3,4]}}"#,
    );
    let ids: Vec<&str> = events.iter().map(|event| &*event.id).collect();
    assert_eq!(ids, ["update_1.0", "update_1.1"]);
    assert!(
        events
            .iter()
            .all(|event| event.kind.as_str() == "message.deleted")
    );
    assert_eq!(&*events[1].key.as_ref().unwrap().id, "4");
}

#[test]
fn service_messages_tell_of_groups() {
    let service = |member: &str| {
        made(&format!(
            r#"{{"update_id":1,"message":{{"message_id":5,"date":1,"chat":{{"id":-3,"type":"group","title":"Us"}},"from":{{"id":7}},{member}}}}}"#
        ))
    };
    for (member, kind, name, value) in [
        (
            r#""new_chat_members":[{"id":8},{"id":666}]"#,
            "participant.added",
            "participants",
            json!(["8"]),
        ),
        (
            r#""left_chat_member":{"id":8}"#,
            "participant.removed",
            "participants",
            json!(["8"]),
        ),
        (
            r#""new_chat_title":"We""#,
            "group.updated",
            "subject",
            json!("We"),
        ),
        (
            r#""group_chat_created":true"#,
            "group.created",
            "subject",
            json!("Us"),
        ),
        (
            r#""migrate_to_chat_id":-1003"#,
            "group.updated",
            "moved_to",
            json!("-1003"),
        ),
    ] {
        let events = service(member);
        assert_eq!(events.len(), 1, "{member}");
        assert_eq!(events[0].kind.as_str(), kind);
        let data: Value = serde_json::from_slice(&events[0].data).unwrap();
        assert_eq!(data[name], value, "{member}");
        assert_eq!(data["group"], "-3");
        assert_eq!(data["by"], "7");
    }
    assert!(service(r#""left_chat_member":{"id":666}"#).is_empty());
}

#[test]
fn the_bots_own_membership_is_told_once() {
    let change = |kind: &str, before: &str, now: &str| {
        only(&format!(
            r#"{{"update_id":1,"my_chat_member":{{"chat":{{"id":-3,"type":"{kind}","title":"Us"}},"from":{{"id":7,"first_name":"A"}},"date":1,
                "old_chat_member":{{"status":"{before}"}},"new_chat_member":{{"status":"{now}"}}}}}}"#
        ))
    };
    let (event, data) = change("group", "left", "member");
    assert_eq!(event.kind.as_str(), "participant.added");
    assert_eq!(data["participants"], json!(["666"]));
    assert_eq!(
        change("group", "member", "kicked").0.kind.as_str(),
        "participant.removed"
    );
    let (event, data) = change("group", "member", "administrator");
    assert_eq!(event.kind.as_str(), "group.updated");
    assert_eq!(data["role"], "administrator");
    let (event, data) = change("private", "member", "kicked");
    assert_eq!(event.kind.as_str(), "contact.updated");
    assert_eq!(data["blocked"], true);
}

#[test]
fn what_nobody_knows_makes_no_event() {
    assert!(made(r#"{"update_id":1,"poll_answer":{"x":1}}"#).is_empty());
}
