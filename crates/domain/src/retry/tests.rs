//! Schedules as the API writes them, verdicts by status, and the bounds of jitter.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<RetrySchedule, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn the_presets_are_those_of_the_api() {
    let seconds = |schedule: RetrySchedule| -> Vec<u64> {
        (1..=schedule.attempts_max())
            .map(|attempt| schedule.delay_before(attempt).unwrap().as_secs())
            .collect()
    };
    assert_eq!(
        seconds(RetrySchedule::Standard),
        [0, 60, 300, 1_800, 21_600]
    );
    assert_eq!(seconds(RetrySchedule::Fast), [0, 1, 5, 15]);
}

#[test]
fn there_is_no_attempt_before_the_first_or_after_the_last() {
    assert_eq!(RetrySchedule::Fast.delay_before(0), None);
    assert_eq!(RetrySchedule::Fast.delay_before(5), None);
}

#[test]
fn a_schedule_is_written_in_seconds() {
    let schedule = read(r#"{"schedule":[0,"90s","5m","6h","1d"]}"#).unwrap();
    let text = serde_json::to_string(&schedule).unwrap();
    assert_eq!(text, r#"{"schedule":[0,90,300,21600,86400]}"#);
    assert_eq!(read(&text).unwrap(), schedule);
    assert_eq!(read("\"fast\"").unwrap(), RetrySchedule::Fast);
    assert_eq!(
        serde_json::to_string(&RetrySchedule::Standard).unwrap(),
        "\"standard\""
    );
}

#[test]
fn other_schedules_are_refused() {
    let too_many = format!(r#"{{"schedule":{:?}}}"#, [0; 21]);
    for bad in [
        "\"slow\"",
        "null",
        "[0,1]",
        "{}",
        r#"{"schedule":[]}"#,
        r#"{"schedule":[-1]}"#,
        r#"{"schedule":[1.5]}"#,
        r#"{"schedule":["5x"]}"#,
        r#"{"schedule":["m"]}"#,
        r#"{"schedule":["+5m"]}"#,
        r#"{"schedule":["5ä"]}"#,
        r#"{"schedule":[604801]}"#,
        r#"{"schedule":["99999999999999999d"]}"#,
        r#"{"schedule":[1],"schedule":[2]}"#,
        r#"{"schedule":[1],"jitter":1}"#,
        &too_many,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn answers_are_judged_by_their_status() {
    for (status, verdict) in [
        (Some(200), Verdict::Delivered),
        (Some(299), Verdict::Delivered),
        (Some(301), Verdict::Retry),
        (Some(304), Verdict::Retry),
        (Some(400), Verdict::DeadLetter),
        (Some(401), Verdict::DeadLetter),
        (Some(404), Verdict::DeadLetter),
        (Some(408), Verdict::Retry),
        (Some(410), Verdict::Disable),
        (Some(425), Verdict::Retry),
        (Some(429), Verdict::Retry),
        (Some(500), Verdict::Retry),
        (Some(503), Verdict::Retry),
        (Some(101), Verdict::Retry),
        (Some(999), Verdict::Retry),
        (None, Verdict::Retry),
    ] {
        assert_eq!(judge(status, None), verdict, "{status:?}");
    }
}

#[test]
fn retry_after_counts_for_429_and_503_only_and_has_a_limit() {
    let after = Some(Duration::from_mins(2));
    for status in [429, 503] {
        let verdict = judge(Some(status), after);
        assert_eq!(verdict, Verdict::RetryAfter(Duration::from_mins(2)));
    }
    assert_eq!(judge(Some(500), after), Verdict::Retry);
    assert_eq!(judge(Some(200), after), Verdict::Delivered);
    let verdict = judge(Some(503), Some(Duration::from_hours(1_000)));
    assert_eq!(verdict, Verdict::RetryAfter(RETRY_AFTER_MAX));
}

#[test]
fn the_last_failure_makes_a_dead_letter() {
    let schedule = RetrySchedule::Fast;
    let middle = u64::MAX / 2;
    assert_eq!(
        schedule.after(1, Verdict::Retry, middle),
        Next::RetryIn(Duration::from_secs(1))
    );
    assert_eq!(schedule.after(4, Verdict::Retry, middle), Next::Dead);
    let wish = Verdict::RetryAfter(Duration::from_secs(7));
    assert_eq!(
        schedule.after(3, wish, 0),
        Next::RetryIn(Duration::from_secs(7))
    );
    assert_eq!(schedule.after(4, wish, 0), Next::Dead);
    assert_eq!(schedule.after(1, Verdict::DeadLetter, 0), Next::Dead);
    assert_eq!(schedule.after(1, Verdict::Disable, 0), Next::Disable);
    assert_eq!(schedule.after(9, Verdict::Delivered, 0), Next::Delivered);
}

proptest! {
    #[test]
    fn jitter_stays_within_a_fifth(micros in 0_u64..=604_800_000_000, random: u64) {
        let delay = Duration::from_micros(micros);
        let result = jittered(delay, random);
        prop_assert!(result >= delay - delay / 5);
        prop_assert!(result <= delay + delay / 5);
    }
}
