//! What must be true at the end, whatever happened before.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::ingest::{Attempt, Fate};
use crate::harness::client::{number, text};

/// Checks a tenant's log against what its clients know of their events.
pub(super) fn assert_log_is_whole(kept: &[Value], attempts: &[Attempt]) {
    for (index, event) in kept.iter().enumerate() {
        assert_eq!(number(event, "position"), index as u64 + 1, "no hole");
    }
    let mut times: HashMap<u64, usize> = HashMap::new();
    for event in kept {
        // Events of the test itself have no number.
        if let Some(number) = event["payload"]["n"].as_u64() {
            *times.entry(number).or_default() += 1;
        }
    }
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "written twice: {repeated:?}");
    let by_id: HashMap<&str, &Value> = kept
        .iter()
        .map(|event| (text(event, "id"), event))
        .collect();
    for attempt in attempts {
        if let Fate::Acknowledged { id, position } = &attempt.fate {
            let event = by_id.get(id.as_str());
            let event = event.unwrap_or_else(|| panic!("lost: {attempt}"));
            assert_eq!(event["payload"]["n"], attempt.number, "{attempt}");
            if let Some(position) = position {
                assert_eq!(number(event, "position"), *position, "{attempt}");
            }
        }
    }
}

/// Checks that refusals are such that a client knows what to do.
pub(super) fn assert_refusals_are_fair(attempts: &[Attempt]) {
    for attempt in attempts {
        if let Fate::Refused {
            status,
            has_retry_after,
            ..
        } = &attempt.fate
        {
            assert!(*status == 503 && *has_retry_after, "{attempt}");
        }
    }
}

/// Checks that no request stayed without an answer.
pub(super) fn assert_all_answered(attempts: &[Attempt]) {
    let unanswered: Vec<_> = attempts
        .iter()
        .filter(|attempt| matches!(attempt.fate, Fate::Unknown { .. }))
        .map(ToString::to_string)
        .collect();
    assert!(unanswered.is_empty(), "without an answer: {unanswered:#?}");
}

/// The longest time that a tenant had to wait for an acknowledgement after a moment.
pub(super) fn longest_silence(attempts: &[Attempt], since: Instant) -> Duration {
    let mut last: HashMap<usize, Instant> = HashMap::new();
    let mut longest = Duration::ZERO;
    for attempt in attempts {
        if attempt.at > since && matches!(attempt.fate, Fate::Acknowledged { .. }) {
            let before = last.insert(attempt.tenant, attempt.at).unwrap_or(since);
            longest = longest.max(attempt.at.saturating_duration_since(before));
        }
    }
    longest
}

/// The refusals, in words.
pub(super) fn refusals(attempts: &[Attempt]) -> Vec<String> {
    attempts
        .iter()
        .filter(|attempt| matches!(attempt.fate, Fate::Refused { .. }))
        .map(ToString::to_string)
        .collect()
}

/// How attempts ended, counted.
pub(super) fn summary(attempts: &[Attempt]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for attempt in attempts {
        let kind = match &attempt.fate {
            Fate::Acknowledged { .. } => "acknowledged".to_owned(),
            Fate::Refused { status, code, .. } => format!("{status} {code}"),
            Fate::NotSent => "not sent".to_owned(),
            Fate::Unknown { .. } => "unknown".to_owned(),
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

/// The ids of a log, in order.
pub(super) fn ids(kept: &[Value]) -> Vec<String> {
    kept.iter()
        .map(|event| text(event, "id").to_owned())
        .collect()
}

/// The ids that one list has and the other has not.
pub(super) fn missing<'a>(expected: &'a [String], found: &HashSet<String>) -> Vec<&'a String> {
    expected.iter().filter(|id| !found.contains(*id)).collect()
}
