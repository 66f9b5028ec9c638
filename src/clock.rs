//! The one place that reads the machine's wall clock: once, at the start. From then on time moves with tokio's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::{clock::Clock, time::Timestamp};
use tokio::time::Instant;

/// A clock that shows the time of day now, and moves on evenly however the machine's clock is set.
pub(crate) fn system() -> Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the wall clock is read here, once"
    )]
    let now = SystemTime::now();
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let epoch = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
    let started_at = Instant::now();
    Clock::new(Timestamp::from_micros(epoch), move || started_at.elapsed())
}
