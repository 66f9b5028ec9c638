//! Reads a `Retry-After` header: how long the target asks to be left alone.
//!
//! Does not decide whether it is obeyed, nor for how long at most.

use std::time::Duration;

use chrono::NaiveDateTime;
use domain::time::Timestamp;

/// The three ways in which RFC 9110 lets a date be written; all are in GMT.
const DATE_FORMATS: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

/// How long to wait as of `now`, from seconds or a date; zero for a date that has passed, `None` for anything else.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit ask for longer than anyone lives: the caller caps it anyway.
        let seconds = value.parse().unwrap_or(u64::from(u32::MAX));
        return Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))));
    }
    let date = DATE_FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(value, format).ok())?;
    let then = Timestamp::from_micros(date.and_utc().timestamp_micros());
    Some(then.since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<u64> {
        let now = Timestamp::parse("1994-11-06T08:49:00Z").unwrap();
        parse(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_taken_as_they_are() {
        assert_eq!(parsed("120"), Some(120));
        assert_eq!(parsed(" 0 "), Some(0));
        assert_eq!(parsed("99999999999999999999999"), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn a_date_counts_from_now_in_all_three_spellings() {
        assert_eq!(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), Some(37));
        assert_eq!(parsed("Sun Nov  6 08:49:37 1994"), Some(37));
    }

    #[test]
    fn a_date_that_has_passed_asks_for_no_wait() {
        assert_eq!(parsed("Sun, 06 Nov 1994 08:48:00 GMT"), Some(0));
    }

    #[test]
    fn anything_else_says_nothing() {
        for value in [
            "",
            "soon",
            "-5",
            "1.5",
            "+3",
            "Sun, 99 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }
}
