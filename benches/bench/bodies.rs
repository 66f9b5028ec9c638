//! The bodies that the bench sends: one event of about 400 bytes, alone or a hundred times.
//!
//! No body contains a colon after an unquoted letter: [`crate::rows::tail`] counts frames by that.

use domain::time::Timestamp;

/// What every event carries.
pub(crate) const PAYLOAD: &str = concat!(
    r#"{"order":"A-10049","customer":{"id":"c_8841","country":"AU","plan":"gold"},"amount":12990,"currency":"EUR","#,
    r#""items":[{"sku":"T-1001","n":2,"price":4995},{"sku":"X-77","n":1,"price":3000}],"#,
    r#""note":"Leave the parcel with the neighbour on the left, please ring twice and wait.","ok":true}"#
);

/// What stands before a stamp.
pub(crate) const STAMP_NAME: &[u8] = br#""sent":"#;
/// Digits of a stamp: microseconds since 1970 have sixteen until the year 2286.
pub(crate) const STAMP_DIGITS: usize = 16;

/// Events of one batch.
pub(crate) const BATCH: u64 = 100;

/// One event.
pub(crate) fn event(kind: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","payload":{PAYLOAD}}}"#).into_bytes()
}

/// A batch of [`BATCH`] events.
pub(crate) fn batch(kind: &str) -> Vec<u8> {
    let one = format!(r#"{{"type":"{kind}","payload":{PAYLOAD}}}"#);
    let all: Vec<&str> = (0..BATCH).map(|_| one.as_str()).collect();
    format!(r#"{{"events":[{}]}}"#, all.join(",")).into_bytes()
}

/// One event that says when it was sent.
pub(crate) fn stamped(kind: &str) -> Vec<u8> {
    let empty = "1".repeat(STAMP_DIGITS);
    format!(r#"{{"type":"{kind}","payload":{{"sent":{empty},"order":{PAYLOAD}}}}}"#).into_bytes()
}

/// Puts `now` into a request that was made from [`stamped`].
pub(crate) fn stamp(request: &mut [u8], now: Timestamp) {
    if let Some(at) = stamp_at(request) {
        let digits = format!("{:0STAMP_DIGITS$}", now.micros());
        request[at..at + STAMP_DIGITS].copy_from_slice(&digits.as_bytes()[..STAMP_DIGITS]);
    }
}

/// Reads the moment at which a body was sent, in microseconds since 1970.
pub(crate) fn read_stamp(body: &[u8]) -> Option<i64> {
    let at = stamp_at(body)?;
    std::str::from_utf8(&body[at..at + STAMP_DIGITS])
        .ok()?
        .parse()
        .ok()
}

fn stamp_at(bytes: &[u8]) -> Option<usize> {
    let name_at = bytes
        .windows(STAMP_NAME.len())
        .position(|window| window == STAMP_NAME)?;
    let at = name_at + STAMP_NAME.len();
    (at + STAMP_DIGITS <= bytes.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_is_json() {
        for body in [event("a.b"), batch("a.b"), stamped("a.b")] {
            serde_json::from_slice::<serde_json::Value>(&body).unwrap();
        }
    }

    #[test]
    fn a_stamp_reads_back() {
        let mut body = stamped("a.b");
        let now = Timestamp::parse("2026-01-31T12:34:56.000789Z").unwrap();
        stamp(&mut body, now);
        assert_eq!(read_stamp(&body), Some(now.micros()));
        assert_eq!(read_stamp(&event("a.b")), None);
    }
}
