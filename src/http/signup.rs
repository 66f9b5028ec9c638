//! `POST /api/keys/generate`: anybody makes a tenant with a key, where the configuration allows it.

use std::time::Duration;

use actix_web::{HttpRequest, web};
use actors::{Engine, engine::TenantInput};
use domain::plan::PlanName;
use serde_json::json;
use store::control::AuditEntry;

use super::{
    body::RawBody,
    call::{Answer, append_audit, user_agent},
    context::RequestContext,
    internal,
    limits::SignupLimits,
    members::Members,
    problem::{Code, Problem},
    slug::Slug,
};
use crate::config::Settings;

const NAME_LENGTH_MAX: usize = 100;

/// Makes a tenant of the smallest plan.
pub(crate) async fn generate(
    request: HttpRequest,
    context: RequestContext,
    body: RawBody,
    engine: web::Data<Engine>,
    settings: web::Data<Settings>,
    limits: web::Data<SignupLimits>,
) -> Answer {
    if !settings.signup.enabled {
        return Err(Problem::new(Code::NotFound, "signing up is not open here"));
    }
    let mut members = Members::parse(&body.0, &["name", "organization_name"])?;
    let name = members.text("name", NAME_LENGTH_MAX).value();
    let older_name = members.text("organization_name", NAME_LENGTH_MAX).value();
    members.end()?;
    let name = name.or(older_name).unwrap_or_else(|| "tenant".to_owned());
    // Strangers cannot know which slugs are free, and need not learn it: the moment makes theirs unique.
    let now = engine.clock().now();
    let per_hour = settings.signup.per_address_per_hour.get();
    limits
        .take(context.client_ip(), per_hour, now)
        .map_err(|wait| too_many(per_hour, wait))?;
    let slug = Slug::suggested(&name, &format!("{:x}", now.micros())).into();
    let region = settings.regions.default;
    let input = TenantInput {
        name,
        slug,
        plan: PlanName::Free,
        region,
    };
    let made = engine.create_tenant(input).await?;
    let entry = AuditEntry {
        tenant: made.tenant.id,
        at: now,
        actor: made.key.record.id.to_string(),
        action: "tenant.created".to_owned(),
        resource_type: "tenant".to_owned(),
        resource_id: made.tenant.id.to_string(),
        meta: json!({"slug": made.tenant.slug, "plan": made.tenant.plan}),
        ip: Some(context.client_ip()),
        user_agent: user_agent(&request),
    };
    append_audit(&engine, &entry).await;
    internal::answer_made(&made)
}

fn too_many(per_hour: u32, wait: Duration) -> Problem {
    let detail = format!("more than {per_hour} tenants an hour from your address");
    Problem::new(Code::RateLimited, detail).retry_after(wait)
}
