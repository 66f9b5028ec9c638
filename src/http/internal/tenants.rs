//! `/internal/tenants`: operators make tenants, see them, change their plans and move them between nodes.

use actix_web::{
    HttpRequest,
    http::{StatusCode, header::ETAG},
    web,
};
use actors::{
    Engine,
    engine::{MadeTenant, TenantInput},
};
use domain::{ids::TenantId, plan::PlanName, region::Region, time::Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use store::control::{AuditEntry, Tenant, TenantChange};

use super::Operator;
use crate::{
    config::Settings,
    http::{
        body::RawBody,
        call::{Answer, append_audit, user_agent},
        context::RequestContext,
        envelope::{self, ListBody},
        etag::{IfMatch, etag},
        listing,
        members::Members,
        page::PageRequest,
        problem::Problem,
        slug::Slug,
    },
};

const LIST: &str = "tenants";
const NAME_LENGTH_MAX: usize = 100;
const NODE_LENGTH_MAX: usize = 255;
/// Who did it, as the audit log says.
const ACTOR: &str = "operator";

#[derive(Serialize)]
struct ShownTenant<'a> {
    id: TenantId,
    name: &'a str,
    slug: &'a str,
    plan: PlanName,
    region: Region,
    replicate_to: &'a [Region],
    suspended: bool,
    created_at: Timestamp,
    version: i64,
}

/// `POST /internal/tenants`
pub(crate) async fn create_tenant(
    _: Operator,
    request: HttpRequest,
    context: RequestContext,
    body: RawBody,
    engine: web::Data<Engine>,
    settings: web::Data<Settings>,
) -> Answer {
    let input = parse(&body.0, settings.regions.default)?;
    let made = engine.create_tenant(input).await?;
    let meta = json!({"slug": made.tenant.slug, "plan": made.tenant.plan});
    let entry = entry(
        &engine,
        made.tenant.id,
        "tenant.created",
        meta,
        (&request, &context),
    );
    append_audit(&engine, &entry).await;
    answer_made(&made)
}

/// `GET /internal/tenants`
pub(crate) async fn list_tenants(
    _: Operator,
    request: HttpRequest,
    page: PageRequest,
    engine: web::Data<Engine>,
) -> Answer {
    let after = page.after_as::<TenantId>(LIST)?;
    let tenants = engine.tenants(after, listing::wanted(&page)).await?;
    let push = |list: &mut ListBody, tenant: &Tenant| {
        list.push(&shown(tenant))?;
        Ok(tenant.id)
    };
    listing::answer(&request, &page, LIST, &tenants, push)
}

/// `GET /internal/tenants/{id}`
pub(crate) async fn tenant(
    _: Operator,
    id: web::Path<String>,
    engine: web::Data<Engine>,
) -> Answer {
    answer(&engine.tenant(tenant_id(&id)?).await?)
}

/// `PATCH /internal/tenants/{id}`
pub(crate) async fn update_tenant(
    _: Operator,
    seen: (HttpRequest, RequestContext, IfMatch),
    id: web::Path<String>,
    body: RawBody,
    engine: web::Data<Engine>,
) -> Answer {
    let (request, context, if_match) = seen;
    let id = tenant_id(&id)?;
    let mut members = Members::parse(&body.0, &["name", "plan", "suspended"])?;
    let change = TenantChange {
        name: members.text("name", NAME_LENGTH_MAX).value(),
        plan: members.parsed("plan").value(),
        suspended: members.read("suspended", "true or false").value(),
    };
    members.end()?;
    let meta = json!({"name": change.name, "plan": change.plan, "suspended": change.suspended});
    let changed = engine.update_tenant(id, change, if_match.0).await?;
    let entry = entry(&engine, id, "tenant.updated", meta, (&request, &context));
    append_audit(&engine, &entry).await;
    answer(&changed)
}

/// `POST /internal/tenants/{id}/move`: has another node work for the tenant. Any node may be asked; it answers when the tenant
/// lives there.
pub(crate) async fn move_tenant(
    _: Operator,
    seen: (HttpRequest, RequestContext),
    id: web::Path<String>,
    body: RawBody,
    engine: web::Data<Engine>,
) -> Answer {
    let id = tenant_id(&id)?;
    let mut members = Members::parse(&body.0, &["to"])?;
    let to = members.text("to", NODE_LENGTH_MAX).value();
    members.missing("to");
    members.end()?;
    let owner = engine.move_tenant(id, &to.unwrap_or_default()).await?;
    let meta = json!({"node": owner.node});
    let entry = entry(&engine, id, "tenant.moved", meta, (&seen.0, &seen.1));
    append_audit(&engine, &entry).await;
    let moved = json!({"tenant": id, "node": owner.node, "session": owner.id.to_string()});
    envelope::one(StatusCode::OK, &moved)
}

fn parse(body: &[u8], region_default: Region) -> Result<TenantInput, Problem> {
    let mut members = Members::parse(body, &["name", "slug", "plan", "region"])?;
    let name = members.text("name", NAME_LENGTH_MAX).value();
    let slug = members.parsed::<Slug>("slug").value();
    members.missing("slug");
    let plan = members.parsed("plan").or(PlanName::Free);
    let region = members.parsed("region").or(region_default);
    members.end()?;
    let slug = slug.map(String::from).unwrap_or_default();
    Ok(TenantInput {
        name: name.unwrap_or_else(|| slug.clone()),
        slug,
        plan,
        region,
    })
}

fn tenant_id(text: &str) -> Result<TenantId, Problem> {
    text.parse().map_err(|_no_id| Problem::not_found("tenant"))
}

fn shown(tenant: &Tenant) -> ShownTenant<'_> {
    ShownTenant {
        id: tenant.id,
        name: &tenant.name,
        slug: &tenant.slug,
        plan: tenant.plan,
        region: tenant.region,
        replicate_to: &tenant.replicate_to,
        suspended: tenant.suspended,
        created_at: tenant.created_at,
        version: tenant.version,
    }
}

fn answer(tenant: &Tenant) -> Answer {
    let mut response = envelope::one(StatusCode::OK, &shown(tenant))?;
    response.headers_mut().insert(ETAG, etag(tenant.version));
    Ok(response)
}

/// A new tenant with what is needed to use it. The key is shown this once.
pub(in crate::http) fn answer_made(made: &MadeTenant) -> Answer {
    let key = &made.key.record;
    envelope::one(
        StatusCode::CREATED,
        &json!({
            "tenant": shown(&made.tenant),
            "workspace": {"id": made.workspace, "slug": "default"},
            "key": {
                "id": key.id,
                "key": made.key.secret.reveal(),
                "prefix": key.prefix,
                "permissions": key.permissions,
            },
        }),
    )
}

fn entry(
    engine: &Engine,
    tenant: TenantId,
    action: &str,
    meta: Value,
    (request, context): (&HttpRequest, &RequestContext),
) -> AuditEntry {
    AuditEntry {
        tenant,
        at: engine.clock().now(),
        actor: ACTOR.to_owned(),
        action: action.to_owned(),
        resource_type: "tenant".to_owned(),
        resource_id: tenant.to_string(),
        meta,
        ip: Some(context.client_ip()),
        user_agent: user_agent(request),
    }
}
