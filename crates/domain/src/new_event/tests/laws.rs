//! What holds for every body.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn any_json_value_is_kept_byte_for_byte(payload in any_json()) {
        let draft = one(&format!(r#"{{"type":"a","payload": {payload} }}"#)).unwrap();
        prop_assert_eq!(&draft.payload[..], payload.as_bytes());
    }

    #[test]
    fn batches_are_read_alike_in_both_passes(
        events in proptest::collection::vec(prop_oneof![
            any_json().prop_map(|payload| format!(r#"{{"type":"a","payload":{payload}}}"#)),
            Just(r#"{"type":"a","actor":{"id":"u"}}"#.to_owned()),
            Just(r#"{"type":1}"#.to_owned()),
        ], 0..8),
    ) {
        let read = batch(&format!("[{}]", events.join(",")));
        prop_assert_eq!(read.len(), events.len());
        for (read, text) in read.iter().zip(&events) {
            prop_assert_eq!(read.clone().ok(), one(text).ok());
        }
    }

    #[test]
    fn no_body_makes_the_reader_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(body);
        let limits = Limits::default();
        let answers = [
            parse_one(&body, &limits).is_ok(),
            parse_many(&body, &limits).is_ok(),
            parse_ndjson(&body, &limits).is_ok(),
        ];
        prop_assert!(answers.len() == 3);
    }

    #[test]
    fn no_broken_event_makes_the_reader_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut body = FULL.as_bytes().to_vec();
        let place = at.index(body.len());
        body[place] = byte;
        let body = Bytes::from(body);
        let answers = [
            parse_one(&body, &Limits::default()),
            parse_one(&body.slice(..place), &Limits::default()),
        ];
        prop_assert!(answers.len() == 2);
    }
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1e400".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[ {} ]", items.join(" , "))),
            proptest::collection::vec(("[a-c]", inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}
