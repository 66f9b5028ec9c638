//! The one event that `tracing` gets of each request. The log makes a line of it, the exporter of spans a span.

use std::time::Duration;

use super::{Caller, RequestContext};
use crate::logging::REQUEST_TARGET;
use actix_web::http::{Method, StatusCode};

/// The longest path that is logged, in bytes.
const PATH_LENGTH_MAX: usize = 512;

/// A request that was answered.
pub(super) struct Answered<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) route: Option<&'a str>,
    pub(super) status: StatusCode,
    pub(super) duration: Duration,
}

macro_rules! record_at {
    ($level:expr, $answered:expr) => {{
        let Answered { context, method, route, status, duration, .. } = $answered;
        let path = shortened($answered.path);
        let caller: Option<Caller> = context.0.caller.get();
        let trace = context.trace();
        tracing::event!(
            target: REQUEST_TARGET,
            $level,
            method = method.as_str(),
            path,
            status = status.as_u16(),
            duration_ms = duration.as_secs_f64() * 1_000.0,
            request_id = context.request_id(),
            trace_id = display(trace.trace_id),
            tenant = caller.map(|caller| display(caller.tenant)),
            key = caller.map(|caller| display(caller.key)),
            otel.name = route.unwrap_or_default(),
            otel.span_id = display(trace.span_id),
            otel.parent_span_id = trace.parent.map(display),
            otel.sampled = trace.is_sampled,
            "{method} {path} answered {status}",
            status = status.as_u16(),
        );
    }};
}

/// Tells `tracing` of one request.
pub(super) fn record(answered: &Answered<'_>) {
    if answered.status.is_server_error() {
        record_at!(tracing::Level::WARN, answered);
    } else {
        record_at!(tracing::Level::INFO, answered);
    }
}

/// The beginning of a path that nobody needs to see whole. A path is ASCII, or was not parsed.
fn shortened(path: &str) -> &str {
    path.get(..PATH_LENGTH_MAX).unwrap_or(path)
}
