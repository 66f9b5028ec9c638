//! The rule, on its edges and on logs of any kind.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_uuid(Uuid::from_u128(number))
}

fn day(number: u32) -> Timestamp {
    Timestamp::from_micros(0).plus(DAY * number)
}

#[test]
fn a_workspace_never_keeps_more_than_its_plan_and_never_less_than_a_day() {
    let retention = Retention::new(Some(30), [(workspace(1), 7), (workspace(2), 90)]);
    let days = [1, 2, 3].map(|number| retention.days(workspace(number)));
    assert_eq!(days, [Some(7), Some(30), Some(30)]);
    let endless = Retention::new(None, [(workspace(1), 7)]);
    let days = [1, 2].map(|number| endless.days(workspace(number)));
    assert_eq!(days, [Some(7), None]);
    assert_eq!(Retention::new(Some(0), []).days(workspace(1)), Some(1));
}

#[test]
fn an_event_goes_when_its_last_day_is_over_and_not_before() {
    let retention = Retention::new(Some(30), []);
    let a_moment = Duration::from_micros(1);
    assert!(retention.keeps(workspace(1), day(1), day(31).minus(a_moment)));
    assert!(!retention.keeps(workspace(1), day(1), day(31)));
    // A clock that was put back removes nothing.
    assert!(retention.keeps(workspace(1), day(90), day(1)));
}

#[test]
fn an_event_waits_for_those_before_it() {
    let retention = Retention::new(None, [(workspace(1), 7), (workspace(2), 30)]);
    let log = [(1, 1), (1, 2), (2, 3), (1, 4)].map(|(one, at)| (workspace(one), day(at)));
    assert_eq!(retention.outlived(log, day(20)), 2);
    assert_eq!(retention.outlived(log, day(40)), 4);
    assert_eq!(retention.outlived([(workspace(3), day(1))], day(9_999)), 0);
}

#[test]
fn nothing_is_looked_for_where_everything_is_kept_for_ever() {
    assert_eq!(keeps_all_since([], day(100)), None);
    assert_eq!(keeps_all_since([90, 30, 365], day(100)), Some(day(70)));
    assert_eq!(keeps_all_since([0], day(100)), Some(day(99)));
}

/// A log, oldest first: workspace and time of each event.
fn logs() -> impl Strategy<Value = Vec<(WorkspaceId, Timestamp)>> {
    prop::collection::vec((0_u128..4, 0_u32..400), 0..60).prop_map(|events| {
        let (workspaces, mut days): (Vec<u128>, Vec<u32>) = events.into_iter().unzip();
        days.sort_unstable();
        let events = workspaces.into_iter().zip(days);
        events.map(|(one, at)| (workspace(one), day(at))).collect()
    })
}

fn retentions() -> impl Strategy<Value = Retention> {
    let own = prop::collection::vec((0_u128..3, 1_u32..400), 0..3);
    (prop::option::of(1_u32..400), own).prop_map(|(plan, own)| {
        Retention::new(
            plan,
            own.into_iter().map(|(one, days)| (workspace(one), days)),
        )
    })
}

proptest! {
    #[test]
    fn what_goes_has_outlived_its_time_and_what_comes_next_has_not(
        log in logs(),
        retention in retentions(),
        today in 0_u32..900,
    ) {
        let now = day(today);
        let gone = retention.outlived(log.iter().copied(), now);
        for (workspace, at) in &log[..gone] {
            prop_assert!(!retention.keeps(*workspace, *at, now));
        }
        if let Some((workspace, at)) = log.get(gone) {
            prop_assert!(retention.keeps(*workspace, *at, now));
        }
    }

    #[test]
    fn pieces_come_to_the_same_as_the_whole(
        log in logs(),
        retention in retentions(),
        today in 0_u32..900,
        piece in 1_usize..9,
    ) {
        let now = day(today);
        let mut gone = 0;
        loop {
            let end = log.len().min(gone + piece);
            match retention.outlived(log[gone..end].iter().copied(), now) {
                0 => break,
                more => gone += more,
            }
        }
        prop_assert_eq!(gone, retention.outlived(log.iter().copied(), now));
    }

    #[test]
    fn nothing_younger_than_the_shortest_time_ever_goes(
        log in logs(),
        plan in prop::option::of(1_u32..400),
        own in prop::collection::vec((0_u128..3, 1_u32..400), 0..3),
        today in 0_u32..900,
    ) {
        let now = day(today);
        let days = plan.into_iter().chain(own.iter().map(|(_, days)| *days));
        let since = keeps_all_since(days, now);
        let retention =
            Retention::new(plan, own.iter().map(|(one, days)| (workspace(*one), *days)));
        let gone = retention.outlived(log.iter().copied(), now);
        for (_, at) in &log[..gone] {
            prop_assert!(since.is_some_and(|since| *at <= since));
        }
    }
}
