//! `/v1/keys`: keys are made, shown, changed, rotated and ended.
//!
//! Nobody makes or shapes a key that may do more than their own. A key's text is shown once, when it is made.

mod input;
mod reach;
mod shown;

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ETAG},
};
use actors::engine::GRACE_MAX;
use bytes::Bytes;
use domain::{ids::KeyId, key::KeyRecord, permission::Permission};
use serde_json::json;

use super::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    etag::{IfMatch, etag},
    idempotency::IdempotencyKey,
    listing,
    members::Members,
    problem::{Code, Problem},
};
use reach::Reach;
use shown::ShownKey;

/// The name of the list in cursors.
const LIST: &str = "keys";

/// `POST /v1/keys`
pub(crate) async fn create(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::KeysManage)?;
    call.once(&key, &body.0, make(&call, &body.0)).await
}

async fn make(call: &Call, body: &Bytes) -> Answer {
    let input = input::parse(call, body).await?;
    require_covered(call, Reach::from(&input))?;
    let made = call
        .engine()
        .create_key(call.caller().tenant_record(), input)
        .await?;
    let meta = json!({"name": made.record.name, "permissions": made.record.permissions});
    call.audit("key.created", "key", made.record.id, meta).await;
    answer_made(call, &made.record, made.secret.reveal(), None)
}

/// `GET /v1/keys`
pub(crate) async fn list(call: Call) -> Answer {
    call.require(Permission::KeysRead)?;
    let page = call.page()?;
    let after = page.after_as::<KeyId>(LIST)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let keys = call
        .engine()
        .keys(tenant, workspace, after, listing::wanted(&page))
        .await?;
    let now = call.engine().clock().now();
    let push = |list: &mut ListBody, key: &KeyRecord| {
        list.push(&ShownKey::new(key, now))?;
        Ok(key.id)
    };
    listing::answer(call.request(), &page, LIST, &keys, push)
}

/// `GET /v1/keys/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::KeysRead)?;
    let key = find(&call).await?;
    answer(&call, StatusCode::OK, &key)
}

/// `PATCH /v1/keys/{id}`
pub(crate) async fn update(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::KeysManage)?;
    let mut key = find(&call).await?;
    let read = key.version;
    input::merge(&body.0, &mut key, call.engine().clock().now())?;
    require_covered(&call, Reach::from(&key))?;
    let expected = if_match.0.unwrap_or(read);
    let key = call
        .engine()
        .update_key(call.tenant(), key, Some(expected))
        .await?;
    let meta = json!({"name": key.name, "permissions": key.permissions});
    call.audit("key.updated", "key", key.id, meta).await;
    answer(&call, StatusCode::OK, &key)
}

/// `DELETE /v1/keys/{id}`
pub(crate) async fn revoke(call: Call, if_match: IfMatch) -> Answer {
    call.require(Permission::KeysManage)?;
    let key = find(&call).await?;
    call.engine()
        .revoke_key(call.tenant(), key.id, if_match.0)
        .await?;
    call.audit("key.revoked", "key", key.id, json!({"name": key.name}))
        .await;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/keys/{id}/rotate`
pub(crate) async fn rotate(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::KeysManage)?;
    call.once(&key, &body.0, replace(&call, &body.0)).await
}

async fn replace(call: &Call, body: &Bytes) -> Answer {
    let old = find(call).await?;
    replace_key(call, &old, body).await
}

/// `GET /api/keys`: the key in use.
pub(crate) async fn own(call: Call) -> Answer {
    let key = own_record(&call).await?;
    answer(&call, StatusCode::OK, &key)
}

/// `POST /api/keys/rotate`: replaces the key in use. No permission is needed, because nothing is gained by it.
pub(crate) async fn rotate_own(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.once(&key, &body.0, replace_own(&call, &body.0)).await
}

async fn replace_own(call: &Call, body: &Bytes) -> Answer {
    let old = own_record(call).await?;
    replace_key(call, &old, body).await
}

/// The key in use as it is now: the caller's own record may be some seconds old.
async fn own_record(call: &Call) -> Result<KeyRecord, Problem> {
    let own = call.caller().key();
    Ok(call
        .engine()
        .key(call.tenant(), own.workspace, own.id)
        .await?)
}

async fn replace_key(call: &Call, old: &KeyRecord, body: &Bytes) -> Answer {
    let mut members = Members::parse(body, &["grace_seconds"])?;
    let grace = members
        .number("grace_seconds", 0..=GRACE_MAX.as_secs())
        .or(0);
    members.end()?;
    // Whoever rotates a key holds its successor, so this must not lead to more than the caller has.
    require_covered(call, Reach::from(old))?;
    let grace = Duration::from_secs(grace);
    let made = call
        .engine()
        .rotate_key(call.caller().tenant_record(), old, grace)
        .await?;
    let meta = json!({"successor": made.record.id, "grace_seconds": grace.as_secs()});
    call.audit("key.rotated", "key", old.id, meta).await;
    answer_made(call, &made.record, made.secret.reveal(), Some(old.id))
}

async fn find(call: &Call) -> Result<KeyRecord, Problem> {
    let id: KeyId = call.named("id", "key")?;
    Ok(call
        .engine()
        .key(call.tenant(), call.caller().workspace(), id)
        .await?)
}

/// Goes on only if the caller's own key reaches as far.
fn require_covered(call: &Call, reach: Reach<'_>) -> Result<(), Problem> {
    let own = Reach::from(call.caller().key());
    own.covers(&reach)
        .map_err(|detail| Problem::new(Code::PermissionDenied, detail))
}

fn answer(call: &Call, status: StatusCode, key: &KeyRecord) -> Answer {
    let shown = ShownKey::new(key, call.engine().clock().now());
    let mut response = envelope::one(status, &shown)?;
    response.headers_mut().insert(ETAG, etag(key.version));
    Ok(response)
}

fn answer_made(call: &Call, key: &KeyRecord, secret: &str, replaces: Option<KeyId>) -> Answer {
    let mut shown = ShownKey::new(key, call.engine().clock().now());
    shown.key = Some(secret);
    shown.replaces = replaces;
    let mut response = envelope::one(StatusCode::CREATED, &shown)?;
    response.headers_mut().insert(ETAG, etag(key.version));
    Ok(response)
}
