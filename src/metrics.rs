//! Metrics, as Prometheus reads them: what each is called, what it means, and the text of all of them.
//!
//! Whoever counts uses the `metrics` crate; every name must be described here, because a metric without help is of none.

mod process;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use domain::{clock::Clock, time::Timestamp};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tokio::time::{MissedTickBehavior, interval};

/// Requests that were answered.
pub(crate) const HTTP_REQUESTS: &str = "http_requests_total";
/// How long requests took.
pub(crate) const HTTP_REQUEST_SECONDS: &str = "http_request_duration_seconds";
/// Log lines that were dropped.
pub(crate) const LOG_LINES_DROPPED: &str = "log_lines_dropped_total";
/// MQTT connections that were not let in.
pub(crate) const MQTT_REFUSED: &str = "mqtt_refused_total";

/// The bounds of whatever is measured in seconds: from a message between actors to a hanging endpoint.
const SECONDS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 30.0,
];
/// The bounds of whatever is counted in pieces.
const PIECES: [f64; 10] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 250.0, 1_000.0, 4_000.0,
];
/// How often samples are moved into their buckets: until then each takes memory of its own.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: its name, its kind, and what it says.
const DESCRIPTIONS: &[(&str, Kind, &str)] = &[
    (
        HTTP_REQUESTS,
        Kind::Counter,
        "Requests that were answered, by route, method and status.",
    ),
    (
        HTTP_REQUEST_SECONDS,
        Kind::Histogram,
        "Time from a request's head to its answer's head.",
    ),
    (
        "retention_events_removed_total",
        Kind::Counter,
        "Events that were removed because they had outlived their retention.",
    ),
    (
        "retention_partitions_dropped_total",
        Kind::Counter,
        "Months of events that were dropped as a whole.",
    ),
    (
        LOG_LINES_DROPPED,
        Kind::Counter,
        "Log lines that were dropped because nobody read them.",
    ),
    (
        MQTT_REFUSED,
        Kind::Counter,
        "MQTT connections that were not let in, by reason.",
    ),
    (
        "events_ingested_total",
        Kind::Counter,
        "Events that were made durable.",
    ),
    (
        "commit_parts",
        Kind::Histogram,
        "Writes that went into one transaction of a region.",
    ),
    (
        "commit_seconds",
        Kind::Histogram,
        "Time that one transaction of a region took.",
    ),
    (
        "actor_deaths_total",
        Kind::Counter,
        "Actors that ended, by kind and cause.",
    ),
    (
        "outbound_posts_total",
        Kind::Counter,
        "Posts to webhooks, by result.",
    ),
    (
        "outbound_posts_in_flight",
        Kind::Gauge,
        "Posts to webhooks that are on their way.",
    ),
    (
        "outbound_post_seconds",
        Kind::Histogram,
        "Time that one post to a webhook took.",
    ),
    (
        "deliveries_total",
        Kind::Counter,
        "Attempts to deliver an event that ended, by what became of the delivery.",
    ),
    (
        "delivery_attempts_total",
        Kind::Counter,
        "Attempts to deliver an event.",
    ),
    (
        "delivery_seconds",
        Kind::Histogram,
        "Time from an event's receipt to its delivery, replays left out.",
    ),
    (
        "webhook_breaker_opened_total",
        Kind::Counter,
        "Circuit breakers of webhooks that opened.",
    ),
    (
        "device_sessions",
        Kind::Gauge,
        "Sessions of devices that are open on this node, by transport.",
    ),
    (
        "device_sessions_opened_total",
        Kind::Counter,
        "Sessions of devices that were opened, by transport.",
    ),
    (
        "device_sessions_replaced_total",
        Kind::Counter,
        "Sessions of devices that ended because a newer one was opened.",
    ),
    (
        "device_events_total",
        Kind::Counter,
        "Events that came through sessions of this node, by what became of them.",
    ),
    (
        "device_commands_total",
        Kind::Counter,
        "Commands to devices that were asked for on this node, by what came of them.",
    ),
    ("leases_held", Kind::Gauge, "Tenants that this node holds."),
    (
        "lease_grants_total",
        Kind::Counter,
        "Leases that this node was given.",
    ),
    (
        "lease_steals_total",
        Kind::Counter,
        "Leases that this node took over from one that was gone.",
    ),
    (
        "lease_losses_total",
        Kind::Counter,
        "Leases that this node lost to others, or with its session.",
    ),
    (
        "bus_connected",
        Kind::Gauge,
        "Whether there is a connection to NATS: 1 or 0.",
    ),
    (
        "bus_requests_total",
        Kind::Counter,
        "Requests to other nodes, by how they ended.",
    ),
    (
        "bus_dropped_total",
        Kind::Counter,
        "Messages between nodes that were dropped, by what they were.",
    ),
];

/// What all metrics are read through. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: PrometheusHandle,
    clock: Clock,
    started_at: Timestamp,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsError {
    /// The recorder cannot be made.
    #[error("the recorder of metrics cannot be made: {0}")]
    Build(#[from] BuildError),
    /// There is a recorder already.
    #[error("there is a recorder of metrics already")]
    Installed,
}

impl Metrics {
    /// Makes the recorder that the whole process counts with.
    pub(crate) fn install(clock: Clock) -> Result<Metrics, MetricsError> {
        let (recorder, metrics) = Metrics::build(clock)?;
        let installed = metrics::set_global_recorder(recorder);
        installed.map_err(|_there_is_one| MetricsError::Installed)?;
        describe();
        Ok(metrics)
    }

    fn build(clock: Clock) -> Result<(PrometheusRecorder, Metrics), MetricsError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_parts".to_owned()), &PIECES)?
            .build_recorder();
        let inner = Inner {
            handle: recorder.handle(),
            started_at: clock.now(),
            clock,
        };
        Ok((recorder, Metrics(Arc::new(inner))))
    }

    /// Metrics of nobody, for tests that need some.
    #[cfg(test)]
    pub(crate) fn alone(clock: Clock) -> Metrics {
        let (_recorder, metrics) = Metrics::build(clock).unwrap();
        metrics
    }

    /// Every metric, in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        let Inner {
            handle,
            clock,
            started_at,
        } = &*self.0;
        let mut text = handle.render();
        let up_for = clock.now().since(*started_at);
        process::append(&mut text, *started_at, up_for);
        text
    }

    /// How long the process has run.
    pub(crate) fn up_for(&self) -> Duration {
        self.0.clock.now().since(self.0.started_at)
    }

    /// Keeps the memory of samples small. Runs until it is dropped.
    pub(crate) async fn keep_up(self) {
        let mut ticks = interval(UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.handle.run_upkeep();
        }
    }
}

fn describe() {
    for (name, kind, help) in DESCRIPTIONS {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}
