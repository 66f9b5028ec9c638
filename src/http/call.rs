//! A call of the API by somebody with a key: what nearly every handler of a resource begins with.
//!
//! Finds what a call names, runs it once for each idempotency key, and notes who did it. Decides nothing of a resource.

use std::{fmt::Display, future::Future, pin::Pin, str::FromStr};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse, dev::Payload, http::header::USER_AGENT, web,
};
use actors::Engine;
use bytes::Bytes;
use domain::{
    ids::{TenantId, WorkspaceId},
    new_event::WorkspaceRef,
    permission::Permission,
};
use serde_json::Value;
use store::control::AuditEntry;

use super::{
    auth::Authorized,
    idempotency::{self, IdempotencyKey},
    page::PageRequest,
    problem::{Code, Problem},
};

/// Characters of a client's own name that the audit log keeps.
const USER_AGENT_LENGTH_MAX: usize = 256;

/// See the module. An extractor.
pub(crate) struct Call {
    caller: Authorized,
    engine: web::Data<Engine>,
    request: HttpRequest,
}

/// What handlers answer.
pub(crate) type Answer = Result<HttpResponse, Problem>;

impl Call {
    /// Goes on only if the key has this permission.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Problem> {
        self.caller.require(permission)
    }

    /// Goes on only if the key sees the whole tenant.
    pub(crate) fn require_tenant_key(&self) -> Result<(), Problem> {
        if self.caller.workspace().is_none() {
            return Ok(());
        }
        let detail = "the key is bound to a workspace, and this concerns the whole tenant";
        Err(Problem::new(Code::PermissionDenied, detail))
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> &Authorized {
        &self.caller
    }

    /// Whose key.
    pub(crate) fn tenant(&self) -> TenantId {
        self.caller.tenant()
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The request itself.
    pub(crate) fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// The page that is asked for.
    pub(crate) fn page(&self) -> Result<PageRequest, Problem> {
        PageRequest::parse(self.request.query_string())
    }

    /// What the path names. A text that cannot be a name of such a thing names nothing.
    pub(crate) fn named<T: FromStr>(&self, part: &str, what: &str) -> Result<T, Problem> {
        let text = self.request.match_info().get(part).unwrap_or_default();
        text.parse().map_err(|_other_form| Problem::not_found(what))
    }

    /// Does `work` once for each idempotency key. Boxed, because a change asks a lot of others and its future is large.
    pub(crate) fn once<'a>(
        &'a self,
        key: &'a IdempotencyKey,
        body: &'a Bytes,
        work: impl Future<Output = Answer> + 'a,
    ) -> Pin<Box<dyn Future<Output = Answer> + 'a>> {
        let once = idempotency::once(&self.caller, key, body, &self.engine, work);
        Box::pin(once)
    }

    /// The workspace that a body names at `pointer`; it must be the tenant's, and one that the key sees.
    pub(crate) async fn workspace(
        &self,
        named: &WorkspaceRef,
        pointer: &str,
    ) -> Result<WorkspaceId, Problem> {
        let tenant = self.tenant();
        let found = match named {
            WorkspaceRef::Id(id) => self.engine.workspace(tenant, *id).await,
            WorkspaceRef::Slug(slug) => self.engine.workspace_by_slug(tenant, slug).await,
        };
        let unknown =
            || Problem::invalid_field(pointer, "expected the id or slug of a workspace of yours");
        let found = match found {
            Ok(workspace) => workspace.id,
            Err(actors::EngineError::NotFound(_)) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        let own = self.caller.workspace();
        if own.is_none_or(|own| own == found) {
            Ok(found)
        } else {
            Err(unknown())
        }
    }

    /// Notes in the audit log what was done. The deed stands even if it cannot be noted, so that is only logged.
    pub(crate) async fn audit(
        &self,
        action: &str,
        resource_type: &str,
        resource_id: impl Display,
        meta: Value,
    ) {
        let entry = self.entry(action, resource_type, resource_id, meta);
        append_audit(&self.engine, &entry).await;
    }

    /// What the audit log says of what this call does.
    pub(crate) fn entry(
        &self,
        action: &str,
        resource_type: &str,
        resource_id: impl Display,
        meta: Value,
    ) -> AuditEntry {
        AuditEntry {
            tenant: self.tenant(),
            at: self.engine.clock().now(),
            actor: self.caller.key().id.to_string(),
            action: action.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: resource_id.to_string(),
            meta,
            ip: Some(self.caller.context().client_ip()),
            user_agent: user_agent(&self.request),
        }
    }
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Call, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Authorized::from_request(request, payload);
        let engine = request.app_data::<web::Data<Engine>>().cloned();
        let request = request.clone();
        Box::pin(async move {
            let engine = engine.ok_or_else(|| Problem::internal(&"a server without an engine"))?;
            let caller = caller.await?;
            Ok(Call {
                caller,
                engine,
                request,
            })
        })
    }
}

/// Writes an entry, and says so where it cannot be written.
pub(crate) async fn append_audit(engine: &Engine, entry: &AuditEntry) {
    if let Err(error) = engine.control().append_audit(entry).await {
        tracing::error!(
            tenant.id = %entry.tenant,
            "{} of {} by {} was done, but not noted in the audit log: {error}",
            entry.action,
            entry.resource_id,
            entry.actor
        );
    }
}

/// What the client calls itself, shortened.
pub(super) fn user_agent(request: &HttpRequest) -> Option<String> {
    let text = request.headers().get(USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(USER_AGENT_LENGTH_MAX).collect())
}
