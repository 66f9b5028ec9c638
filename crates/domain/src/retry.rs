//! Decides what comes after an attempt to deliver: nothing, another attempt and when, or the dead letters.
//!
//! Sends nothing and waits for nothing.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess},
    ser::SerializeMap as _,
};

/// The most attempts that a schedule of one's own may have.
pub const ATTEMPTS_MAX: usize = 20;
/// The longest delay of a schedule of one's own.
pub const DELAY_MAX: Duration = Duration::from_hours(7 * 24);
/// The longest `Retry-After` that is obeyed; longer ones are cut to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

const STANDARD: &[Duration] = &[
    Duration::ZERO,
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(6),
];
const FAST: &[Duration] = &[
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// How long to wait before each attempt. In JSON: `"standard"`, `"fast"` or `{"schedule":[0,60,"5m"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetrySchedule {
    /// 0 s, 1 m, 5 m, 30 m, 6 h.
    #[default]
    Standard,
    /// 0, 1, 5, 15 s.
    Fast,
    /// A schedule of one's own.
    Custom(Delays),
}

/// The delays of a schedule of one's own: 1 to 20 of them, none longer than 7 days. The first is the delay before the
/// first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delays(Box<[Duration]>);

/// Why a list of delays is no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DelaysError {
    /// No attempt at all, or too many.
    #[error("a schedule has 1 to {ATTEMPTS_MAX} delays")]
    Count,
    /// One delay is longer than [`DELAY_MAX`].
    #[error("a delay is at most 7 days")]
    TooLong,
}

/// What an attempt's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// 410: the receiver is gone for good, and the webhook with it.
    Disable,
    /// The receiver refuses this delivery and would refuse it again.
    DeadLetter,
    /// The receiver said when to come back.
    RetryAfter(Duration),
    /// Try again as the schedule says.
    Retry,
}

/// What happens to a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is delivered.
    Delivered,
    /// The webhook is disabled, and the delivery is dead with it.
    Disable,
    /// The delivery is a dead letter.
    Dead,
    /// Another attempt after this long.
    RetryIn(Duration),
}

/// Says what an answer means. `None` stands for no answer: a timeout, a refused or reset connection, a refused target.
///
/// Redirects are failures, because following one could lead anywhere. 408, 425 and 429 are about the moment, not about
/// the delivery, so they are tried again, unlike any other 4xx.
pub fn judge(status: Option<u16>, retry_after: Option<Duration>) -> Verdict {
    match (status, retry_after) {
        (Some(200..=299), _) => Verdict::Delivered,
        (Some(410), _) => Verdict::Disable,
        (Some(429 | 503), Some(after)) => Verdict::RetryAfter(after.min(RETRY_AFTER_MAX)),
        (Some(408 | 425 | 429), _) => Verdict::Retry,
        (Some(400..=499), _) => Verdict::DeadLetter,
        (Some(_) | None, _) => Verdict::Retry,
    }
}

/// The delay, longer or shorter by up to a fifth as `random` says, so that deliveries that failed together do not come
/// back together. No delay stays none.
pub fn jittered(delay: Duration, random: u64) -> Duration {
    let micros = delay.as_micros();
    let fifth = micros / 5;
    let span = 2 * fifth + 1;
    let offset = (span * u128::from(random)) >> 64;
    let micros = micros - fifth + offset;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

impl RetrySchedule {
    /// A schedule of one's own.
    pub fn custom(delays: impl Into<Vec<Duration>>) -> Result<RetrySchedule, DelaysError> {
        let delays = delays.into();
        if delays.is_empty() || delays.len() > ATTEMPTS_MAX {
            return Err(DelaysError::Count);
        }
        if delays.iter().any(|delay| *delay > DELAY_MAX) {
            return Err(DelaysError::TooLong);
        }
        Ok(RetrySchedule::Custom(Delays(delays.into())))
    }

    /// How many attempts there are.
    pub fn attempts_max(&self) -> u32 {
        u32::try_from(self.delays().len()).expect("at most 20")
    }

    /// How long to wait before an attempt, counted from 1. `None` if there is no such attempt.
    pub fn delay_before(&self, attempt: u32) -> Option<Duration> {
        let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
        self.delays().get(index).copied()
    }

    /// Decides what comes after the attempt with this number, counted from 1.
    ///
    /// A receiver's own wish is obeyed to the second; the schedule's delays are jittered.
    pub fn after(&self, attempt: u32, verdict: Verdict, random: u64) -> Next {
        let scheduled = self.delay_before(attempt.saturating_add(1));
        match (verdict, scheduled) {
            (Verdict::Delivered, _) => Next::Delivered,
            (Verdict::Disable, _) => Next::Disable,
            (Verdict::DeadLetter, _) | (Verdict::RetryAfter(_) | Verdict::Retry, None) => {
                Next::Dead
            }
            (Verdict::RetryAfter(wanted), Some(_)) => Next::RetryIn(wanted),
            (Verdict::Retry, Some(delay)) => Next::RetryIn(jittered(delay, random)),
        }
    }

    fn delays(&self) -> &[Duration] {
        match self {
            RetrySchedule::Standard => STANDARD,
            RetrySchedule::Fast => FAST,
            RetrySchedule::Custom(delays) => &delays.0,
        }
    }
}

impl Serialize for RetrySchedule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            RetrySchedule::Standard => to.serialize_str("standard"),
            RetrySchedule::Fast => to.serialize_str("fast"),
            RetrySchedule::Custom(delays) => {
                let seconds: Vec<u64> = delays.0.iter().map(Duration::as_secs).collect();
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("schedule", &seconds)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for RetrySchedule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RetrySchedule, D::Error> {
        from.deserialize_any(ScheduleVisitor)
    }
}

struct ScheduleVisitor;

impl<'de> de::Visitor<'de> for ScheduleVisitor {
    type Value = RetrySchedule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"standard\", \"fast\" or {\"schedule\":[seconds, …]}")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RetrySchedule, E> {
        match text {
            "standard" => Ok(RetrySchedule::Standard),
            "fast" => Ok(RetrySchedule::Fast),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RetrySchedule, M::Error> {
        let mut delays = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "schedule" if delays.is_none() => delays = Some(map.next_value::<DelayList>()?.0),
                "schedule" => return Err(de::Error::duplicate_field("schedule")),
                other => return Err(de::Error::unknown_field(other, &["schedule"])),
            }
        }
        let delays = delays.ok_or_else(|| de::Error::missing_field("schedule"))?;
        RetrySchedule::custom(delays).map_err(de::Error::custom)
    }
}

/// Delays on their way in; stops reading as soon as there are too many.
struct DelayList(Vec<Duration>);

impl<'de> Deserialize<'de> for DelayList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<DelayList, D::Error> {
        struct List;

        impl<'de> de::Visitor<'de> for List {
            type Value = DelayList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of delays")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<DelayList, A::Error> {
                let mut delays = Vec::new();
                while let Some(Delay(delay)) = seq.next_element()? {
                    if delays.len() == ATTEMPTS_MAX {
                        return Err(de::Error::custom(DelaysError::Count));
                    }
                    delays.push(delay);
                }
                Ok(DelayList(delays))
            }
        }

        from.deserialize_seq(List)
    }
}

/// One delay: a whole number of seconds, or a text such as `90s`, `5m`, `6h`, `1d`.
struct Delay(Duration);

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Delay, D::Error> {
        struct DelayVisitor;

        impl de::Visitor<'_> for DelayVisitor {
            type Value = Delay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of seconds, or a text such as \"5m\"")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Delay, E> {
                Ok(Delay(Duration::from_secs(seconds)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Delay, E> {
                parse_delay(text)
                    .map(Delay)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        from.deserialize_any(DelayVisitor)
    }
}

fn parse_delay(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds_a_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    let is_plain = number.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_plain)?;
    number.checked_mul(seconds_a_unit).map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
