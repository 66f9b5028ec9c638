//! The one place of the bench that reads the wall clock.
//!
//! Durations within one process are measured with `tokio::time::Instant`; wall time is for what two processes must agree on
//! and for the date of a result.

use domain::time::Timestamp;

/// The present moment, the same for every process of this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "latency from one process to another needs the clock that both share"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
}
