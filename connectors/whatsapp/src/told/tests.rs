use std::sync::Arc;

use domain::device::frame::FromGateway;
use serde_json::{Value, json};
use whatsapp_rust::{
    Jid,
    buffa::MessageField,
    chrono::DateTime,
    wacore::{
        stanza::groups::GroupNotificationAction,
        types::{
            events::{GroupUpdate, InboundMessage, Receipt},
            message::{MessageInfo, MessageSource},
            presence::ReceiptType,
        },
    },
    waproto::whatsapp as wa,
};

use super::*;

const ADA: &str = "491510000002@s.whatsapp.net";
const HIDDEN: &str = "77001@lid";

struct Known;

impl Addresses for Known {
    fn number_of(&self, hidden: &str) -> Option<String> {
        (hidden == "77001").then(|| "491510000002".to_owned())
    }
}

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn from(chat: &str, sender: &str) -> MessageSource {
    MessageSource {
        chat: jid(chat),
        sender: jid(sender),
        is_group: chat.ends_with("@g.us"),
        ..MessageSource::default()
    }
}

fn told_of(source: MessageSource, message: wa::Message) -> Option<Told> {
    let info = MessageInfo {
        source,
        id: "A1".to_owned(),
        push_name: "Ada".to_owned(),
        timestamp: DateTime::from_timestamp(1_760_000_000, 0).unwrap(),
        ..MessageInfo::default()
    };
    let inbound = InboundMessage::builder()
        .message(Arc::new(message))
        .info(Arc::new(info))
        .build();
    super::message(&Known, &inbound)
}

fn text(text: &str) -> wa::Message {
    wa::Message {
        conversation: Some(text.to_owned()),
        ..wa::Message::default()
    }
}

fn without_own(mut told: Told) -> Value {
    told.data.as_object_mut().unwrap().remove("message");
    told.data
}

#[test]
fn a_message_is_told_with_its_key_its_author_and_what_it_says() {
    let told = told_of(from(ADA, "491510000002:3@s.whatsapp.net"), text("hello")).unwrap();
    assert_eq!(told.kind, "message.received");
    assert_eq!(told.at, Some(1_760_000_000));
    assert_eq!(told.data["message"], json!({"conversation": "hello"}));
    let event = told.clone().event();
    event.check().unwrap();
    assert_eq!(&*event.id, "message:A1");
    let expected = json!({
        "key": {"chat": ADA, "sender": ADA, "id": "A1"},
        "from_me": false, "push_name": "Ada", "timestamp": 1_760_000_000, "kind": "text", "text": "hello",
    });
    assert_eq!(without_own(told), expected);
}

#[test]
fn a_person_with_a_hidden_name_is_told_by_number() {
    let by_table = told_of(from(HIDDEN, HIDDEN), text("hello")).unwrap();
    assert_eq!(by_table.data["key"]["chat"], ADA);
    assert_eq!(by_table.data["key"]["sender"], ADA);
    assert_eq!(by_table.data["sender_lid"], HIDDEN);
    let mut source = from("77002@lid", "77002:1@lid");
    source.sender_alt = Some(jid("491510000003:1@s.whatsapp.net"));
    let by_stanza = told_of(source, text("hello")).unwrap();
    assert_eq!(by_stanza.data["key"]["chat"], "491510000003@s.whatsapp.net");
    let unknown = told_of(from("77003@lid", "77003@lid"), text("hello")).unwrap();
    assert_eq!(unknown.data["key"]["chat"], "77003@lid");
}

#[test]
fn the_account_itself_has_no_name_as_a_sender() {
    let mut source = from(ADA, "491510000001:0@s.whatsapp.net");
    source.is_from_me = true;
    let told = told_of(source, text("written on the phone")).unwrap();
    assert_eq!(
        told.data["key"],
        json!({"chat": ADA, "sender": "", "id": "A1"})
    );
    assert_eq!(told.data["from_me"], true);
}

#[test]
fn an_edit_and_a_deletion_name_the_message_that_they_change() {
    let change = |kind, edited: Option<wa::Message>| wa::Message {
        protocol_message: MessageField::some(wa::message::ProtocolMessage {
            key: MessageField::some(wa::MessageKey {
                id: Some("B7".to_owned()),
                ..Default::default()
            }),
            r#type: Some(kind),
            edited_message: edited.map(MessageField::some).unwrap_or_default(),
            ..Default::default()
        }),
        ..wa::Message::default()
    };
    use wa::message::protocol_message::Type;
    let edit = told_of(
        from(ADA, ADA),
        change(Type::MESSAGE_EDIT, Some(text("new"))),
    )
    .unwrap();
    assert_eq!(
        (edit.kind, edit.data["text"].as_str()),
        ("message.updated", Some("new"))
    );
    assert_eq!(edit.data["key"]["id"], "B7");
    edit.event().check().unwrap();
    let deletion = told_of(from(ADA, ADA), change(Type::REVOKE, None)).unwrap();
    assert_eq!(deletion.kind, "message.deleted");
    assert_eq!(
        deletion.data["key"],
        json!({"chat": ADA, "sender": ADA, "id": "B7"})
    );
    assert_eq!(deletion.data["by"], ADA);
}

#[test]
fn an_image_is_told_with_what_it_takes_to_fetch_it() {
    let image = wa::Message {
        image_message: MessageField::some(wa::message::ImageMessage {
            mimetype: Some("image/png".to_owned()),
            caption: Some("look".to_owned()),
            file_length: Some(12),
            direct_path: Some("/v/1".to_owned()),
            media_key: Some(vec![1, 2, 3]),
            ..Default::default()
        }),
        ..wa::Message::default()
    };
    let told = told_of(from(ADA, ADA), image).unwrap();
    assert_eq!(
        (&told.data["kind"], &told.data["text"]),
        (&json!("image"), &json!("look"))
    );
    let expected =
        json!({"mimetype": "image/png", "size": 12, "direct_path": "/v/1", "media_key": "AQID"});
    assert_eq!(told.data["media"], expected);
}

#[test]
fn a_message_that_is_too_large_is_told_without_the_networks_own_object() {
    let told = told_of(from(ADA, ADA), text(&"long ".repeat(40_000))).unwrap();
    assert_eq!(told.data.get("message"), None);
    assert_eq!(told.data["text"].as_str().map(str::len), Some(200_000));
}

#[test]
fn an_answer_to_many_answers_is_told_without_the_networks_own_object() {
    let answer = |to: wa::Message| wa::Message {
        extended_text_message: MessageField::some(wa::message::ExtendedTextMessage {
            text: Some("yes".to_owned()),
            context_info: MessageField::some(wa::ContextInfo {
                stanza_id: Some("B1".to_owned()),
                quoted_message: MessageField::some(to),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..wa::Message::default()
    };
    let after = |answers| (0..answers).fold(text("hello"), |message, _| answer(message));
    let few = told_of(from(ADA, ADA), after(3)).unwrap();
    assert!(few.data.get("message").is_some());
    let many = told_of(from(ADA, ADA), after(30)).unwrap();
    assert_eq!(many.data.get("message"), None);
    assert_eq!(
        (many.data["text"].as_str(), many.data["reply_to"].as_str()),
        (Some("yes"), Some("B1"))
    );
    for answers in 0..30 {
        let event = told_of(from(ADA, ADA), after(answers)).unwrap().event();
        let frame = FromGateway::Event(event).write();
        assert!(
            FromGateway::parse(&frame.into()).is_ok(),
            "{answers} answers"
        );
    }
}

#[test]
fn keys_for_a_group_are_no_message() {
    let mut message = wa::Message::default();
    assert_eq!(told_of(from("1-2@g.us", ADA), message.clone()), None);
    message.sender_key_distribution_message = MessageField::some(Default::default());
    assert_eq!(told_of(from("1-2@g.us", ADA), message.clone()), None);
    message.conversation = Some("hello".to_owned());
    assert!(told_of(from("1-2@g.us", ADA), message).is_some());
}

#[test]
fn a_receipt_is_one_event_for_each_message() {
    let receipt = |kind| {
        let receipt = Receipt::builder()
            .source(from(HIDDEN, "77001:2@lid"))
            .message_ids(vec!["A1".to_owned(), "A2".to_owned()])
            .timestamp(DateTime::from_timestamp(1_760_000_000, 0).unwrap())
            .r#type(kind)
            .offline(false)
            .build();
        receipts(&Known, &receipt)
    };
    let read = receipt(ReceiptType::Read);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].kind, "receipt.read");
    let expected = json!({
        "key": {"chat": ADA, "sender": "", "id": "A1"}, "by": ADA, "timestamp": 1_760_000_000,
    });
    assert_eq!(read[0].data, expected);
    assert_ne!(read[0].id, read[1].id);
    read[1].clone().event().check().unwrap();
    assert_eq!(receipt(ReceiptType::Delivered)[0].kind, "receipt.delivery");
    assert_eq!(receipt(ReceiptType::Played)[0].data["played"], true);
    assert!(receipt(ReceiptType::ReadSelf).is_empty());
}

#[test]
fn changes_of_groups_say_what_has_changed() {
    let told = |action| {
        let update = GroupUpdate::builder()
            .group_jid(jid("1-2@g.us"))
            .notification_id("n1".to_owned())
            .participant(jid("77001:1@lid"))
            .timestamp(DateTime::from_timestamp(1_760_000_000, 0).unwrap())
            .is_lid_addressing_mode(true)
            .action(action)
            .build();
        group(&Known, &update)
    };
    let subject = told(GroupNotificationAction::Subject {
        subject: "Crew".to_owned(),
        subject_owner: None,
        subject_time: None,
    });
    assert_eq!(subject.kind, "group.updated");
    assert_eq!(
        subject.data,
        json!({"group": "1-2@g.us", "by": ADA, "subject": "Crew"})
    );
    assert_eq!(subject.id, "group:n1:0");
    let closed = told(GroupNotificationAction::Announce);
    assert_eq!(closed.data["announce"], true);
    let deleted = told(GroupNotificationAction::Delete { reason: None });
    assert_eq!(deleted.kind, "group.deleted");
}

#[test]
fn older_messages_that_were_asked_for_say_that_they_are_old() {
    let older = wa::WebMessageInfo {
        key: MessageField::some(wa::MessageKey {
            id: Some("OLD".to_owned()),
            from_me: Some(false),
            ..Default::default()
        }),
        message: MessageField::some(text("before")),
        message_timestamp: Some(1_750_000_000),
        ..Default::default()
    };
    let sent = wa::HistorySync {
        conversations: vec![wa::Conversation {
            id: HIDDEN.to_owned(),
            messages: vec![wa::HistorySyncMsg {
                message: MessageField::some(older),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let told = history(&Known, &sent);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, "message.received");
    assert_eq!(told[0].data["is_history"], true);
    assert_eq!(
        told[0].data["key"],
        json!({"chat": ADA, "sender": ADA, "id": "OLD"})
    );
}
