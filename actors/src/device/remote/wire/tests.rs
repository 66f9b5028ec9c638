//! What is written is read back, byte for byte, and nothing else is understood.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn batch(data: &str, word: Word) -> Batch {
    let event = DeviceEvent {
        id: "7".into(),
        kind: EventType::new("message.received").unwrap(),
        at: Some(Timestamp::from_micros(-3)),
        key: Some(MessageKey {
            chat: "c".into(),
            sender: "".into(),
            id: "x".into(),
        }),
        data: Bytes::from(data.to_owned()),
    };
    Batch {
        tenant: TenantId::from_uuid(Uuid::from_u128(1)),
        device: DeviceId::from_uuid(Uuid::from_u128(2)),
        workspace: WorkspaceId::from_uuid(Uuid::from_u128(3)),
        fence: Fence::new(4),
        events: vec![event],
        word,
    }
}

#[test]
fn payloads_keep_their_bytes_on_the_way() {
    for data in [
        r#" {"b":1.0,"a":12345678901234567890 ,"b":"\u00e4ä"} "#,
        "null",
    ] {
        for word in [Word::Engine("own".into()), Word::Will, Word::Device] {
            let ask = Ask::Ingest(batch(data, word));
            assert_eq!(read_ask(&write_ask(&ask)), Some(ask));
        }
    }
}

#[test]
fn what_becomes_of_a_command_comes_back_as_it_was() {
    let refused = Ran::Refused {
        code: "no".into(),
        message: "never".into(),
    };
    let all = [
        Ran::Done(Bytes::from_static(b"{\"a\": 1}")),
        refused,
        Ran::TimedOut,
        Ran::Ended,
        Ran::Offline,
        Ran::Busy,
        Ran::Moved,
    ];
    for ran in all {
        let answer = Answer::Ran(ran);
        assert_eq!(read_answer(&write_answer(answer.clone())), Some(answer));
    }
}

#[test]
fn another_version_is_not_understood() {
    let ask = write_ask(&Ask::Ingest(batch("{}", Word::Device)));
    let other = String::from_utf8(ask.to_vec()).unwrap();
    let other = other.replacen("\"v\":1", "\"v\":2", 1);
    assert_eq!(read_ask(other.as_bytes()), None);
}

proptest! {
    #[test]
    fn noise_is_no_question_and_harms_nobody(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read_ask(&noise), None);
        prop_assert_eq!(read_answer(&noise), None);
    }
}
