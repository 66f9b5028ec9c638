//! What is known of a request before its handler runs: its ids, its place in a trace, where it comes from.
//!
//! Does not know who calls: the key is found later, and noted here for the log with [`RequestContext::set_caller`].

mod client_ip;
mod layer;
mod metering;
mod record;

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    future::{Ready, ready},
    net::IpAddr,
    rc::Rc,
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::header::HeaderName,
};
use domain::{
    ids::{KeyId, TenantId},
    rate::Standing,
};
use tokio::time::Instant;

use super::{
    problem::Problem,
    trace::{TraceContext, TraceId},
};

pub(crate) use layer::{RequestLayer, RequestLayerOptions};

/// The header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// See the module. Cheap to clone; stays on its thread. An extractor, too.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: Box<str>,
    trace: TraceContext,
    client_ip: IpAddr,
    started_at: Instant,
    caller: Cell<Option<Caller>>,
    standing: Cell<Option<Standing>>,
}

/// Who called, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Whose key.
    pub(crate) tenant: TenantId,
    /// Which key.
    pub(crate) key: KeyId,
}

impl RequestContext {
    /// The id that the caller gave the request, or else a fresh one.
    pub(crate) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// The trace that the request belongs to.
    pub(crate) fn trace_id(&self) -> TraceId {
        self.0.trace.trace_id
    }

    /// The request's place in its trace.
    pub(crate) fn trace(&self) -> &TraceContext {
        &self.0.trace
    }

    /// Where the request comes from; behind a trusted proxy, what the proxy says.
    pub(crate) fn client_ip(&self) -> IpAddr {
        self.0.client_ip
    }

    /// Notes who called.
    pub(crate) fn set_caller(&self, tenant: TenantId, key: KeyId) {
        self.0.caller.set(Some(Caller { tenant, key }));
    }

    /// Notes how the caller stands with its limit, for the headers of the answer.
    pub(crate) fn set_standing(&self, standing: Standing) {
        self.0.standing.set(Some(standing));
    }

    /// How the caller stands with its limit, if it has one.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.0.standing.get()
    }
}

impl FromRequest for RequestContext {
    type Error = Problem;
    type Future = Ready<Result<RequestContext, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = request.extensions().get::<RequestContext>().cloned();
        ready(found.ok_or_else(|| Problem::internal(&"a request without a context")))
    }
}
