//! Says how long the answer to an idempotency key is kept.
//!
//! One figure for every kind of request: clients are told it, and the store reckons back from it when an answer was given.

use std::time::Duration;

/// A repetition within this time gets the first answer again.
pub const ANSWERS_KEPT_FOR: Duration = Duration::from_hours(24);
