//! Calls of older systems that are more than another name of a newer one (API §10).

use actix_web::{HttpRequest, web};
use actors::{Engine, EngineError};
use bytes::Bytes;
use domain::{
    new_event::{InputError, Limits},
    permission::Permission,
    webhook::{Webhook, WebhookInput},
};
use serde_json::json;

use super::{
    auth::Authorized,
    body::RawBody,
    call::{Answer, Call},
    idempotency::IdempotencyKey,
    ingest,
    members::Members,
    problem::{Code, Problem},
    webhooks,
    workspace_names::WorkspaceNames,
};

const URL_LENGTH_MAX: usize = domain::webhook::URL_LENGTH_MAX;

/// `POST /api/events`: takes events of a tenant that has a webhook.
pub(crate) async fn send(
    request: HttpRequest,
    caller: Authorized,
    key: IdempotencyKey,
    body: RawBody,
    engine: web::Data<Engine>,
    names: web::Data<WorkspaceNames>,
    limits: web::Data<Limits>,
) -> Answer {
    caller.require(Permission::EventsWrite)?;
    if !engine.has_webhooks(caller.tenant()).await? {
        return Err(Problem::new(Code::NoWebhook, Code::NoWebhook.meaning()));
    }
    ingest::ingest(request, caller, key, body, engine, names, limits).await
}

/// `POST /api/webhook/config`: makes the tenant's first webhook, or changes where it leads.
pub(crate) async fn configure_webhook(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    call.once(&key, &body.0, configure(&call, &body.0)).await
}

async fn configure(call: &Call, body: &Bytes) -> Answer {
    let mut members = Members::parse(body, &["webhook_url"])?;
    let url = members.text("webhook_url", URL_LENGTH_MAX).value();
    members.missing("webhook_url");
    members.end()?;
    let checked = WebhookInput::parse(json!({"url": url}).to_string().as_bytes());
    let input =
        checked.map_err(|errors| webhooks::refused(errors.into_iter().map(renamed).collect()))?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let first = call.engine().webhooks(tenant, workspace, None, 1).await?;
    let Some(first) = first.first() else {
        let record = call.caller().tenant_record();
        let made = call.engine().create_webhook(record, workspace, input).await;
        let made = made.map_err(refused)?;
        webhooks::note(call, "webhook.created", &made).await;
        return webhooks::answer_made(&made);
    };
    let change = |webhook: &Webhook| {
        Ok::<_, EngineError>(WebhookInput {
            url: input.url.clone(),
            ..WebhookInput::of(webhook)
        })
    };
    let id = first.webhook.id;
    let changed = call
        .engine()
        .update_webhook(tenant, workspace, id, None, change)
        .await;
    let changed = changed.map_err(refused)?;
    webhooks::note(call, "webhook.updated", &changed).await;
    webhooks::answer_changed(&changed)
}

/// The member has another name here.
fn renamed(error: InputError) -> InputError {
    InputError {
        pointer: "/webhook_url".to_owned(),
        ..error
    }
}

fn refused(error: EngineError) -> Problem {
    if let EngineError::Invalid { pointer, detail } = &error
        && pointer == "/url"
    {
        return Problem::invalid_field("/webhook_url", detail.as_str());
    }
    error.into()
}
