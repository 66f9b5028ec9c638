//! The layer around a route that needs the owner: lets the request through where its tenant lives, and carries it elsewhere.
//!
//! Stands on nodes among others only. Counts no request against a key's limit: that is done where it is carried out.

use std::{
    future::{Future, Ready, ready},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    Error, FromRequest as _, HttpRequest, HttpResponse,
    body::BoxBody,
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::header::HeaderValue,
    web,
};
use actors::{Engine, EngineError, placement::Place};
use bytes::Bytes;
use domain::ids::TenantId;
use outbound::{Bus, BusError};

use super::{
    Carrier, Needs,
    search::{Tried, Ways, answered, carry_out, unknown_fate, unreachable},
    wire::{self, Answered, WrittenAnswer, WrittenRequest},
};
use crate::http::{
    auth,
    body::RawBody,
    context::{RequestContext, X_REQUEST_ID},
    problem::{Code, Problem},
    trace::TRACEPARENT,
};

/// Makes one worker's layer.
#[derive(Clone)]
pub(crate) struct AtOwner {
    carrier: Arc<Carrier>,
    needs: Needs,
}

/// The layer itself.
pub(crate) struct AtOwnerService<S> {
    service: Rc<S>,
    layer: AtOwner,
}

impl AtOwner {
    /// A layer for routes with these needs.
    pub(super) fn new(carrier: Arc<Carrier>, needs: Needs) -> AtOwner {
        AtOwner { carrier, needs }
    }
}

impl<S> Transform<S, ServiceRequest> for AtOwner
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = AtOwnerService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(AtOwnerService {
            service: Rc::new(service),
            layer: self.clone(),
        }))
    }
}

impl<S> Service<ServiceRequest> for AtOwnerService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (service, layer) = (Rc::clone(&self.service), self.layer.clone());
        Box::pin(async move {
            let (request, payload) = request.into_parts();
            // Answers keep their request, for the layer around all handlers.
            let again = request.clone();
            match layer.handle(service, request, payload).await {
                Ok(response) => Ok(response),
                Err(problem) => Ok(ServiceResponse::from_err(problem, again)),
            }
        })
    }
}

impl AtOwner {
    async fn handle<S>(
        &self,
        service: Rc<S>,
        request: HttpRequest,
        payload: Payload,
    ) -> Result<ServiceResponse, Problem>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    {
        let (engine, context, caller) = match auth::authenticate(&request).await {
            Ok(known) => known,
            Err(problem) => {
                // A node that is going, or is cut off, cannot tell who asks: another one may, and nothing was done here.
                if let Ok(context) = RequestContext::of(&request)
                    && context.is_carried()
                    && problem.code() == Code::StoreUnavailable
                {
                    context.set_not_here();
                }
                return Err(problem);
            }
        };
        let tenant = caller.tenant.id;
        context.set_known(caller);
        let mut trip = Trip {
            service,
            engine: engine.clone(),
            bus: self.carrier.bus.as_ref(),
            needs: self.needs,
            within: self.carrier.within(self.needs),
            tenant,
            request,
            body: Body::Coming(payload),
        };
        if !context.is_carried() {
            return match carry_out(&mut trip).await {
                Err(problem)
                    if self.needs == Needs::OwnerOrHere
                        && problem.code() == Code::OwnerUnreachable =>
                {
                    Ok(trip.handled().await)
                }
                outcome => outcome,
            };
        }
        // Carried once, a request is carried out here or not at all: else it could go round in circles.
        let tried = match trip.engine.locate(tenant).await {
            Ok(Place::Here) => trip.here().await?,
            Ok(Place::There { .. }) | Err(EngineError::OwnerUnreachable { .. }) => {
                Tried::NotThere(unreachable())
            }
            Err(error) => return Err(error.into()),
        };
        match tried {
            Tried::Done(response) => Ok(response),
            Tried::NotThere(problem) => {
                context.set_not_here();
                Err(problem)
            }
        }
    }
}

/// One request on its way.
struct Trip<'a, S> {
    service: Rc<S>,
    engine: web::Data<Engine>,
    bus: Option<&'a Bus>,
    needs: Needs,
    within: Duration,
    tenant: TenantId,
    request: HttpRequest,
    body: Body,
}

/// The body of a request on its way.
enum Body {
    /// Nobody has read it.
    Coming(Payload),
    /// It is all here, and can be sent again.
    Read(Bytes),
}

impl<S> Ways for Trip<'_, S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    type Answer = ServiceResponse;

    async fn locate(&mut self) -> Result<Place, Problem> {
        Ok(self.engine.locate(self.tenant).await?)
    }

    fn forget(&mut self) {
        self.engine.forget_place(self.tenant);
    }

    async fn here(&mut self) -> Result<Tried<ServiceResponse>, Problem> {
        if self.needs == Needs::OwnerAgain {
            self.body().await?;
        }
        let response = self.handled().await;
        if self.needs == Needs::OwnerAgain && lives_elsewhere(&response) {
            return Ok(Tried::NotThere(unreachable()));
        }
        Ok(Tried::Done(response))
    }

    async fn there(&mut self, session: &str) -> Result<Tried<ServiceResponse>, Problem> {
        let Some(bus) = self.bus else {
            // There is no way to any other node: looking further would change nothing.
            return Err(unreachable());
        };
        let written = self.written().await?;
        let asked = bus.request_for(self.tenant, session, written, self.within);
        let doubt = || self.engine.forget_place(self.tenant);
        match answered(asked, doubt).await {
            Ok(answer) => self.heard(answer),
            Err(BusError::NoResponder | BusError::Refused | BusError::Late) => {
                Ok(Tried::NotThere(unreachable()))
            }
            // Looking further would find nobody: it would only gather requests that wait, and ask the stores for nothing.
            Err(BusError::Disconnected) => Err(unreachable()),
            Err(BusError::Busy) => Err(Problem::new(
                Code::Overloaded,
                "too many requests are on their way to the node that is responsible for this tenant",
            )),
            Err(error @ BusError::TooLarge { .. }) => {
                Err(Problem::new(Code::PayloadTooLarge, error.to_string()))
            }
            Err(BusError::TimedOut | BusError::AnswerLost) => Err(unknown_fate()),
            Err(
                error @ (BusError::Name(_)
                | BusError::Address(_)
                | BusError::Authorities { .. }
                | BusError::Tls(_)),
            ) => Err(Problem::internal(&error)),
        }
    }
}

impl<S> Trip<'_, S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    /// What the handler on this node answers.
    async fn handled(&mut self) -> ServiceResponse {
        let request = ServiceRequest::from_parts(self.request.clone(), self.payload());
        match self.service.call(request).await {
            Ok(response) => response,
            Err(error) => ServiceResponse::from_err(error, self.request.clone()),
        }
    }
}

impl<S> Trip<'_, S> {
    /// The body, which stays here too.
    async fn body(&mut self) -> Result<Bytes, Problem> {
        if let Body::Coming(payload) = &mut self.body {
            let RawBody(read) = RawBody::from_request(&self.request, payload).await?;
            self.body = Body::Read(read);
        }
        match &self.body {
            Body::Read(read) => Ok(read.clone()),
            Body::Coming(_) => Err(Problem::internal(&"a body that was read is not there")),
        }
    }

    /// The body for the last one who needs it.
    fn payload(&mut self) -> Payload {
        match &mut self.body {
            Body::Coming(payload) => payload.take(),
            Body::Read(read) => Payload::from(read.clone()),
        }
    }

    async fn written(&mut self) -> Result<Bytes, Problem> {
        let body = self.body().await?;
        let context = RequestContext::of(&self.request)?;
        let mut headers = wire::end_to_end(self.request.headers());
        // The request goes on under the ids that it got here.
        headers.retain(|(name, _)| *name != X_REQUEST_ID && *name != TRACEPARENT);
        let request_id = HeaderValue::from_str(context.request_id());
        let traceparent = HeaderValue::from_bytes(&context.trace().traceparent());
        headers.extend(request_id.map(|id| (X_REQUEST_ID, id)));
        headers.extend(traceparent.map(|trace| (TRACEPARENT, trace)));
        let written = WrittenRequest {
            method: self.request.method().clone(),
            uri: self.request.uri().clone(),
            client_ip: context.client_ip(),
            headers,
            body,
        };
        Ok(written.write())
    }

    fn heard(&self, answer: Bytes) -> Result<Tried<ServiceResponse>, Problem> {
        match WrittenAnswer::read(answer) {
            Ok(WrittenAnswer::Answered(answered)) => Ok(Tried::Done(ServiceResponse::new(
                self.request.clone(),
                response(answered),
            ))),
            Ok(WrittenAnswer::NotHere | WrittenAnswer::UnknownVersion) => {
                Ok(Tried::NotThere(unreachable()))
            }
            Ok(WrittenAnswer::Broken) => Err(Problem::internal(
                &"the request broke on the node that holds the tenant, whose log says why",
            )),
            Err(unreadable) => {
                tracing::error!("an answer of another node is lost: {unreadable}");
                Err(unknown_fate())
            }
        }
    }
}

/// Whether an answer says that the tenant does not live here, so that nothing was done.
fn lives_elsewhere(response: &ServiceResponse) -> bool {
    let error = response.response().error();
    let problem = error.and_then(|error| error.as_error::<Problem>());
    problem.is_some_and(|problem| problem.code() == Code::OwnerUnreachable)
}

/// The answer as it came from the other node.
fn response(answered: Answered) -> HttpResponse {
    let mut response = HttpResponse::new(answered.status).set_body(BoxBody::new(answered.body));
    for (name, value) in answered.headers {
        response.headers_mut().append(name, value);
    }
    response
}
