//! Where log lines and spans go.
//!
//! Lines go to standard error, written by a thread of their own from a bounded queue: a slow reader of the log loses lines,
//! and delays nobody. Spans go to a collector when one is configured, else nothing of it is loaded.

mod line;
mod queue;
mod spans;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    io::{self, IsTerminal as _},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::clock::Clock;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets, filter_fn},
    layer::SubscriberExt as _,
    registry,
};

use crate::config::{LogFormat, OtelEndpoint, Settings};
use line::{Form, LineLayer};
use queue::{Queue, Writer};
use spans::{Spans, SpansLayer};

pub(crate) use spans::SpansError;

/// The target of the one event that tells of an answered request.
pub(crate) const REQUEST_TARGET: &str = "trunkline::http";
/// The target of the one event that tells of an attempt to deliver. Its fields are those of a request's event:
/// `trace_id`, `otel.span_id`, `otel.parent_span_id`, `otel.sampled`, `otel.name`, `duration_ms`; a level above INFO means
/// that it failed.
pub(crate) const DELIVERY_TARGET: &str = "trunkline::delivery";

/// The target of the threads that accept connections.
const ACCEPTOR_TARGET: &str = "actix_server::accept";

/// Set once: the process closes its own doors.
static CLOSES_DOORS: AtomicBool = AtomicBool::new(false);

/// What has to be ended before the process ends.
#[derive(Debug)]
pub(crate) struct Logging {
    writer: Writer,
    spans: Option<Arc<Spans>>,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoggingError {
    /// The thread that writes cannot be made.
    #[error("the thread that writes the log cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// The exporter of spans cannot be made.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// Somebody logs already.
    #[error("the log was started already")]
    Started,
}

/// Starts to log, for the whole process.
pub(crate) fn start(settings: &Settings, clock: &Clock) -> Result<Logging, LoggingError> {
    let queue = Arc::new(Queue::new(settings.log.queue_bytes_max.get()));
    let writer = Writer::start(Arc::clone(&queue), io::stderr()).map_err(LoggingError::Thread)?;
    let spans = match &settings.otel.endpoint {
        OtelEndpoint::None => None,
        OtelEndpoint::Collector(base) => {
            let name = &settings.otel.service_name;
            let instance = &settings.server.instance_id;
            Some(Arc::new(Spans::start(base, name, instance)?))
        }
    };
    let lines = LineLayer {
        queue,
        clock: clock.clone(),
        form: form(settings.log.format),
        instance: settings.server.instance_id.as_str().into(),
        shows_requests: settings.log.requests,
    };
    let levels = without_chatter(settings.log.level.0.clone());
    let spans_layer = spans.clone().map(|spans| {
        let is_ours = filter_fn(|of| matches!(of.target(), REQUEST_TARGET | DELIVERY_TARGET));
        SpansLayer::new(spans, clock.clone()).with_filter(is_ours)
    });
    let subscriber = registry().with(lines.with_filter(levels)).with(spans_layer);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|_already| LoggingError::Started)?;
    log_panics();
    Ok(Logging { writer, spans })
}

/// Says that the process closes its own doors. From now on the threads that accept connections find their listeners shut, and
/// would say so as if that were an error.
pub(crate) fn doors_close() {
    CLOSES_DOORS.store(true, Ordering::Relaxed);
}

/// Whether an event of this target tells nobody anything.
fn is_moot(target: &str) -> bool {
    target == ACCEPTOR_TARGET && CLOSES_DOORS.load(Ordering::Relaxed)
}

impl Logging {
    /// Writes what is still queued, within this time. What is logged from now on is lost.
    pub(crate) fn finish(self, within: Duration) {
        if let Some(spans) = self.spans {
            spans.finish(within);
        }
        self.writer.finish(within);
    }
}

/// The client of NATS tells of every try to connect, and the bus of what matters: who asks for no more hears no more.
fn without_chatter(levels: Targets) -> Targets {
    const TALKATIVE: &str = "async_nats";
    let is_named = levels.iter().any(|(target, _)| target == TALKATIVE);
    if is_named || levels.default_level() != Some(LevelFilter::INFO) {
        return levels;
    }
    levels.with_target(TALKATIVE, LevelFilter::WARN)
}

fn form(format: LogFormat) -> Form {
    match format {
        LogFormat::Text => Form::Text,
        LogFormat::Auto if io::stderr().is_terminal() => Form::Text,
        LogFormat::Auto | LogFormat::Json => Form::Json,
    }
}

/// A panic becomes a line of the log like everything else; it costs its actor, not the process.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string);
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place = place.as_deref().unwrap_or("unknown"),
            "a panic: {}",
            Message(panic),
        );
    }));
}

/// What a panic said.
struct Message<'a>(&'a panic::PanicHookInfo<'a>);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.payload_as_str().unwrap_or("without a message"))
    }
}
