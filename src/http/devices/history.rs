//! `POST /v1/devices/{id}/history/sync`: asks the gateway for messages of the past, which then come as events.

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

/// `POST /v1/devices/{id}/history/sync`
pub(crate) async fn sync(call: Call, key: IdempotencyKey, body: RawBody) -> Answer {
    call.require(Permission::DevicesManage)?;
    call.once(&key, &body.0, ask(&call, &body.0)).await
}

async fn ask(call: &Call, body: &Bytes) -> Answer {
    let device = find(call).await?;
    let args = input::history(body, &device)?;
    let deed = Deed {
        action: "history.sync_requested",
        meta: json!({ "count": args["count"] }),
    };
    let command = (CommandName::HistorySync, &args);
    commands::run(call, device.id, command, StatusCode::ACCEPTED, Some(deed)).await
}
