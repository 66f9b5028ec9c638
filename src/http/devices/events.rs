//! `GET /v1/devices/{id}/events`: what came from one device, from some moment on.

use domain::{filter::EventFilter, permission::Permission, time::Timestamp};
use store::log::Order;

use super::find;
use crate::http::{
    call::{Answer, Call},
    event_query,
    events::{self, Stretch},
    problem::{Code, Problem},
};

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Digits of a fraction that count.
const FRACTION_DIGITS: usize = 6;

/// `GET /v1/devices/{id}/events`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::EventsRead)?;
    let device = find(&call).await?;
    let known = ["since", "type", "limit", "cursor"];
    let mut given = event_query::parameters(call.request(), &known)?;
    let kinds = given.remove("type");
    let since = given
        .remove("since")
        .map(|text| moment(&text))
        .transpose()?;
    let filter = EventFilter {
        workspace: call.caller().workspace(),
        kinds: event_query::kinds(kinds.as_deref())?,
        device: Some(device.id),
        from: since,
        ..EventFilter::default()
    };
    let stretch = Stretch {
        after: None,
        order: Order::Ascending,
    };
    events::answer(&call, filter, stretch).await
}

/// A moment as Unix seconds, also with a fraction, or as RFC 3339.
fn moment(text: &str) -> Result<Timestamp, Problem> {
    let moment = unix_seconds(text).or_else(|| Timestamp::parse(text).ok());
    moment.ok_or_else(|| {
        let detail = "since: expected Unix seconds such as 1767225600, or an RFC 3339 time such as 2026-01-01T00:00:00Z";
        Problem::new(Code::BadRequest, detail)
    })
}

/// Digits below a microsecond are dropped, and what is beyond the year 9999 is its end.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (is_before_1970, digits) = match whole.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(digits) || !are_digits(fraction) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let fraction: i64 = format!("{kept:0<FRACTION_DIGITS$}").parse().ok()?;
    // Only a number that is too large for 64 bits cannot be read.
    let seconds: i64 = digits.parse().unwrap_or(i64::MAX);
    let micros = seconds
        .saturating_mul(MICROS_PER_SECOND)
        .saturating_add(fraction);
    let sign = if is_before_1970 { -1 } else { 1 };
    Some(Timestamp::from_micros(micros.saturating_mul(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_seconds_or_a_time() {
        let first = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        for same in [
            "1767225600",
            "1767225600.0",
            "2026-01-01T00:00:00Z",
            "2026-01-01T01:00:00+01:00",
        ] {
            assert_eq!(moment(same).unwrap(), first, "{same}");
        }
        let later = moment("1767225600.1234567").unwrap();
        assert_eq!(later.micros() - first.micros(), 123_456);
        assert_eq!(moment("-1.5").unwrap(), Timestamp::from_micros(-1_500_000));
        assert_eq!(moment("0").unwrap(), Timestamp::from_micros(0));
        assert_eq!(
            moment(&"9".repeat(40)).unwrap(),
            Timestamp::from_micros(i64::MAX)
        );
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e9",
            "0x10",
            "yesterday",
            "+5",
            "1 ",
            "NaN",
            "2026-01-01",
        ] {
            assert_eq!(moment(bad).unwrap_err().code(), Code::BadRequest, "{bad}");
        }
    }
}
