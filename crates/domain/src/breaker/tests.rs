//! Each transition of the breaker, and its two laws under random orders of outcomes.

use proptest::prelude::*;

use super::*;

const POLICY: BreakerPolicy = BreakerPolicy {
    failures_max: 2,
    open_for: Duration::from_secs(10),
    openings_max: 3,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn opened() -> Breaker {
    let mut breaker = Breaker::NEW;
    breaker.record(Outcome::Failed, &POLICY, at(0));
    breaker.record(Outcome::Failed, &POLICY, at(0));
    breaker
}

#[test]
fn consecutive_failures_open_it() {
    let mut breaker = Breaker::NEW;
    assert_eq!(breaker.record(Outcome::Failed, &POLICY, at(0)), None);
    let change = breaker.record(Outcome::Failed, &POLICY, at(0));
    assert_eq!(change, Some(Change::Opened { until: at(10) }));
    assert_eq!(breaker.admit(at(9)), Admission::RefuseUntil(at(10)));
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let mut breaker = Breaker::NEW;
    for outcome in [Outcome::Failed, Outcome::Succeeded, Outcome::Failed] {
        assert_eq!(breaker.record(outcome, &POLICY, at(0)), None);
    }
    assert_eq!(breaker, Breaker::Closed { failures: 1 });
}

#[test]
fn one_good_probe_closes_it() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(at(10)), Admission::Probe);
    assert_eq!(breaker.admit(at(10)), Admission::RefuseForProbe);
    let change = breaker.record(Outcome::ProbeSucceeded, &POLICY, at(11));
    assert_eq!(change, Some(Change::Closed));
    assert_eq!(breaker.admit(at(11)), Admission::Admit);
}

#[test]
fn the_third_opening_suspends() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(at(10)), Admission::Probe);
    let change = breaker.record(Outcome::ProbeFailed, &POLICY, at(10));
    assert_eq!(change, Some(Change::Opened { until: at(20) }));
    assert_eq!(breaker.admit(at(20)), Admission::Probe);
    let change = breaker.record(Outcome::ProbeFailed, &POLICY, at(20));
    assert_eq!(change, Some(Change::Suspended));
    assert_eq!(breaker.admit(at(999)), Admission::RefuseSuspended);
    breaker.reset();
    assert_eq!(breaker.admit(at(999)), Admission::Admit);
}

#[test]
fn stragglers_do_not_end_a_probe() {
    let mut breaker = opened();
    assert_eq!(breaker.record(Outcome::Failed, &POLICY, at(1)), None);
    assert_eq!(breaker.admit(at(10)), Admission::Probe);
    for straggler in [Outcome::Failed, Outcome::Succeeded] {
        assert_eq!(breaker.record(straggler, &POLICY, at(11)), None);
        assert_eq!(breaker.admit(at(99)), Admission::RefuseForProbe);
    }
}

#[test]
fn a_straggling_success_closes_an_open_breaker() {
    let mut breaker = opened();
    let change = breaker.record(Outcome::Succeeded, &POLICY, at(1));
    assert_eq!(change, Some(Change::Closed));
}

#[test]
fn a_probe_that_was_never_sent_can_be_given_back() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(at(10)), Admission::Probe);
    breaker.release_probe(at(11));
    assert_eq!(breaker.admit(at(11)), Admission::Probe);
}

#[test]
fn a_stored_probe_is_read_as_open_since_long() {
    let text = serde_json::to_string(&Breaker::Probing { openings: 2 }).unwrap();
    assert_eq!(text, r#"{"state":"probing","openings":2}"#);
    let mut breaker: Breaker = serde_json::from_str(&text).unwrap();
    assert_eq!(breaker.admit(at(0)), Admission::Probe);
    assert_eq!(breaker, Breaker::Probing { openings: 2 });
}

#[test]
fn other_states_read_back_from_what_is_stored() {
    for breaker in [
        Breaker::Closed { failures: 3 },
        opened(),
        Breaker::Suspended,
    ] {
        let text = serde_json::to_string(&breaker).unwrap();
        assert_eq!(
            serde_json::from_str::<Breaker>(&text).unwrap(),
            breaker,
            "{text}"
        );
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    End { which: usize, succeeded: bool },
    GiveBack,
    Wait(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        6 => (any::<usize>(), proptest::bool::weighted(0.2))
            .prop_map(|(which, succeeded)| Step::End { which, succeeded }),
        1 => Just(Step::GiveBack),
        2 => any::<u8>().prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn never_two_probes_and_suspended_only_by_the_last_opening(
        steps in proptest::collection::vec(any_step(), 0..400),
    ) {
        let mut breaker = Breaker::NEW;
        let mut now = at(0);
        // What is on its way: `true` marks the probe.
        let mut sent: Vec<bool> = Vec::new();
        let mut openings = 0;
        for step in steps {
            match step {
                Step::Wait(seconds) => now = now.plus(Duration::from_secs(seconds.into())),
                Step::GiveBack => {
                    sent.retain(|is_probe| !is_probe);
                    breaker.release_probe(now);
                }
                Step::Send => match breaker.admit(now) {
                    Admission::Admit => sent.push(false),
                    Admission::Probe => sent.push(true),
                    Admission::RefuseUntil(until) => prop_assert!(now < until),
                    Admission::RefuseForProbe => prop_assert!(sent.contains(&true)),
                    Admission::RefuseSuspended => prop_assert_eq!(openings, POLICY.openings_max),
                },
                Step::End { .. } if sent.is_empty() => {}
                Step::End { which, succeeded } => {
                    let is_probe = sent.swap_remove(which % sent.len());
                    let outcome = match (is_probe, succeeded) {
                        (false, true) => Outcome::Succeeded,
                        (false, false) => Outcome::Failed,
                        (true, true) => Outcome::ProbeSucceeded,
                        (true, false) => Outcome::ProbeFailed,
                    };
                    match breaker.record(outcome, &POLICY, now) {
                        Some(Change::Opened { .. }) => {
                            openings += 1;
                            prop_assert!(openings < POLICY.openings_max);
                        }
                        Some(Change::Suspended) => {
                            openings += 1;
                            prop_assert_eq!(openings, POLICY.openings_max);
                        }
                        Some(Change::Closed) => openings = 0,
                        None => {}
                    }
                }
            }
            prop_assert!(sent.iter().filter(|is_probe| **is_probe).count() <= 1);
        }
    }
}
