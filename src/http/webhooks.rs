//! `/v1/webhooks`: made, shown, changed, deleted, and what else is done to one.
//!
//! A secret is shown once, when it is new. A key of a workspace sees the webhooks of its workspace only.

mod actions;
mod replays;
mod shown;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ETAG},
};
use actors::engine::WebhookView;
use bytes::Bytes;
use domain::{
    ids::WebhookId,
    new_event::{InputCode, InputError},
    permission::Permission,
    webhook::{Webhook, WebhookInput},
};
use serde_json::json;

use super::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    etag::{IfMatch, etag},
    idempotency::IdempotencyKey,
    listing,
    members::all_wrong,
    problem::{Code, FieldError, Problem},
};
use shown::{Secrecy, ShownWebhook};

pub(crate) use actions::{pause, resume, rotate_secret, test};
pub(super) use replays::range;
pub(crate) use replays::{get_replay, list_replays, replay};

const LIST: &str = "webhooks";

/// `POST /v1/webhooks`
pub(crate) async fn create(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    call.once(&key, &body.0, make(&call, &body.0)).await
}

async fn make(call: &Call, body: &Bytes) -> Answer {
    let input = WebhookInput::parse(body).map_err(refused)?;
    let (tenant, workspace) = (call.caller().tenant_record(), call.caller().workspace());
    let made = call
        .engine()
        .create_webhook(tenant, workspace, input)
        .await?;
    note(call, "webhook.created", &made).await;
    answer_made(&made)
}

/// `GET /v1/webhooks`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let page = call.page()?;
    let after = page.after_as::<WebhookId>(LIST)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let wanted = listing::wanted(&page);
    let views = call
        .engine()
        .webhooks(tenant, workspace, after, wanted)
        .await?;
    let push = |list: &mut ListBody, view: &WebhookView| {
        list.push(&ShownWebhook::new(view, Secrecy::Hidden))?;
        Ok(view.webhook.id)
    };
    listing::answer(call.request(), &page, LIST, &views, push)
}

/// `GET /v1/webhooks/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::WebhooksRead)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let view = call.engine().webhook(tenant, workspace, id(&call)?).await?;
    answer(StatusCode::OK, &view, Secrecy::Hidden)
}

/// `PUT /v1/webhooks/{id}`: what is left out gets its default; the secret and the state stay.
pub(crate) async fn replace(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    let input = WebhookInput::parse(&body.0).map_err(refused)?;
    change(&call, if_match, |_| Ok(input.clone())).await
}

/// `PATCH /v1/webhooks/{id}`: what is left out stays.
pub(crate) async fn update(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::WebhooksManage)?;
    let merge = |webhook: &Webhook| WebhookInput::parse_patch(&body.0, webhook).map_err(refused);
    change(&call, if_match, merge).await
}

async fn change(
    call: &Call,
    if_match: IfMatch,
    change: impl Fn(&Webhook) -> Result<WebhookInput, Problem>,
) -> Answer {
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let engine = call.engine();
    let view = engine
        .update_webhook(tenant, workspace, id(call)?, if_match.0, change)
        .await?;
    note(call, "webhook.updated", &view).await;
    answer(StatusCode::OK, &view, Secrecy::Hidden)
}

/// `DELETE /v1/webhooks/{id}`
pub(crate) async fn delete(call: Call, if_match: IfMatch) -> Answer {
    call.require(Permission::WebhooksManage)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let id = id(&call)?;
    call.engine()
        .delete_webhook(tenant, workspace, id, if_match.0)
        .await?;
    call.audit("webhook.deleted", "webhook", id, json!({}))
        .await;
    Ok(HttpResponse::NoContent().finish())
}

/// The webhook that the path names.
fn id(call: &Call) -> Result<WebhookId, Problem> {
    call.named("id", "webhook")
}

/// Notes what was done to a webhook. Neither its headers nor the query of its URL, which may hold secrets.
pub(super) async fn note(call: &Call, action: &str, view: &WebhookView) {
    let webhook = &view.webhook;
    let url = webhook.url.split('?').next().unwrap_or_default();
    let meta = json!({"url": url, "events": webhook.events, "state": view.shown_state()});
    call.audit(action, "webhook", webhook.id, meta).await;
}

/// Answers a webhook with its version.
fn answer(status: StatusCode, view: &WebhookView, secrecy: Secrecy) -> Answer {
    let mut response = envelope::one(status, &ShownWebhook::new(view, secrecy))?;
    response
        .headers_mut()
        .insert(ETAG, etag(view.webhook.version));
    Ok(response)
}

/// A webhook that was made just now, secret included.
pub(super) fn answer_made(view: &WebhookView) -> Answer {
    answer(StatusCode::CREATED, view, Secrecy::Shown)
}

/// A webhook that was changed.
pub(super) fn answer_changed(view: &WebhookView) -> Answer {
    answer(StatusCode::OK, view, Secrecy::Hidden)
}

/// What a wrong input looks like to its sender: every mistake, the first one naming the problem.
pub(super) fn refused(errors: Vec<InputError>) -> Problem {
    let code = match errors.first().map(|error| error.code) {
        Some(InputCode::MalformedJson) => Code::MalformedJson,
        Some(InputCode::UnknownField) => Code::UnknownField,
        Some(InputCode::PayloadTooLarge) => Code::PayloadTooLarge,
        Some(InputCode::InvalidField) | None => Code::InvalidField,
    };
    let mistakes = errors.into_iter().map(|error| FieldError {
        pointer: error.pointer,
        detail: error.detail,
    });
    all_wrong(code, mistakes.collect())
}
