//! The window step by step, and against a log that remembers everything.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(number))
}

fn event(number: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(number))
}

fn hour(hours: i64) -> Timestamp {
    Timestamp::from_micros(hours * 3_600_000_000)
}

fn loaded(id: &str, number: u128, hours: i64) -> Loaded {
    Loaded {
        workspace: workspace(1),
        dedup_id: id.into(),
        event: event(number),
        received_at: hour(hours),
    }
}

const W: fn() -> WorkspaceId = || workspace(1);

#[test]
fn an_id_is_absent_then_in_flight_then_known() {
    let mut window = DedupWindow::new(10);
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::Absent);
    window.begin(W(), "a");
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::InFlight);
    window.commit(W(), "a", event(1), hour(0));
    assert_eq!(window.lookup(W(), "a", hour(1)), Lookup::Known(event(1)));
}

#[test]
fn ids_of_other_workspaces_are_other_ids() {
    let mut window = DedupWindow::new(10);
    window.commit(W(), "a", event(1), hour(0));
    assert_eq!(window.lookup(workspace(2), "a", hour(0)), Lookup::Absent);
}

#[test]
fn an_aborted_id_is_free_again_even_in_an_incomplete_window() {
    let mut window = DedupWindow::load(10, [], false, hour(0));
    window.learn(W(), "a", None);
    window.begin(W(), "a");
    window.abort(W(), "a");
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::Absent);
}

#[test]
fn an_id_is_free_again_after_a_day() {
    let mut window = DedupWindow::new(10);
    window.commit(W(), "a", event(1), hour(0));
    let almost = Timestamp::from_micros(hour(24).micros() - 1);
    assert_eq!(window.lookup(W(), "a", almost), Lookup::Known(event(1)));
    assert_eq!(window.lookup(W(), "a", hour(24)), Lookup::Absent);
    window.expire(almost);
    assert_eq!(window.len(), 1);
    window.expire(hour(24));
    assert!(window.is_empty());
}

#[test]
fn a_loaded_window_that_is_not_complete_asks_the_store() {
    let entries = [loaded("b", 2, 10), loaded("a", 1, 5)];
    let mut window = DedupWindow::load(10, entries, false, hour(11));
    assert_eq!(window.lookup(W(), "a", hour(11)), Lookup::Known(event(1)));
    assert_eq!(window.lookup(W(), "c", hour(11)), Lookup::Unknown);
    window.learn(W(), "c", Some((event(3), hour(4))));
    assert_eq!(window.lookup(W(), "c", hour(11)), Lookup::Known(event(3)));
    window.learn(W(), "d", None);
    assert_eq!(window.lookup(W(), "d", hour(11)), Lookup::Absent);
    window.expire(hour(12));
    assert_eq!(window.lookup(W(), "d", hour(12)), Lookup::Absent);
}

#[test]
fn an_incomplete_window_becomes_complete_when_what_it_misses_is_a_day_old() {
    let entries = [loaded("b", 2, 10), loaded("a", 1, 5)];
    let window = DedupWindow::load(10, entries, false, hour(11));
    assert_eq!(window.lookup(W(), "c", hour(28)), Lookup::Unknown);
    assert_eq!(window.lookup(W(), "c", hour(29)), Lookup::Absent);
    let empty = DedupWindow::load(10, [], false, hour(11));
    assert_eq!(empty.lookup(W(), "c", hour(34)), Lookup::Unknown);
    assert_eq!(empty.lookup(W(), "c", hour(35)), Lookup::Absent);
}

#[test]
fn the_newest_event_with_an_id_is_the_one_that_is_loaded() {
    let entries = [loaded("a", 2, 10), loaded("a", 1, 5)];
    let window = DedupWindow::load(10, entries, true, hour(11));
    assert_eq!(window.lookup(W(), "a", hour(11)), Lookup::Known(event(2)));
    assert_eq!(window.len(), 1);
}

#[test]
fn what_had_to_be_forgotten_is_unknown_not_absent() {
    let mut window = DedupWindow::new(2);
    for (number, id) in [(1, "a"), (2, "b"), (3, "c")] {
        window.commit(W(), id, event(number), hour(0));
    }
    assert_eq!(window.len(), 2);
    assert_eq!(window.lookup(W(), "a", hour(1)), Lookup::Unknown);
    assert_eq!(window.lookup(W(), "b", hour(1)), Lookup::Known(event(2)));
    assert_eq!(window.lookup(W(), "a", hour(24)), Lookup::Absent);
}

#[test]
fn what_is_in_flight_is_never_forgotten() {
    let mut window = DedupWindow::new(1);
    window.begin(W(), "a");
    for number in 2..20 {
        window.commit(W(), &number.to_string(), event(number), hour(0));
    }
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::InFlight);
}

#[test]
fn an_answer_of_the_store_does_not_replace_what_happened_meanwhile() {
    let mut window = DedupWindow::load(10, [], false, hour(0));
    window.begin(W(), "a");
    window.learn(W(), "a", None);
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::InFlight);
    window.commit(W(), "a", event(1), hour(0));
    window.learn(W(), "a", None);
    assert_eq!(window.lookup(W(), "a", hour(0)), Lookup::Known(event(1)));
}

#[test]
fn a_learned_id_is_found_in_a_full_window() {
    let mut window = DedupWindow::new(2);
    for number in 1..=4 {
        window.commit(W(), &number.to_string(), event(number), hour(1));
    }
    window.learn(W(), "old", Some((event(9), hour(0))));
    assert_eq!(window.lookup(W(), "old", hour(1)), Lookup::Known(event(9)));
    window.learn(W(), "none", None);
    assert_eq!(window.lookup(W(), "none", hour(1)), Lookup::Absent);
}

#[derive(Clone, Debug)]
enum Step {
    /// An event with this id comes in and is written, or not.
    Ingest {
        id: u8,
        is_written: bool,
    },
    /// An event comes in and stays in flight until the next step about its id.
    Begin {
        id: u8,
    },
    Wait {
        hours: u8,
    },
    Expire,
    /// The process starts anew with the newest entries only.
    Reload {
        limit: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..12, proptest::bool::weighted(0.8))
            .prop_map(|(id, is_written)| Step::Ingest { id, is_written }),
        2 => (0_u8..12).prop_map(|id| Step::Begin { id }),
        2 => (0_u8..9).prop_map(|hours| Step::Wait { hours }),
        1 => Just(Step::Expire),
        1 => (0_usize..6).prop_map(|limit| Step::Reload { limit }),
    ]
}

/// The truth: every event with an id, in order.
#[derive(Default)]
struct Log(Vec<(u8, EventId, Timestamp)>);

impl Log {
    fn find(&self, id: u8, now: Timestamp) -> Option<(EventId, Timestamp)> {
        let newest = self.0.iter().rev().find(|(other, _, _)| *other == id);
        newest
            .map(|(_, event, at)| (*event, *at))
            .filter(|(_, at)| !is_over(*at, now))
    }

    fn load(&self, capacity: usize, limit: usize, now: Timestamp) -> DedupWindow {
        let recent: Vec<Loaded> = self
            .0
            .iter()
            .rev()
            .filter(|(_, _, at)| !is_over(*at, now))
            .map(|(id, event, at)| Loaded {
                workspace: W(),
                dedup_id: id.to_string().into(),
                event: *event,
                received_at: *at,
            })
            .collect();
        let complete = recent.len() <= limit;
        DedupWindow::load(capacity, recent.into_iter().take(limit), complete, now)
    }
}

/// Looks an id up as a tenant's actor does, and checks the answer against the log.
fn look_up(window: &mut DedupWindow, log: &Log, id: u8, now: Timestamp) -> Lookup {
    let text = id.to_string();
    let mut answer = window.lookup(W(), &text, now);
    if answer == Lookup::Unknown {
        window.learn(W(), &text, log.find(id, now));
        answer = window.lookup(W(), &text, now);
        assert_ne!(answer, Lookup::Unknown, "the store has answered");
    }
    match answer {
        Lookup::Known(event) => assert_eq!(log.find(id, now).map(|(event, _)| event), Some(event)),
        Lookup::Absent => assert_eq!(log.find(id, now), None),
        Lookup::InFlight | Lookup::Unknown => {}
    }
    answer
}

proptest! {
    #[test]
    fn the_window_never_disagrees_with_the_log(
        capacity in 1_usize..6,
        steps in proptest::collection::vec(any_step(), 0..120),
    ) {
        let mut window = DedupWindow::new(capacity);
        let mut log = Log::default();
        let mut in_flight = std::collections::BTreeSet::new();
        let mut now = hour(0);
        for (number, step) in steps.into_iter().enumerate() {
            let event = event(u128::try_from(number).unwrap());
            match step {
                Step::Wait { hours } => now = now.plus(Duration::from_hours(hours.into())),
                Step::Expire => window.expire(now),
                Step::Reload { limit } => {
                    in_flight.clear();
                    window = log.load(capacity, limit, now);
                }
                Step::Begin { id } => {
                    if look_up(&mut window, &log, id, now) == Lookup::Absent {
                        window.begin(W(), &id.to_string());
                        in_flight.insert(id);
                    }
                }
                Step::Ingest { id, is_written } => {
                    let answer = look_up(&mut window, &log, id, now);
                    prop_assert_eq!(answer == Lookup::InFlight, in_flight.contains(&id));
                    if answer == Lookup::Absent {
                        window.begin(W(), &id.to_string());
                    }
                    if matches!(answer, Lookup::Absent | Lookup::InFlight) {
                        in_flight.remove(&id);
                        if is_written {
                            log.0.push((id, event, now));
                            window.commit(W(), &id.to_string(), event, now);
                        } else {
                            window.abort(W(), &id.to_string());
                        }
                    }
                }
            }
            prop_assert!(window.len() <= capacity);
            for id in &in_flight {
                prop_assert_eq!(window.lookup(W(), &id.to_string(), now), Lookup::InFlight);
            }
        }
    }
}
