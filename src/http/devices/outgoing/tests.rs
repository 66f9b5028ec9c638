//! What is sent byte for byte, and what is not sent at all.

use proptest::prelude::*;

use super::{super::input::tests::device, *};

fn parse(body: &str) -> Result<Outgoing, Problem> {
    Outgoing::parse(body.as_bytes(), &device("gateway"))
}

fn refusal(body: &str) -> (Code, String) {
    let problem = parse(body).unwrap_err();
    let first = problem.errors().first();
    let pointer = first.map(|error| error.pointer.clone());
    (problem.code(), pointer.unwrap_or_default())
}

#[test]
fn members_keep_their_bytes_and_their_order() {
    let body =
        r#"{"z":{ "b" : 1.10,"a":12345678901234567890 },"to":"1234567890","text":"h\u00e9"}"#;
    let message = parse(body).unwrap();
    assert_eq!(message.to, "1234567890@s.whatsapp.net");
    assert_eq!(message.contents, ["z", "text"]);
    let expected = r#"{"to":"1234567890@s.whatsapp.net","z":{ "b" : 1.10,"a":12345678901234567890 },"text":"h\u00e9"}"#;
    assert_eq!(message.args, expected);
}

#[test]
fn how_something_is_sent_is_nothing_to_send() {
    for body in [
        r#"{"to":"1234567890"}"#,
        r#"{"to":"1234567890","reply_to":"a","mentions":["1@lid"]}"#,
        r#"{"to":"1234567890","text":null,"media":null}"#,
    ] {
        assert_eq!(refusal(body), (Code::InvalidField, String::new()), "{body}");
    }
}

#[test]
fn names_that_would_be_read_in_two_ways_are_refused() {
    let twice = r#"{"to":"1234567890","text":"a","t\u0065xt":"b"}"#;
    assert_eq!(refusal(twice), (Code::InvalidField, "/text".to_owned()));
    let named = r#"{"to":"1234567890","text":"a","id":"x"}"#;
    assert_eq!(refusal(named), (Code::InvalidField, "/id".to_owned()));
    let escaped = r#"{"to":"1234567890","a/b~":1,"a/b~":2}"#;
    assert_eq!(refusal(escaped), (Code::InvalidField, "/a~1b~0".to_owned()));
}

#[test]
fn what_is_no_object_is_refused() {
    for body in ["[]", "7", "null", "\"to\""] {
        assert_eq!(refusal(body).0, Code::InvalidField, "{body}");
    }
    for body in ["", "{", "{}}", "{\"to\":}", "\u{feff}{}"] {
        assert_eq!(refusal(body).0, Code::MalformedJson, "{body}");
    }
    let broken = Outgoing::parse(b"{\"to\":\"\xff\"}", &device("gateway"));
    assert_eq!(broken.unwrap_err().code(), Code::MalformedJson);
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"to":"1234567890","a":{open}{close}}}"#)
    };
    parse(&nested(64)).unwrap();
    assert_eq!(refusal(&nested(65)).0, Code::MalformedJson);
}

proptest! {
    #[test]
    fn whatever_comes_is_refused_or_is_json_with_the_chat_first(body in ".*") {
        if let Ok(message) = parse(&body) {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&message.args).is_ok());
        }
    }

    #[test]
    fn any_text_and_any_name_arrive(name in "[^\u{0}]{1,20}", text in ".{1,50}") {
        let known = ["to", "id", "text", "media", "reply_to", "mentions"];
        prop_assume!(!known.contains(&name.as_str()));
        let body = serde_json::json!({"to": "1234567890", name.clone(): 7, "text": text});
        let args = parse(&body.to_string()).unwrap().args;
        let args: serde_json::Value = serde_json::from_slice(&args).unwrap();
        prop_assert_eq!(&args["text"], &body["text"]);
        prop_assert_eq!(&args[&name], 7);
    }
}
