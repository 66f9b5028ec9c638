//! Exports spans to a collector, by OTLP over HTTP, from a thread of the exporter's own with a bounded queue.
//!
//! A span is made when it is over, from the one event that tells of a request or a delivery: nothing is kept while it
//! runs, and without a collector none of this exists.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use domain::{clock::Clock, time::Timestamp};
use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor},
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::REQUEST_TARGET;

/// Where collectors take spans, below their base URL.
const TRACES_PATH: &str = "/v1/traces";
/// How long one export may take.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);

/// The exporter cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("otel.endpoint: the exporter of spans cannot be made: {0}")]
pub(crate) struct SpansError(#[from] ExporterBuildError);

/// The queue and the thread that exports.
#[derive(Debug)]
pub(super) struct Spans {
    processor: Box<dyn SpanProcessor>,
}

/// Makes spans of events.
pub(super) struct SpansLayer {
    spans: Arc<Spans>,
    clock: Clock,
    scope: InstrumentationScope,
}

impl Spans {
    /// Starts the exporter.
    pub(super) fn start(base: &str, service: &str, instance: &str) -> Result<Spans, SpansError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{base}{TRACES_PATH}"))
            .with_timeout(EXPORT_WITHIN)
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let mut resource = Resource::builder_empty()
            .with_service_name(service.to_owned())
            .with_attribute(version);
        if !instance.is_empty() {
            let instance = KeyValue::new("service.instance.id", instance.to_owned());
            resource = resource.with_attribute(instance);
        }
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource.build());
        Ok(Spans::over(processor))
    }

    /// Hands spans to another processor.
    pub(super) fn over(processor: impl SpanProcessor + 'static) -> Spans {
        Spans {
            processor: Box::new(processor),
        }
    }

    /// Exports what is still queued.
    pub(super) fn finish(&self, within: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(within) {
            tracing::warn!("the last spans were not exported: {error}");
        }
    }
}

impl SpansLayer {
    /// A layer that exports through `spans`.
    pub(super) fn new(spans: Arc<Spans>, clock: Clock) -> SpansLayer {
        SpansLayer {
            spans,
            clock,
            scope: InstrumentationScope::builder("trunkline").build(),
        }
    }

    fn span(&self, event: &Event<'_>) -> Option<SpanData> {
        let mut told = Told::default();
        event.record(&mut told);
        let is_request = event.metadata().target() == REQUEST_TARGET;
        let has_failed = *event.metadata().level() < Level::INFO;
        let now = self.clock.now();
        let duration = Duration::try_from_secs_f64(told.duration_ms / 1_000.0).ok()?;
        told.is_sampled.then_some(())?;
        Some(SpanData {
            span_context: SpanContext::new(
                TraceId::from_hex(&told.trace_id).ok()?,
                SpanId::from_hex(&told.span_id).ok()?,
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::from_hex(&told.parent_span_id).unwrap_or(SpanId::INVALID),
            parent_span_is_remote: is_request,
            span_kind: if is_request {
                SpanKind::Server
            } else {
                SpanKind::Client
            },
            name: told.name(is_request).into(),
            start_time: as_system_time(now.minus(duration)),
            end_time: as_system_time(now),
            attributes: told.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if has_failed {
                Status::error("")
            } else {
                Status::Unset
            },
            instrumentation_scope: self.scope.clone(),
        })
    }
}

impl<S: Subscriber> Layer<S> for SpansLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(span) = self.span(event) {
            self.spans.processor.on_end(span);
        }
    }
}

/// What an event told.
#[derive(Default)]
struct Told {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    is_sampled: bool,
    duration_ms: f64,
    route: String,
    method: String,
    attributes: Vec<KeyValue>,
}

impl Told {
    /// A name that many spans share, as it is used to group them.
    fn name(&self, is_request: bool) -> String {
        match (is_request, self.route.as_str()) {
            (true, "") => self.method.clone(),
            (true, route) => format!("{} {route}", self.method),
            (false, "") => "deliver".to_owned(),
            (false, name) => name.to_owned(),
        }
    }

    fn text(&mut self, field: &Field, value: String) {
        match field.name() {
            "trace_id" => self.trace_id = value,
            "otel.span_id" => self.span_id = value,
            "otel.parent_span_id" => self.parent_span_id = value,
            "otel.name" => self.route = value,
            "message" => {}
            "method" => {
                self.attributes
                    .push(KeyValue::new("http.request.method", value.clone()));
                self.method = value;
            }
            "path" => self.attributes.push(KeyValue::new("url.path", value)),
            name => self.attributes.push(KeyValue::new(name, value)),
        }
    }
}

impl Visit for Told {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name() {
            "duration_ms" => self.duration_ms = value,
            name => self.attributes.push(KeyValue::new(name, value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        let name = match field.name() {
            "status" => "http.response.status_code",
            name => name,
        };
        self.attributes.push(KeyValue::new(name, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "otel.sampled" => self.is_sampled = value,
            name => self.attributes.push(KeyValue::new(name, value)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}

fn as_system_time(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time.micros()).unwrap_or(0))
}

impl fmt::Debug for SpansLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpansLayer").finish_non_exhaustive()
    }
}
