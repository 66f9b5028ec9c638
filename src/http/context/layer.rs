//! The one layer around all handlers: gives each request its context, refuses what no handler takes, and completes answers.
//!
//! It is on the path of every request, so it does little: no lookups by label, no boxes but one, no second routing.

use std::{
    cell::RefCell,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody as _},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{
        ConnectionType, Method,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue,
            STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use ipnet::IpNet;
use rand::{RngExt as _, rngs::StdRng};
use tokio::time::Instant;

use super::{
    Arrival, Inner, RequestContext, X_REQUEST_ID,
    client_ip::client_ip,
    metering::Metering,
    record::{Answered, record},
};
use crate::{
    http::{
        cors::Cors,
        problem::{Code, Occurrence, PROBLEM_JSON, Problem},
        trace::{TRACEPARENT, TraceContext},
    },
    shutdown::Stopping,
};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
/// The longest request id that is kept as it came, in bytes.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// What the layers of all workers share.
pub(crate) struct RequestLayerOptions {
    /// Who may call from a browser.
    pub(crate) cors: Cors,
    /// Whose `X-Forwarded-For` counts.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Bytes of all names and values of a request's headers.
    pub(crate) header_bytes_max: usize,
    /// Whether browsers are told never to come without TLS again.
    pub(crate) has_tls: bool,
    /// Whether anybody wants the event of each request.
    pub(crate) is_recording: bool,
    /// The share of fresh traces that are exported.
    pub(crate) sample_ratio: f64,
    /// By which way requests come.
    pub(crate) arrival: Arrival,
    /// Tells that the process ends: every answer is then the last one on its connection.
    pub(crate) stopping: Stopping,
    /// Makes each worker's own generator.
    pub(crate) random: Arc<dyn Fn() -> StdRng + Send + Sync>,
}

/// Makes one worker's layer.
#[derive(Clone)]
pub(crate) struct RequestLayer {
    options: Arc<RequestLayerOptions>,
}

/// The layer itself.
pub(crate) struct RequestService<S> {
    service: S,
    worker: Rc<Worker>,
}

/// What the requests of one worker share.
struct Worker {
    options: Arc<RequestLayerOptions>,
    random: RefCell<StdRng>,
    metering: RefCell<Metering>,
}

/// What is kept of a request while it is handled.
struct Arrived {
    context: RequestContext,
    /// Both go back as they came, or as they were made.
    request_id: HeaderValue,
    traceparent: HeaderValue,
    admitted_origin: Option<HeaderValue>,
}

impl RequestLayer {
    /// A layer for each worker.
    pub(crate) fn new(options: Arc<RequestLayerOptions>) -> RequestLayer {
        RequestLayer { options }
    }
}

impl<S> Transform<S, ServiceRequest> for RequestLayer
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = RequestService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        let worker = Worker {
            random: RefCell::new((self.options.random)()),
            metering: RefCell::default(),
            options: Arc::clone(&self.options),
        };
        ready(Ok(RequestService {
            service,
            worker: Rc::new(worker),
        }))
    }
}

impl<S> Service<ServiceRequest> for RequestService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let worker = Rc::clone(&self.worker);
        let arrived = worker.receive(&request);
        request.extensions_mut().insert(arrived.context.clone());
        if let Some(refusal) = worker.refuse(&request) {
            let refused = request.error_response(refusal);
            return Box::pin(ready(Ok(worker.complete(refused, arrived))));
        }
        let cors = &worker.options.cors;
        if let Some(answer) = cors.preflight(request.method(), request.headers()) {
            let answered = request.into_response(answer);
            return Box::pin(ready(Ok(worker.complete(answered, arrived))));
        }
        let must_finish = changes_something(&request);
        let handled = self.service.call(request);
        Box::pin(async move {
            let handled = if must_finish {
                // A client that goes away drops this future, and must not cut a change in half.
                let work = actix_web::rt::spawn(handled);
                work.await
                    .unwrap_or_else(|panic| Err(Problem::internal(&panic).into()))
            } else {
                handled.await
            };
            match handled {
                Ok(response) => Ok(worker.complete(response, arrived)),
                Err(error) => Err(worker.complete_error(error, arrived)),
            }
        })
    }
}

/// Whether a request may take several steps that belong together. Taking events is none of these, although it is a POST: its
/// one step is a message to an actor, which does it or not whoever waits for the answer.
fn changes_something(request: &ServiceRequest) -> bool {
    let is_change = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    is_change && !request.path().ends_with("/events")
}

impl Worker {
    fn receive(&self, request: &ServiceRequest) -> Arrived {
        let headers = request.headers();
        let mut random = self.random.borrow_mut();
        let given = headers.get(TRACEPARENT);
        let continued = given.and_then(|header| {
            let trace = TraceContext::continued(header.as_bytes(), &mut *random)?;
            Some((trace, header.clone()))
        });
        let (trace, traceparent) = continued.unwrap_or_else(|| {
            let trace = TraceContext::fresh(&mut *random, self.options.sample_ratio);
            (trace, ascii(&trace.traceparent()))
        });
        let given = headers
            .get(X_REQUEST_ID)
            .filter(|id| is_sane(id.as_bytes()));
        let request_id = given.cloned().unwrap_or_else(|| {
            let mut digits = [0; 32];
            let fresh: [u8; 16] = random.random();
            hex::encode_to_slice(fresh, &mut digits).expect("two digits for each byte");
            ascii(&digits)
        });
        let inner = Inner {
            request_id: request_id.to_str().unwrap_or_default().into(),
            trace,
            client_ip: client_ip(request.peer_addr(), headers, &self.options.trusted_proxies),
            started_at: Instant::now(),
            caller: std::cell::Cell::new(None),
            standing: std::cell::Cell::new(None),
            known: std::cell::OnceCell::new(),
            arrival: self.options.arrival,
            is_not_here: std::cell::Cell::new(false),
        };
        Arrived {
            context: RequestContext(Rc::new(inner)),
            request_id,
            traceparent,
            admitted_origin: self.options.cors.admitted(headers),
        }
    }

    fn refuse(&self, request: &ServiceRequest) -> Option<Problem> {
        // The node that the client asked has looked, and has added headers of its own.
        if self.options.arrival == Arrival::Carried {
            return None;
        }
        let headers = request.headers();
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        let bytes_max = self.options.header_bytes_max;
        if bytes > bytes_max {
            let detail = format!("the headers have {bytes} bytes: expected at most {bytes_max}");
            return Some(Problem::new(Code::BadRequest, detail));
        }
        // A small compressed body may be a very large one, so none is ever unpacked.
        if headers.contains_key(CONTENT_ENCODING) {
            let detail = "a body with a Content-Encoding is not taken: send it plain";
            return Some(Problem::new(Code::UnsupportedMediaType, detail));
        }
        None
    }

    /// Gives an answer its body if it is an error, and its headers; counts it and logs it.
    fn complete(&self, response: ServiceResponse, arrived: Arrived) -> ServiceResponse {
        let mut response = if response.status().as_u16() >= 400 {
            with_problem(response, &arrived.context)
        } else {
            response
        };
        let context = arrived.context.clone();
        self.mark(response.headers_mut(), arrived);
        if self.options.stopping.has_begun() {
            let head = response.response_mut().head_mut();
            head.set_connection_type(ConnectionType::Close);
        }
        let duration = context.0.started_at.elapsed();
        let request = response.request();
        let route = request.match_pattern();
        let (method, status) = (request.method(), response.status());
        // A request is counted once, where its client asked, and told of on each node that it came to.
        if self.options.arrival == Arrival::Direct {
            let mut metering = self.metering.borrow_mut();
            metering.record(route.as_deref(), method, status, duration);
        }
        if self.options.is_recording {
            record(&Answered {
                context: &context,
                method,
                path: request.path(),
                route: route.as_deref(),
                status,
                duration,
            });
        }
        response
    }

    /// An error that comes past the router, from a layer within: the request is gone, so less is known.
    fn complete_error(&self, mut error: Error, arrived: Arrived) -> Error {
        let status = error.as_response_error().status_code();
        let context = arrived.context.clone();
        let duration = context.0.started_at.elapsed();
        let mut headers = HeaderMap::new();
        self.mark(&mut headers, arrived);
        error.add_response_mapper(move |mut response| {
            for (name, value) in &headers {
                response.headers_mut().insert(name.clone(), value.clone());
            }
            response
        });
        let method = Method::default();
        let mut metering = self.metering.borrow_mut();
        metering.record(None, &method, status, duration);
        tracing::warn!(
            request_id = context.request_id(),
            trace_id = %context.trace_id(),
            "a request ended with an error outside of its handler: {error}"
        );
        error
    }

    fn mark(&self, headers: &mut HeaderMap, arrived: Arrived) {
        if let Some(standing) = arrived.context.standing() {
            super::super::limits::mark(headers, &standing);
        }
        headers.insert(X_REQUEST_ID, arrived.request_id);
        headers.insert(TRACEPARENT, arrived.traceparent);
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        if self.options.has_tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        self.options.cors.mark(headers, arrived.admitted_origin);
    }
}

/// Renders the problem that an answer carries, with what is known of the request. An error of the framework, or an empty
/// answer with an error's status, becomes the problem that its status stands for; a body that a handler wrote stays.
fn with_problem(response: ServiceResponse, context: &RequestContext) -> ServiceResponse {
    let (request, answer) = response.into_parts();
    let status = answer.status();
    let is_empty = matches!(answer.body().size(), BodySize::None | BodySize::Sized(0));
    let trace_id = context.trace_id().to_string();
    let at = Occurrence {
        instance: Some(request.path()),
        trace_id: Some(&trace_id),
        status: Some(status),
    };
    let body = match answer.error() {
        Some(error) => match error.as_error::<Problem>() {
            Some(problem) => problem.render(at),
            None => Problem::from_status(status, Some(error.to_string())).render(at),
        },
        None if is_empty => Problem::from_status(status, None).render(at),
        None => return ServiceResponse::new(request, answer),
    };
    let mut answer = answer.set_body(BoxBody::new(body));
    answer.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
    ServiceResponse::new(request, answer)
}

/// An id that may go into logs and headers: visible ASCII, not too long.
fn is_sane(id: &[u8]) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

fn ascii(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("hex digits and hyphens may stand in a header")
}

impl fmt::Debug for RequestLayerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLayerOptions")
            .finish_non_exhaustive()
    }
}
