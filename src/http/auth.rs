//! Who calls, and whether they may: the extractor that handlers of tenants' resources begin with.
//!
//! Finds the key, asks the engine for the caller, counts the request against the key's limit. What a handler needs beyond a
//! usable key it says with [`Authorized::require`].

use std::{future::Future, pin::Pin, sync::Arc};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, HeaderMap, HeaderName},
    web,
};
use actors::{Engine, auth::Caller};
use domain::{
    ids::{TenantId, WorkspaceId},
    key::KeyHash,
    permission::Permission,
    region::Region,
};
use store::control::Tenant;

use super::{
    context::RequestContext,
    limits::KeyLimits,
    problem::{Code, Problem},
};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Marks a route whose requests do not count against the key's minute: a device's session makes several of them for each
/// message, and frames of messages are not counted either.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uncounted;

/// A caller with a usable key.
#[derive(Clone)]
pub(crate) struct Authorized {
    caller: Arc<Caller>,
    context: RequestContext,
}

impl Authorized {
    /// Goes on only if the key has this permission.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Problem> {
        if self.caller.key.permissions.allow(permission) {
            return Ok(());
        }
        let detail = format!("the key lacks the permission {permission}");
        Err(Problem::new(Code::PermissionDenied, detail))
    }

    /// Whose key.
    pub(crate) fn tenant(&self) -> TenantId {
        self.caller.tenant.id
    }

    /// Whose key, with plan and region, as of a few seconds ago.
    pub(crate) fn tenant_record(&self) -> &Tenant {
        &self.caller.tenant
    }

    /// Where the tenant's log lives.
    pub(crate) fn region(&self) -> Region {
        self.caller.tenant.region
    }

    /// The key.
    pub(crate) fn key(&self) -> &domain::key::KeyRecord {
        &self.caller.key
    }

    /// The workspace that the key is confined to.
    pub(crate) fn workspace(&self) -> Option<WorkspaceId> {
        self.caller.key.workspace
    }

    /// The workspace that a request is about: what it names, as far as the key sees it, or what the key implies.
    pub(crate) fn confine(
        &self,
        named: Option<WorkspaceId>,
    ) -> Result<Option<WorkspaceId>, Problem> {
        match (self.workspace(), named) {
            (None, named) => Ok(named),
            (Some(own), None) => Ok(Some(own)),
            (Some(own), Some(named)) if own == named => Ok(Some(own)),
            (Some(_), Some(_)) => Err(Problem::not_found("workspace")),
        }
    }

    /// The request that the caller makes.
    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }
}

impl FromRequest for Authorized {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Authorized, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authorize(&request).await })
    }
}

async fn authorize(request: &HttpRequest) -> Result<Authorized, Problem> {
    let (engine, context, caller) = authenticate(request).await?;
    let is_counted = request.app_data::<Uncounted>().is_none();
    if is_counted && let Some(limits) = request.app_data::<web::Data<KeyLimits>>() {
        match limits.take(caller.key.id, caller.key.tier, engine.clock().now()) {
            Ok(None) => {}
            Ok(Some(standing)) => context.set_standing(standing),
            Err((retry_after, standing)) => {
                context.set_standing(standing);
                let detail = format!("the key's {} requests a minute are spent", standing.limit);
                return Err(Problem::new(Code::RateLimited, detail).retry_after(retry_after));
            }
        }
    }
    Ok(Authorized { caller, context })
}

/// Finds who calls, without counting the request.
pub(crate) async fn authenticate(
    request: &HttpRequest,
) -> Result<(&web::Data<Engine>, RequestContext, Arc<Caller>), Problem> {
    let engine = request
        .app_data::<web::Data<Engine>>()
        .ok_or_else(|| Problem::internal(&"a server without an engine"))?;
    let context = RequestContext::of(request)?;
    let caller = match context.known() {
        Some(known) => Arc::clone(known),
        None => {
            let key = key_of(request.headers())?;
            engine.auth().authenticate(key, context.client_ip()).await?
        }
    };
    context.set_caller(caller.tenant.id, caller.key.id);
    Ok((engine, context, caller))
}

/// The hash of the key that a request carries, for what outlives the request.
pub(crate) fn key_hash(request: &HttpRequest, engine: &Engine) -> Result<KeyHash, Problem> {
    Ok(engine.auth().hash(key_of(request.headers())?))
}

/// The key's text: a bearer token, or the header that older clients send.
fn key_of(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = || Problem::new(Code::MissingKey, Code::MissingKey.meaning());
    let text = match headers.get(AUTHORIZATION) {
        Some(value) => {
            let text = value.to_str().map_err(|_not_ascii| missing())?;
            let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(missing());
            }
            token
        }
        None => {
            let value = headers.get(X_API_KEY).ok_or_else(missing)?;
            value.to_str().map_err(|_not_ascii| missing())?
        }
    };
    let text = text.trim();
    if text.is_empty() {
        Err(missing())
    } else {
        Ok(text)
    }
}
