//! What holds for every frame.

use super::{
    super::frame::{DEPTH_MAX, FRAME_BYTES_MAX, FromGateway, ToGateway},
    *,
};
use crate::{fence::Fence, position::Position};

fn from_gateway(text: &str) -> Result<FromGateway, frame::FrameError> {
    FromGateway::parse(&Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn the_frames_of_the_page_are_read() {
    assert_eq!(
        from_gateway(r#"{"kind":"hello","gateway":"baileys/1.0","more":[1]}"#),
        Ok(FromGateway::Hello {
            gateway: "baileys/1.0".into()
        })
    );
    assert_eq!(
        from_gateway(r#"{"kind":"state","state":"offline","reason":"replaced","qr":null}"#),
        Ok(FromGateway::State(Report::Offline {
            reason: Some("replaced".to_owned())
        }))
    );
    let read = from_gateway(
        r#"{"kind":"event","id":"7","type":"message.received","at":"2026-01-31T12:00:00Z","key":{"chat":"c","id":"i","x":1},"data": {"a" : 1.0 } }"#,
    );
    let Ok(FromGateway::Event(event)) = read else {
        panic!("expected an event, got {read:?}");
    };
    assert_eq!(event.data, r#"{"a" : 1.0 }"#);
    assert_eq!(event.key, Some(key("c", "", "i")));
    let read = from_gateway(r#"{"kind":"result","id":"cmd_1","ok":true}"#);
    assert_eq!(
        read,
        Ok(FromGateway::Result(CommandResult {
            id: "cmd_1".into(),
            outcome: Ok(Bytes::from_static(b"null")),
        }))
    );
    assert_eq!(from_gateway(r#"{"kind":"ping"}"#), Ok(FromGateway::Ping));
}

#[test]
fn a_null_is_data() {
    let read = from_gateway(r#"{"kind":"event","id":"7","type":"a","data":null}"#);
    let Ok(FromGateway::Event(event)) = read else {
        panic!("expected an event, got {read:?}");
    };
    assert_eq!(event.data, "null");
}

#[test]
fn a_wrong_frame_still_tells_its_id() {
    for bad in [
        r#"{"kind":"event","id":"7","type":"a b","data":1}"#,
        r#"{"kind":"event","id":"7","type":"a"}"#,
        r#"{"kind":"event","id":"7","type":"a","data":1,"at":"noon"}"#,
        r#"{"kind":"event","id":"7","type":"a","data":1,"key":"x"}"#,
        r#"{"kind":"result","id":"7","ok":false}"#,
        r#"{"kind":"result","id":"7","ok":"yes"}"#,
        r#"{"kind":"letter","id":"7"}"#,
        r#"{"id":"7"}"#,
    ] {
        let error = from_gateway(bad).unwrap_err();
        assert_eq!(error.id.as_deref(), Some("7"), "{bad}");
        assert_eq!(error.code, "invalid_field", "{bad}");
    }
}

#[test]
fn what_is_no_object_is_no_frame() {
    for bad in [
        "",
        "7",
        "[]",
        "{",
        "{}",
        r#"{"kind":7}"#,
        r#"{"kind":"ping"} x"#,
        r#"{"kind":"ping","kind":"ping"}"#,
        r#"{"kind":"hello"}"#,
        r#"{"kind":"hello","gateway":""}"#,
        r#"{"kind":"event","type":"a","data":1}"#,
    ] {
        let error = from_gateway(bad).unwrap_err();
        assert_eq!(error.id, None, "{bad}");
    }
}

#[test]
fn a_frame_has_bounds() {
    let large = format!(r#"{{"kind":"ping","x":"{}"}}"#, "x".repeat(FRAME_BYTES_MAX));
    assert_eq!(from_gateway(&large).unwrap_err().code, "payload_too_large");
    let nested = |depth: usize| {
        let data = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        from_gateway(&format!(
            r#"{{"kind":"event","id":"1","type":"a","data":{data}}}"#
        ))
    };
    assert!(nested(DEPTH_MAX).is_ok());
    assert!(nested(DEPTH_MAX + 1).is_err());
    assert!(nested(100_000).is_err());
}

#[test]
fn a_gateways_long_words_about_a_failure_are_cut() {
    let text = format!(
        r#"{{"kind":"result","id":"1","ok":false,"error":{{"code":"x","message":"{}"}}}}"#,
        "ä".repeat(200)
    );
    let Ok(FromGateway::Result(result)) = from_gateway(&text) else {
        panic!("expected a result");
    };
    assert_eq!(result.outcome.unwrap_err().message, "ä".repeat(127));
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9@.]{1,20}", "[^\0]{1,60}"]
}

fn any_json() -> impl Strategy<Value = Bytes> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("1.00e+3".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let json = leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {} ]", items.join(" ,"))),
            object_of(inner),
        ]
    });
    json.prop_map(Bytes::from)
}

fn object_of(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    proptest::collection::vec(("[a-z]{1,3}", inner), 0..4).prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\" : {value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros)
}

fn any_key() -> impl Strategy<Value = MessageKey> {
    (
        any_text(),
        prop_oneof![Just(String::new()), any_text()],
        any_text(),
    )
        .prop_map(|(chat, sender, id)| key(&chat, &sender, &id))
}

fn any_from_gateway() -> impl Strategy<Value = FromGateway> {
    let reason = || proptest::option::of(any_text());
    let report = prop_oneof![
        (reason(), reason()).prop_map(|(qr, reason)| Report::Pairing { qr, reason }),
        reason().prop_map(|reason| Report::Connected { reason }),
        reason().prop_map(|reason| Report::Offline { reason }),
    ];
    let event = (
        any_text(),
        "[a-z]{1,9}\\.[a-z]{1,9}",
        proptest::option::of(any_time()),
        proptest::option::of(any_key()),
        any_json(),
    )
        .prop_map(|(id, kind, at, key, data)| DeviceEvent {
            id: id.into(),
            kind: EventType::new(&kind).unwrap(),
            at,
            key,
            data,
        });
    let refused = (any_text(), any_text()).prop_map(|(code, message)| RefusedBy { code, message });
    let outcome = prop_oneof![any_json().prop_map(Ok), refused.prop_map(Err)];
    let result = (any_text(), outcome).prop_map(|(id, outcome)| CommandResult {
        id: id.into(),
        outcome,
    });
    prop_oneof![
        any_text().prop_map(|gateway| FromGateway::Hello {
            gateway: gateway.into()
        }),
        report.prop_map(FromGateway::State),
        event.prop_map(FromGateway::Event),
        result.prop_map(FromGateway::Result),
        Just(FromGateway::Ping),
    ]
}

fn any_to_gateway() -> impl Strategy<Value = ToGateway> {
    let welcome = (any::<u128>(), any::<u64>(), any::<u32>()).prop_map(|(id, fence, seconds)| {
        ToGateway::Welcome {
            device: DeviceId::from_uuid(Uuid::from_u128(id)),
            fence: Fence::new(fence),
            heartbeat_seconds: seconds,
        }
    });
    let args = object_of(any_json().prop_map(|json| String::from_utf8(json.to_vec()).unwrap()));
    let command = (
        any_text(),
        proptest::sample::select(CommandName::ALL.to_vec()),
        args,
        any_time(),
    )
        .prop_map(|(id, name, args, deadline)| Command {
            id: id.into(),
            name,
            args: Bytes::from(args),
            deadline,
        });
    prop_oneof![
        welcome,
        command.prop_map(ToGateway::Command),
        (any_text(), any::<u64>()).prop_map(|(id, position)| ToGateway::Ack {
            id: id.into(),
            position: Position::new(position),
        }),
        (proptest::option::of(any_text()), any_text(), any_text()).prop_map(
            |(id, code, message)| ToGateway::Nack {
                id: id.map(Into::into),
                code: code.into(),
                message,
            }
        ),
        proptest::sample::select(ByeReason::ALL.to_vec()).prop_map(ToGateway::Bye),
        Just(ToGateway::Pong),
    ]
}

proptest! {
    #[test]
    fn what_a_gateway_writes_the_engine_reads(frame in any_from_gateway()) {
        let text = Bytes::from(frame.write());
        prop_assert_eq!(FromGateway::parse(&text), Ok(frame));
    }

    #[test]
    fn what_the_engine_writes_a_gateway_reads(frame in any_to_gateway()) {
        let text = Bytes::from(frame.write());
        prop_assert_eq!(ToGateway::parse(&text), Ok(frame));
    }

    #[test]
    fn data_is_kept_byte_for_byte(data in any_json(), blank in "[ \t\n]{0,3}") {
        let data = String::from_utf8(data.to_vec()).unwrap();
        let read = from_gateway(&format!(
            r#"{{"data":{blank}{data}{blank},"kind":"event","type":"a","id":"1"}}"#
        ));
        let Ok(FromGateway::Event(event)) = read else {
            panic!("expected an event, got {read:?}");
        };
        prop_assert_eq!(&event.data[..], data.as_bytes());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        frame in any_from_gateway(),
        cut in any::<proptest::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let mut written = frame.write().into_bytes();
        let place = cut.index(written.len());
        if let Some(byte) = written.get_mut(place) {
            *byte = flip;
        }
        for text in [Bytes::from(bytes), Bytes::from(written)] {
            let answers = [
                FromGateway::parse(&text).is_ok(),
                ToGateway::parse(&text).is_ok(),
            ];
            prop_assert!(answers.len() == 2);
        }
    }
}
