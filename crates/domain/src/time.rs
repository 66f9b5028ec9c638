//! A moment, in UTC microseconds inside and RFC 3339 outside.
//!
//! Does not know what time it is: that is [`crate::clock::Clock`].

use std::{fmt, time::Duration};

use chrono::{DateTime, Datelike, Timelike, Utc};

/// UTC microseconds since 1970-01-01.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last moment that RFC 3339 can write: 9999-12-31T23:59:59.999999Z.
const MICROS_MAX: i64 = 253_402_300_799_999_999;
/// The first moment that RFC 3339 can write: 0000-01-01T00:00:00Z.
const MICROS_MIN: i64 = -62_167_219_200_000_000;

/// A text that is no RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// Wraps microseconds since 1970, kept within the years 0000 to 9999.
    pub const fn from_micros(micros: i64) -> Timestamp {
        if micros > MICROS_MAX {
            Timestamp(MICROS_MAX)
        } else if micros < MICROS_MIN {
            Timestamp(MICROS_MIN)
        } else {
            Timestamp(micros)
        }
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, as UUIDv7 counts; 0 before 1970.
    pub fn unix_millis(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// Seconds since 1970.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment moved into the future.
    #[must_use]
    pub fn plus(self, by: Duration) -> Timestamp {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.0.saturating_add(micros))
    }

    /// This moment moved into the past.
    #[must_use]
    pub fn minus(self, by: Duration) -> Timestamp {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this moment is; zero if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 time; digits below a microsecond are dropped.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Timestamp::from_micros(time.timestamp_micros()))
            .map_err(|_not_a_time| TimestampError)
    }

    /// The same moment for code that speaks chrono.
    pub fn to_chrono(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).expect("kept within the years 0000 to 9999")
    }

    /// RFC 3339 with six digits of fraction and `Z`: 27 ASCII bytes, always sortable as text.
    pub fn to_rfc3339(self) -> [u8; 27] {
        let time = self.to_chrono();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let year = u32::try_from(time.year()).unwrap_or(0);
        put(&mut text[0..4], year);
        put(&mut text[5..7], time.month());
        put(&mut text[8..10], time.day());
        put(&mut text[11..13], time.hour());
        put(&mut text[14..16], time.minute());
        put(&mut text[17..19], time.second());
        put(&mut text[20..26], time.timestamp_subsec_micros());
        text
    }
}

/// Writes `number` right-aligned into zeros.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_rfc3339()).expect("ASCII"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(std::str::from_utf8(&self.to_rfc3339()).expect("ASCII"))
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_from_what_it_shows() {
        let text = "2026-01-31T12:34:56.000789Z";
        let time = Timestamp::parse(text).unwrap();
        assert_eq!(time.to_string(), text);
    }

    #[test]
    fn an_offset_becomes_utc_and_nanoseconds_are_dropped() {
        let time = Timestamp::parse("2026-01-01T02:00:00.123456789+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-01-01T00:00:00.123456Z");
    }
}
