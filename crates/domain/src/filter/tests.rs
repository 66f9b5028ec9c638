//! Filters against single events, and the index against a naive search.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    event::{Fields, Hash, Seed},
    ids::EventId,
    position::{Position, Seq},
};

fn kind(text: &str) -> EventType {
    EventType::new(text).unwrap()
}

fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(number))
}

fn event() -> Event {
    Event {
        position: Position::new(1),
        seq: Seq::new(1),
        id: EventId::from_uuid(Uuid::from_u128(1)),
        workspace: workspace(1),
        received_at: Timestamp::from_micros(1_000),
        kind: kind("message.received"),
        fields: Fields {
            category: Some("chat".into()),
            actor: Some(Party {
                json: bytes::Bytes::from_static(b"{\"id\":\"u1\"}"),
                id: Some("u1".into()),
            }),
            ..Fields::default()
        },
        payload: bytes::Bytes::from_static(b"{}"),
        seed: Seed([0; 32]),
        prev_hash: Hash::default(),
        hash: Hash::default(),
    }
}

#[test]
fn a_prefix_matches_deeper_types_only() {
    let pattern: TypePattern = "message.*".parse().unwrap();
    assert!(pattern.matches(&kind("message.received")));
    assert!(pattern.matches(&kind("message.a.b")));
    assert!(!pattern.matches(&kind("message")));
    assert!(!pattern.matches(&kind("messages.received")));
}

#[test]
fn a_star_in_another_place_is_no_pattern() {
    for bad in ["", "**", "a*", "*.a", "a.*.b", ".*", "a..*", "a.*.*"] {
        assert!(bad.parse::<TypePattern>().is_err(), "{bad}");
    }
}

#[test]
fn a_filter_shows_what_was_written() {
    let filter = TypeFilter::parse_list("b.*, a ,b.*").unwrap();
    assert_eq!(filter.to_string(), "b.*,a");
    assert_eq!(serde_json::to_string(&filter).unwrap(), r#"["b.*","a"]"#);
    assert_eq!(
        serde_json::from_str::<TypeFilter>(r#"["b.*","a"]"#).unwrap(),
        filter
    );
}

#[test]
fn an_empty_list_is_refused() {
    assert_eq!(TypeFilter::parse_list(" "), Err(TypeFilterError::Empty));
    assert!(serde_json::from_str::<TypeFilter>("[]").is_err());
}

#[test]
fn a_wrong_pattern_is_named_with_its_place() {
    let error = TypeFilter::parse_list("a,b c").unwrap_err();
    let wanted = TypeFilterError::NotAPattern {
        index: 1,
        pattern: "b c".to_owned(),
    };
    assert_eq!(error, wanted);
}

#[test]
fn the_default_filter_asks_for_everything() {
    assert!(EventFilter::default().is_all());
    assert!(EventFilter::default().matches(&event()));
}

#[test]
fn each_condition_can_refuse_an_event() {
    let text = |text: &str| Some(Box::from(text));
    let all = EventFilter::default;
    let refusing = [
        EventFilter {
            workspace: Some(workspace(2)),
            ..all()
        },
        EventFilter {
            kinds: Some(TypeFilter::parse_list("a.*").unwrap()),
            ..all()
        },
        EventFilter {
            category: text("auth"),
            ..all()
        },
        EventFilter {
            project: text("p"),
            ..all()
        },
        EventFilter {
            actor: text("u2"),
            ..all()
        },
        EventFilter {
            device: Some(DeviceId::from_uuid(Uuid::nil())),
            ..all()
        },
        EventFilter {
            dedup_id: text("d"),
            ..all()
        },
        EventFilter {
            from: Some(Timestamp::from_micros(1_001)),
            ..all()
        },
        EventFilter {
            to: Some(Timestamp::from_micros(1_000)),
            ..all()
        },
    ];
    for filter in refusing {
        assert!(!filter.matches(&event()), "{filter:?}");
        assert!(!filter.is_all(), "{filter:?}");
    }
}

#[test]
fn conditions_that_hold_let_an_event_through() {
    let filter = EventFilter {
        workspace: Some(workspace(1)),
        kinds: Some(TypeFilter::parse_list("message.*").unwrap()),
        category: Some("chat".into()),
        actor: Some("u1".into()),
        from: Some(Timestamp::from_micros(1_000)),
        to: Some(Timestamp::from_micros(1_001)),
        ..EventFilter::default()
    };
    assert!(filter.matches(&event()));
}

fn any_kind() -> impl Strategy<Value = EventType> {
    "[ab](\\.[ab]){0,3}".prop_map(|text| kind(&text))
}

fn any_filter() -> impl Strategy<Value = TypeFilter> {
    let pattern = prop_oneof![
        1 => Just(TypePattern::All),
        4 => any_kind().prop_map(TypePattern::Prefix),
        4 => any_kind().prop_map(TypePattern::Exact),
    ];
    proptest::collection::vec(pattern, 1..5).prop_map(|patterns| TypeFilter::new(patterns).unwrap())
}

proptest! {
    #[test]
    fn the_index_finds_whom_a_naive_search_finds(
        steps in proptest::collection::vec(
            (0_u32..20, proptest::option::of(0_u128..3), any_filter(), any::<bool>()), 0..60),
        kinds in proptest::collection::vec((0_u128..3, any_kind()), 1..20),
    ) {
        let mut index = KindIndex::new();
        let mut naive = std::collections::BTreeMap::new();
        for (key, place, filter, is_insert) in steps {
            let place = place.map(workspace);
            if is_insert {
                index.insert(key, place, &filter);
                naive.insert(key, (place, filter));
            } else {
                prop_assert_eq!(index.remove(key), naive.remove(&key).is_some());
            }
        }
        prop_assert_eq!(index.len(), naive.len());
        let mut found = vec![99];
        for (place, kind) in kinds {
            index.matching(workspace(place), &kind, &mut found);
            let wanted: Vec<u32> = naive
                .iter()
                .filter(|(_, (of, filter))| {
                    of.is_none_or(|of| of == workspace(place)) && filter.matches(&kind)
                })
                .map(|(key, _)| *key)
                .collect();
            prop_assert_eq!(&found, &wanted);
        }
    }

    #[test]
    fn a_filter_reads_back_from_its_text(filter in any_filter()) {
        prop_assert_eq!(TypeFilter::parse_list(&filter.to_string()), Ok(filter));
    }
}
