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
    cell::{Cell, OnceCell},
    future::{Ready, ready},
    net::IpAddr,
    rc::Rc,
    sync::Arc,
};

use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::header::HeaderName,
};
use actors::auth::Caller as KnownCaller;
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
    /// The caller, if somebody found it before the handler.
    known: OnceCell<Arc<KnownCaller>>,
    arrival: Arrival,
    is_not_here: Cell<bool>,
}

/// The way by which a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// From its client.
    Direct,
    /// From another node, which looked it over already.
    Carried,
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

    /// The context of a request.
    pub(crate) fn of(request: &HttpRequest) -> Result<RequestContext, Problem> {
        let found = request.extensions().get::<RequestContext>().cloned();
        found.ok_or_else(|| Problem::internal(&"a request without a context"))
    }

    /// The caller, if it was found already.
    pub(crate) fn known(&self) -> Option<&Arc<KnownCaller>> {
        self.0.known.get()
    }

    /// Notes the caller, so that nobody looks for it again.
    pub(crate) fn set_known(&self, caller: Arc<KnownCaller>) {
        // Whoever was found first is the same.
        drop(self.0.known.set(caller));
    }

    /// Whether another node carried the request here.
    pub(crate) fn is_carried(&self) -> bool {
        self.0.arrival == Arrival::Carried
    }

    /// Notes that the request was not carried out, because its tenant does not live here.
    pub(crate) fn set_not_here(&self) {
        self.0.is_not_here.set(true);
    }

    /// Whether the request was not carried out, because its tenant does not live here.
    pub(crate) fn is_not_here(&self) -> bool {
        self.0.is_not_here.get()
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
        ready(RequestContext::of(request))
    }
}
