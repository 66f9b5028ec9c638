//! `/v1/devices/{id}/privacy/settings`: who sees what of the device's owner. The device's gateway knows and changes it.

use actix_web::http::StatusCode;
use bytes::Bytes;
use domain::{device::CommandName, permission::Permission};
use serde_json::json;

use super::{
    commands::{self, Deed},
    find, input,
};
use crate::http::{
    body::RawBody,
    call::{Answer, Call},
    idempotency::IdempotencyKey,
};

/// `GET /v1/devices/{id}/privacy/settings`
pub(crate) async fn get(call: Call) -> Answer {
    call.require(Permission::DevicesManage)?;
    let device = find(&call).await?;
    let (name, args) = (CommandName::PrivacyGet, json!({}));
    commands::run(&call, device.id, (name, &args), StatusCode::OK, None).await
}

/// `POST /v1/devices/{id}/privacy/settings`: what is left out stays.
pub(crate) async fn set(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    call.once(&key, &body.0, change(&call, &body.0)).await
}

async fn change(call: &Call, body: &Bytes) -> Answer {
    let device = find(call).await?;
    let args = json!(input::privacy(body)?);
    let deed = Deed {
        action: "privacy.settings.updated",
        meta: json!({ "settings": args }),
    };
    let command = (CommandName::PrivacySet, &args);
    commands::run(call, device.id, command, StatusCode::OK, Some(deed)).await
}
