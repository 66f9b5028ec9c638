//! What is done to one webhook: a test, a pause, a resumption, a new secret.

use actix_web::http::StatusCode;
use actors::engine::WebhookView;
use domain::permission::Permission;
use serde_json::json;

use super::{Secrecy, answer, id, note};
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    envelope,
    health::milliseconds,
    idempotency::IdempotencyKey,
    members::Members,
    problem::Problem,
};

/// `POST /v1/webhooks/{id}/test`
pub(crate) async fn test(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    begin(&call, &body)?;
    call.once(&key, &body.0, send_test(&call)).await
}

async fn send_test(call: &Call) -> Answer {
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let outcome = call
        .engine()
        .test_webhook(tenant, workspace, id(call)?)
        .await?;
    envelope::one(
        StatusCode::OK,
        &json!({
            "event_id": outcome.event,
            "delivered": outcome.is_delivered(),
            "status": outcome.status,
            "duration_ms": milliseconds(outcome.duration),
            "error": outcome.error,
            "response": String::from_utf8_lossy(&outcome.response),
        }),
    )
}

/// `POST /v1/webhooks/{id}/pause`
pub(crate) async fn pause(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    begin(&call, &body)?;
    let work = async {
        let (tenant, workspace) = (call.tenant(), call.caller().workspace());
        let view = call
            .engine()
            .pause_webhook(tenant, workspace, id(&call)?)
            .await?;
        done(&call, "webhook.paused", &view, Secrecy::Hidden).await
    };
    call.once(&key, &body.0, work).await
}

/// `POST /v1/webhooks/{id}/resume`
pub(crate) async fn resume(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    begin(&call, &body)?;
    let work = async {
        let (tenant, workspace) = (call.tenant(), call.caller().workspace());
        let view = call
            .engine()
            .resume_webhook(tenant, workspace, id(&call)?)
            .await?;
        done(&call, "webhook.resumed", &view, Secrecy::Hidden).await
    };
    call.once(&key, &body.0, work).await
}

/// `POST /v1/webhooks/{id}/rotate-secret`
pub(crate) async fn rotate_secret(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    begin(&call, &body)?;
    let work = async {
        let (tenant, workspace) = (call.tenant(), call.caller().workspace());
        let view = call
            .engine()
            .rotate_webhook_secret(tenant, workspace, id(&call)?)
            .await?;
        done(&call, "webhook.secret_rotated", &view, Secrecy::Shown).await
    };
    call.once(&key, &body.0, work).await
}

/// These take no members.
fn begin(call: &Call, body: &RawBody) -> Result<(), Problem> {
    call.require(Permission::WebhooksManage)?;
    Members::parse(&body.0, &[])?.end()
}

async fn done(call: &Call, action: &str, view: &WebhookView, secrecy: Secrecy) -> Answer {
    note(call, action, view).await;
    answer(StatusCode::OK, view, secrecy)
}
