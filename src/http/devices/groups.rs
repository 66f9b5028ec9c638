//! `/v1/devices/{id}/groups`: groups are made and shown, people come and go. The device's gateway does it.

use actix_web::http::StatusCode;
use bytes::Bytes;
use domain::{device::CommandName, permission::Permission};
use serde_json::json;
use store::control::Device;

use super::{
    commands::{self, Deed},
    find, input,
};
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    idempotency::IdempotencyKey,
    problem::Problem,
};

/// `POST /v1/devices/{id}/groups/create`
pub(crate) async fn create(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    call.once(&key, &body.0, make(&call, &body.0)).await
}

async fn make(call: &Call, body: &Bytes) -> Answer {
    let device = find(call).await?;
    let input::NewGroup {
        subject,
        participants,
    } = input::new_group(body, &device)?;
    let deed = Deed {
        action: "group.created",
        meta: json!({ "participants": participants.len() }),
    };
    let args = json!({ "subject": subject, "participants": participants });
    let command = (CommandName::GroupCreate, &args);
    commands::run(call, device.id, command, StatusCode::CREATED, Some(deed)).await
}

/// `GET /v1/devices/{id}/groups/{jid}`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::DevicesManage)?;
    let device = find(&call).await?;
    let args = json!({ "group": group(&call, &device)? });
    let command = (CommandName::GroupInfo, &args);
    commands::run(&call, device.id, command, StatusCode::OK, None).await
}

/// `POST /v1/devices/{id}/groups/{jid}/participants/add`
pub(crate) async fn add(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    let name = CommandName::GroupParticipantsAdd;
    let work = change(&call, &body.0, name, "group.participants_added");
    call.once(&key, &body.0, work).await
}

/// `POST /v1/devices/{id}/groups/{jid}/participants/remove`
pub(crate) async fn remove(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    let name = CommandName::GroupParticipantsRemove;
    let work = change(&call, &body.0, name, "group.participants_removed");
    call.once(&key, &body.0, work).await
}

async fn change(call: &Call, body: &Bytes, name: CommandName, action: &'static str) -> Answer {
    let device = find(call).await?;
    let group = group(call, &device)?;
    let participants = input::participants(body, &device)?;
    let deed = Deed {
        action,
        meta: json!({ "group": group, "participants": participants.len() }),
    };
    let args = json!({ "group": group, "participants": participants });
    commands::run(call, device.id, (name, &args), StatusCode::OK, Some(deed)).await
}

/// The group that the path names, in full.
fn group(call: &Call, device: &Device) -> Result<String, Problem> {
    let text = call.request().match_info().get("jid").unwrap_or_default();
    input::group(text, device).map_err(|_no_name| Problem::not_found("group"))
}
