//! `/v1/devices`: made, shown, changed, deleted, disconnected; what else is done with one stands in the files beside.
//!
//! A key of a workspace sees the devices of its workspace only. Where a device's session lives is the engine's to find:
//! every node answers every call.

mod commands;
mod credentials;
mod events;
mod groups;
mod history;
mod input;
mod messages;
mod outgoing;
mod privacy;
pub(super) mod session;
mod shown;
mod shown_message;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::ETAG},
};
use actors::engine::{DeviceUpdate, EngineError};
use bytes::Bytes;
use domain::{
    device::{DeviceInput, DevicePatch, DeviceState},
    ids::DeviceId,
    permission::Permission,
};
use serde_json::{Value, json};
use store::control::{AuditEntry, Device};

use super::{
    body::RawBody,
    call::{Answer, Call},
    envelope::{self, ListBody},
    etag::{IfMatch, etag},
    idempotency::IdempotencyKey,
    listing,
    members::Members,
    problem::Problem,
    webhooks::refused,
};
use shown::ShownDevice;

pub(crate) use credentials::{get as get_credentials, put as put_credentials};
pub(crate) use events::list as list_events;
pub(crate) use groups::{
    add as add_participants, create as create_group, get as get_group,
    remove as remove_participants,
};
pub(crate) use history::sync as sync_history;
pub(crate) use messages::{MESSAGE_BYTES_MAX, list as list_messages, send as send_message};
pub(crate) use privacy::{get as get_privacy, set as set_privacy};

/// The name of the list in cursors.
const LIST: &str = "devices";

/// `POST /v1/devices`
pub(crate) async fn create(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    call.once(&key, &body.0, make(&call, &body.0)).await
}

async fn make(call: &Call, body: &Bytes) -> Answer {
    let input = DeviceInput::parse(body).map_err(refused)?;
    let (tenant, workspace) = (call.caller().tenant_record(), call.caller().workspace());
    let device = call
        .engine()
        .create_device(tenant, workspace, input)
        .await?;
    note(call, "device.created", &device).await;
    answer(StatusCode::CREATED, &device, None)
}

/// `GET /v1/devices`
pub(crate) async fn list(call: Call) -> Answer {
    require_sight(&call)?;
    let page = call.page()?;
    let after = page.after_as::<DeviceId>(LIST)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let devices = call
        .engine()
        .devices(tenant, workspace, after, listing::wanted(&page))
        .await?;
    let push = |list: &mut ListBody, device: &Device| {
        list.push(&ShownDevice::new(device))?;
        Ok(device.id)
    };
    listing::answer(call.request(), &page, LIST, &devices, push)
}

/// `GET /v1/devices/{id}`
pub(crate) async fn get(call: Call) -> Answer {
    require_sight(&call)?;
    let device = find(&call).await?;
    let qr = qr(&call, &device).await;
    answer(StatusCode::OK, &device, qr.as_deref())
}

/// What somebody has to scan to pair the device: for those only who may pair it.
async fn qr(call: &Call, device: &Device) -> Option<Box<str>> {
    let may_pair = [Permission::DevicesManage, Permission::DevicesConnect];
    let is_allowed = may_pair.into_iter().any(|may| call.require(may).is_ok());
    if device.state != DeviceState::Pairing || !is_allowed {
        return None;
    }
    call.engine().device_qr(call.tenant(), device.id).await
}

/// `PATCH /v1/devices/{id}`: what is left out stays. A device that moves to another workspace connects again; if telling it fails,
/// it has moved none the less, and the same call tells it.
pub(crate) async fn update(call: Call, if_match: IfMatch, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    let patch = DevicePatch::parse(&body.0).map_err(refused)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let names_workspace = patch.workspace.is_some();
    let id = id(&call)?;
    let entry = call.entry("device.updated", "device", id, Value::Null);
    let note = |device: &Device| AuditEntry {
        meta: meta(device),
        ..entry.clone()
    };
    let update = DeviceUpdate {
        patch,
        if_version: if_match.0,
        note: &note,
    };
    let changed = call.engine().update_device(tenant, workspace, id, update);
    let device = changed.await?.device;
    if names_workspace {
        call.engine().leave_workspace(tenant, id).await?;
    }
    answer(StatusCode::OK, &device, None)
}

/// `DELETE /v1/devices/{id}`: its session ends, and what is kept for its connector is forgotten. Its events stay. If that
/// fails, the device is gone none the less, and the same call finishes it.
pub(crate) async fn delete(call: Call, if_match: IfMatch) -> Answer {
    call.require(Permission::DevicesManage)?;
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    let id = id(&call)?;
    let gone = call
        .engine()
        .delete_device(tenant, workspace, id, if_match.0)
        .await?;
    call.audit("device.deleted", "device", id, json!({})).await;
    call.engine().forget_device(&gone).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/devices/{id}/disconnect`: ends the session, if there is one.
pub(crate) async fn disconnect(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    Members::parse(&body.0, &[])?.end()?;
    let work = async {
        let device = find(&call).await?;
        let ended = call.engine().disconnect_device(call.tenant(), device.id);
        let ended = ended.await;
        if let Some(meta) = meta_of_end(&ended) {
            call.audit("device.disconnected", "device", device.id, meta)
                .await;
        }
        let was_connected = ended?;
        envelope::one(StatusCode::OK, &json!({ "disconnected": was_connected }))
    };
    call.once(&key, &body.0, work).await
}

/// The device that the path names, if the key sees it.
async fn find(call: &Call) -> Result<Device, Problem> {
    let (tenant, workspace) = (call.tenant(), call.caller().workspace());
    Ok(call.engine().device(tenant, workspace, id(call)?).await?)
}

fn id(call: &Call) -> Result<DeviceId, Problem> {
    call.named("id", "device")
}

/// Whoever may handle devices may see them.
fn require_sight(call: &Call) -> Result<(), Problem> {
    let seen = call.require(Permission::DevicesRead);
    seen.or_else(|lacking| {
        call.require(Permission::DevicesManage)
            .map_err(|_the_larger_one| lacking)
    })
}

/// Notes what was done to a device.
async fn note(call: &Call, action: &str, device: &Device) {
    call.audit(action, "device", device.id, meta(device)).await;
}

/// What is noted of a device. Not its settings, which are its connector's and may hold secrets.
fn meta(device: &Device) -> Value {
    json!({
        "name": device.name,
        "connector": device.connector,
        "workspace": device.workspace,
    })
}

/// What is noted of a session that was to end, unless surely nobody was told so: whoever is told ends it, also when nobody
/// hears in time what became of it.
fn meta_of_end(ended: &Result<bool, EngineError>) -> Option<Value> {
    match ended {
        Ok(was_connected) => Some(json!({ "was_connected": was_connected })),
        Err(EngineError::NotFound(_) | EngineError::Overloaded(_)) => None,
        Err(_in_doubt) => Some(json!({ "was_connected": null })),
    }
}

/// Answers a device with its version.
fn answer(status: StatusCode, device: &Device, qr: Option<&str>) -> Answer {
    let shown = ShownDevice::with_qr(device, qr);
    let mut response = envelope::one(status, &shown)?;
    response.headers_mut().insert(ETAG, etag(device.version));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use actors::registry::AskError;

    use super::*;

    #[test]
    fn an_end_that_nobody_confirmed_is_noted_unless_nobody_was_told() {
        let unwritten = EngineError::Unavailable("it is not written yet".into());
        let noted = [
            (Ok(true), Some(json!(true))),
            (Ok(false), Some(json!(false))),
            (Err(unwritten), Some(Value::Null)),
            (Err(EngineError::StorageFull), Some(Value::Null)),
            (Err(EngineError::NotFound("device")), None),
            (Err(EngineError::Overloaded(AskError::Full)), None),
        ];
        for (ended, was_connected) in noted {
            let wanted = was_connected.map(|known| json!({ "was_connected": known }));
            assert_eq!(meta_of_end(&ended), wanted, "{ended:?}");
        }
    }
}
