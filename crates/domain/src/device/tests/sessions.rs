//! What holds for sessions: their states, their facts, and how often they may be opened.

use std::time::Duration;

use super::*;
use crate::fence::Fence;

#[test]
fn a_session_goes_from_offline_over_pairing_to_connected() {
    let opened = Standing::stored(DeviceState::Offline).open();
    assert_eq!(opened.standing.state(), DeviceState::Connecting);
    assert_eq!(opened.fact, None);
    let pairing = opened
        .standing
        .report(&Report::Pairing {
            qr: Some("2@abc".to_owned()),
            reason: None,
        })
        .unwrap();
    assert_eq!(pairing.standing.state(), DeviceState::Pairing);
    assert_eq!(pairing.fact, None);
    let connected = pairing
        .standing
        .report(&Report::Connected { reason: None })
        .unwrap();
    assert_eq!(connected.standing.state(), DeviceState::Connected);
    assert_eq!(connected.fact, Some(Fact::Connected { reason: None }));
    let ended = connected.standing.end(EndReason::ConnectionLost);
    assert_eq!(ended.standing.state(), DeviceState::Offline);
    let fact = ended.fact.unwrap();
    assert_eq!(fact.kind().as_str(), "device.disconnected");
    assert_eq!(
        fact.data(Some("baileys/1"), Fence::new(3)),
        r#"{"fence":3,"gateway":"baileys/1","reason":"connection_lost","state":"offline"}"#
    );
}

#[test]
fn a_session_without_a_trace_is_said_to_be_lost_when_the_next_opens() {
    let opened = Standing::stored(DeviceState::Connected).open();
    let Some(Fact::Disconnected { reason, .. }) = opened.fact else {
        panic!("expected a fact");
    };
    assert_eq!(reason, "lost");
    assert_eq!(opened.standing.state(), DeviceState::Connecting);
}

#[test]
fn a_session_that_the_network_gave_away_stays_replaced() {
    let standing = Standing::Open {
        state: DeviceState::Connected,
    };
    let taken = standing
        .report(&Report::Offline {
            reason: Some("replaced".to_owned()),
        })
        .unwrap();
    assert_eq!(taken.standing.state(), DeviceState::Replaced);
    let ended = taken.standing.end(EndReason::Closed);
    assert_eq!(ended.standing.state(), DeviceState::Replaced);
    assert_eq!(ended.fact, None);
}

#[test]
fn without_a_session_nothing_is_reported() {
    let standing = Standing::stored(DeviceState::Offline);
    let report = standing.report(&Report::Connected { reason: None });
    assert_eq!(report, Err(NoSession));
}

#[test]
fn the_eleventh_session_of_a_minute_has_to_wait() {
    let mut flapping = Flapping::default();
    let start = Timestamp::from_micros(1_000_000);
    let second = |n: u64| start.plus(Duration::from_secs(n));
    for n in 0..10 {
        assert_eq!(flapping.admit(second(n)), Ok(()));
    }
    let minute = RetryAfter(Duration::from_mins(1));
    assert_eq!(flapping.admit(second(10)), Err(minute));
    assert_eq!(
        flapping.admit(second(40)),
        Err(RetryAfter(Duration::from_secs(30)))
    );
    assert!(!flapping.is_calm(second(40)));
    assert_eq!(flapping.admit(second(70)), Ok(()));
    assert!(flapping.is_calm(second(200)));
}

#[test]
fn a_session_every_six_seconds_is_no_flapping() {
    let mut flapping = Flapping::default();
    for n in 0..1_000_u64 {
        let now = Timestamp::default().plus(Duration::from_secs(6 * n));
        assert_eq!(flapping.admit(now), Ok(()));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Report(Report),
    End(EndReason),
}

fn any_step() -> impl Strategy<Value = Step> {
    let reason = || proptest::option::of(prop_oneof![Just("replaced"), Just("x")]);
    let owned = |reason: Option<&str>| reason.map(str::to_owned);
    prop_oneof![
        Just(Step::Open),
        reason().prop_map(move |reason| Step::Report(Report::Pairing {
            qr: None,
            reason: owned(reason),
        })),
        reason().prop_map(move |reason| Step::Report(Report::Connected {
            reason: owned(reason)
        })),
        reason().prop_map(move |reason| Step::Report(Report::Offline {
            reason: owned(reason)
        })),
        proptest::sample::select(EndReason::ALL.to_vec()).prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn facts_follow_each_other_and_say_what_the_state_says(
        steps in proptest::collection::vec(any_step(), 0..40),
    ) {
        let mut standing = Standing::stored(DeviceState::Offline);
        let mut is_connected = false;
        for step in steps {
            let changed = match &step {
                Step::Open => standing.open(),
                Step::End(why) => standing.end(*why),
                Step::Report(report) => match standing.report(report) {
                    Ok(changed) => changed,
                    Err(NoSession) => {
                        prop_assert!(!standing.is_open());
                        continue;
                    }
                },
            };
            match &changed.fact {
                Some(Fact::Connected { .. }) => {
                    prop_assert!(!is_connected);
                    is_connected = true;
                }
                Some(Fact::Disconnected { .. }) => {
                    prop_assert!(is_connected);
                    is_connected = false;
                }
                None => {}
            }
            standing = changed.standing;
            prop_assert_eq!(standing.state() == DeviceState::Connected, is_connected);
            prop_assert!(standing.is_open() || !is_connected);
            if let Step::End(why) = step {
                prop_assert_eq!(standing.end(why).standing, standing);
                prop_assert_eq!(standing.end(why).fact, None);
            }
        }
    }

    #[test]
    fn a_breaker_never_admits_more_than_ten_sessions_a_minute(
        gaps in proptest::collection::vec(0_u64..20_000, 1..200),
    ) {
        let mut flapping = Flapping::default();
        let mut admitted: Vec<Timestamp> = Vec::new();
        let mut now = Timestamp::default();
        for gap in gaps {
            now = now.plus(Duration::from_millis(gap));
            match flapping.admit(now) {
                Ok(()) => admitted.push(now),
                Err(RetryAfter(wait)) => {
                    prop_assert!(wait > Duration::ZERO && wait <= Duration::from_mins(1));
                    let mut later = flapping.clone();
                    prop_assert_eq!(later.admit(now.plus(wait)), Ok(()));
                }
            }
        }
        for window in admitted.windows(11) {
            prop_assert!(window[10].since(window[0]) >= Duration::from_mins(1));
        }
    }
}
