//! Which web pages may call the API from a browser: those of the origins that are listed, without cookies.
//!
//! A request of another origin is served all the same, without the header that would let its page read the answer.

use actix_web::{
    HttpResponse,
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
            ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
        },
    },
};

use crate::config::Origin;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, X-API-Key, \
     X-Request-Id, traceparent",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Link, RateLimit, RateLimit-Policy, Retry-After, \
     X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, traceparent",
);
/// How long a browser may remember the answer to a preflight, in seconds.
const REMEMBER_FOR: HeaderValue = HeaderValue::from_static("3600");

/// The list.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Lets these origins in.
    pub(crate) fn new(origins: &[Origin]) -> Cors {
        let as_header = |origin: &Origin| {
            HeaderValue::from_str(&origin.0).expect("an origin of a URL is visible ASCII")
        };
        Cors {
            origins: origins.iter().map(as_header).collect(),
        }
    }

    /// The origin of a request, if it is listed.
    pub(crate) fn admitted(&self, request: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        let origin = request.get(ORIGIN)?;
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// The answer to a browser that asks before it sends; `None` if this is no such question.
    pub(crate) fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<HttpResponse> {
        let asks =
            *method == Method::OPTIONS && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.origins.is_empty() {
            return None;
        }
        let mut response = HttpResponse::NoContent();
        if self.admitted(request).is_some() {
            response
                .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
                .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
                .insert_header((ACCESS_CONTROL_MAX_AGE, REMEMBER_FOR));
        }
        Some(response.finish())
    }

    /// Marks an answer: who may read it, and that this depends on who asks.
    pub(crate) fn mark(&self, answer: &mut HeaderMap, admitted: Option<HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = admitted {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }
}
