use domain::device::CommandName;
use serde_json::{Value, json};
use whatsapp_rust::proto_helpers::MessageExt as _;

use super::*;

fn wanted(args: Value) -> Args {
    serde_json::from_value(args).unwrap()
}

fn made(args: Value) -> Option<wa::Message> {
    let wanted = wanted(args);
    let to = jid(&wanted.to).unwrap();
    let own = jid("491510000001:7@s.whatsapp.net").unwrap();
    message(wanted, &to, Some(&own)).unwrap()
}

#[test]
fn the_same_command_is_the_same_message() {
    let id = message_id("msg_01890a5d-ac96-774b-bcce-b302099a8057");
    assert_eq!(id, "3EB04BBCCEB302099A8057");
    assert_eq!(id, message_id("msg_01890a5d-ac96-774b-bcce-b302099a8057"));
}

#[test]
fn a_text_is_a_text() {
    let message = made(json!({"to": "1@s.whatsapp.net", "text": "hello"})).unwrap();
    assert_eq!(message.text_content(), Some("hello"));
    assert!(!message.extended_text_message.is_set());
}

#[test]
fn an_answer_names_the_message_and_who_wrote_it() {
    let quoted = |reply_to: Value| {
        let args = json!({"to": "1@s.whatsapp.net", "text": "yes", "reply_to": reply_to});
        let message = made(args).unwrap();
        let context = &message.extended_text_message.context_info;
        (
            context.stanza_id.clone().unwrap(),
            context.participant.clone().unwrap(),
        )
    };
    let theirs = ("A1".to_owned(), "1@s.whatsapp.net".to_owned());
    assert_eq!(quoted(json!("A1")), theirs);
    assert_eq!(quoted(json!({"id": "A1", "sender": ""})), theirs);
    let other = json!({"id": "A1", "sender": "2@s.whatsapp.net"});
    assert_eq!(quoted(other).1, "2@s.whatsapp.net");
    let own = json!({"id": "A1", "from_me": true});
    assert_eq!(quoted(own).1, "491510000001@s.whatsapp.net");
}

#[test]
fn somebody_can_be_mentioned() {
    let args = json!({"to": "1-2@g.us", "text": "@3", "mentions": ["3@s.whatsapp.net"]});
    let message = made(args).unwrap();
    let context = &message.extended_text_message.context_info;
    assert_eq!(context.mentioned_jid, ["3@s.whatsapp.net"]);
    assert_eq!(context.stanza_id, None);
}

#[test]
fn a_reaction_is_to_what_somebody_else_has_said() {
    let reaction = json!({"id": "A1", "sender": "3@s.whatsapp.net", "emoji": "+"});
    let message = made(json!({"to": "1-2@g.us", "reaction": reaction})).unwrap();
    let key = &message.reaction_message.key;
    assert_eq!(message.reaction_message.text.as_deref(), Some("+"));
    assert_eq!(key.id.as_deref(), Some("A1"));
    assert_eq!(key.from_me, Some(false));
    assert_eq!(key.participant.as_deref(), Some("3@s.whatsapp.net"));
    let message = made(json!({"to": "1@s.whatsapp.net", "reaction": {"id": "A1"}})).unwrap();
    assert_eq!(message.reaction_message.text.as_deref(), Some(""));
}

#[test]
fn edits_and_deletions_name_their_message_by_id_or_more() {
    let edit = wanted(json!({"to": "1@s.whatsapp.net", "edit": {"id": "A1", "text": "new"}})).edit;
    assert!(
        matches!(edit, Some(Edit::Message { id, text: Some(text) }) if id == "A1" && text == "new")
    );
    let edit = wanted(json!({"to": "1@s.whatsapp.net", "text": "new", "edit": "A1"})).edit;
    assert!(matches!(edit, Some(Edit::Id(id)) if id == "A1"));
    let author = |delete: Value| {
        let wanted = wanted(json!({"to": "1-2@g.us", "delete": delete}));
        wanted.delete.unwrap().named().author().map(str::to_owned)
    };
    assert_eq!(author(json!("A1")), None);
    assert_eq!(author(json!({"id": "A1", "sender": ""})), None);
    let theirs = json!({"id": "A1", "sender": "3@s.whatsapp.net"});
    assert_eq!(author(theirs).as_deref(), Some("3@s.whatsapp.net"));
}

#[test]
fn what_this_connector_cannot_say_is_nothing() {
    let media = json!({"to": "1@s.whatsapp.net", "media": {"url": "https://example.com/a.png"}});
    assert!(made(media).is_none());
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let command = Command {
        id: "msg_1".into(),
        name: CommandName::MessageSend,
        args: gateway::Bytes::from_static(b"{\"text\":\"to nobody\"}"),
        deadline: domain::time::Timestamp::from_micros(0),
    };
    let refusal = args::<Args>(&command).err().unwrap();
    assert_eq!(refusal.code, "invalid_field");
    assert_eq!(
        jid("not a name")
            .err()
            .map(|refusal| refusal.code)
            .as_deref(),
        Some("invalid_field")
    );
}
