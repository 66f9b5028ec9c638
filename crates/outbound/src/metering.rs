//! The metrics of what leaves the machine.
//!
//! Their labels are bounded: no tenant, no host.

use std::{sync::OnceLock, time::Duration};

use metrics::{Counter, Gauge, Histogram, Unit};

use crate::{post_error::PostError, webhook_client::Answer};

/// The metrics of posts. Looked up at the first post, so that the recorder may be installed after the client is made.
#[derive(Debug, Default)]
pub(crate) struct Metering {
    handles: OnceLock<Handles>,
}

/// One post in flight; it stops being counted as such when this is dropped.
pub(crate) struct InFlight<'a>(&'a Handles);

/// A handle saves the look-up by name and labels that each count would cost.
#[derive(Debug)]
struct Handles {
    in_flight: Gauge,
    seconds: Histogram,
    posts: [Counter; RESULTS.len()],
}

/// The values of the label `result`; [`place`] knows the order.
const RESULTS: [&str; 14] = [
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "other",
    "refused",
    "resolve",
    "connect",
    "tls",
    "timeout",
    "reset",
    "host_busy",
    "broken_off",
    "fault",
];

impl Metering {
    /// Counts a post as in flight.
    pub(crate) fn begin(&self) -> InFlight<'_> {
        let handles = self.handles.get_or_init(Handles::register);
        handles.in_flight.increment(1.0);
        InFlight(handles)
    }
}

impl InFlight<'_> {
    /// Counts how the post ended.
    pub(crate) fn end(self, result: &Result<Answer, PostError>, duration: Duration) {
        self.0.posts[place(result)].increment(1);
        self.0.seconds.record(duration);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.decrement(1.0);
    }
}

impl Handles {
    fn register() -> Handles {
        metrics::describe_counter!(
            "outbound_posts_total",
            "Posts to webhook targets by how they ended"
        );
        metrics::describe_gauge!(
            "outbound_posts_in_flight",
            "Posts to webhook targets that are going on or wait for their host"
        );
        metrics::describe_histogram!(
            "outbound_post_seconds",
            Unit::Seconds,
            "Time from the start of a post to its outcome"
        );
        Handles {
            in_flight: metrics::gauge!("outbound_posts_in_flight"),
            seconds: metrics::histogram!("outbound_post_seconds"),
            posts: RESULTS
                .map(|result| metrics::counter!("outbound_posts_total", "result" => result)),
        }
    }
}

fn place(result: &Result<Answer, PostError>) -> usize {
    match result {
        Ok(answer) => match answer.status {
            200..=299 => 0,
            300..=399 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 4,
        },
        Err(PostError::Refused(_)) => 5,
        Err(PostError::Resolve(_)) => 6,
        Err(PostError::Connect(_)) => 7,
        Err(PostError::Tls(_)) => 8,
        Err(PostError::Timeout) => 9,
        Err(PostError::Reset(_)) => 10,
        Err(PostError::HostBusy) => 11,
        Err(PostError::BrokenOff) => 12,
        Err(PostError::Fault) => 13,
    }
}
