//! Commands to a device's gateway: sent, waited for, noted, answered.
//!
//! What a command says is made by the file of its resource. A command whose outcome is not known may have been carried out,
//! so it is noted as one that was.

use std::time::Duration;

use actix_web::{http::StatusCode, web};
use actors::engine::CommandError;
use bytes::Bytes;
use domain::{device::CommandName, ids::DeviceId};
use serde_json::{Value, json};

use crate::config::Settings;
use crate::http::{
    call::{Answer, Call},
    envelope,
    problem::{Code, Problem},
};

/// A command that is noted in the audit log.
#[derive(Debug)]
pub(super) struct Deed {
    /// What the audit log calls it, such as `group.created`.
    pub(super) action: &'static str,
    /// What else it says: never what a message holds, and of people only how many.
    pub(super) meta: Value,
}

/// How long a gateway may take.
pub(super) fn within(call: &Call) -> Result<Duration, Problem> {
    let settings = call.request().app_data::<web::Data<Settings>>();
    let settings = settings.ok_or_else(|| Problem::internal(&"a server without settings"))?;
    Ok(settings.devices.command_timeout())
}

/// Has a command carried out and answers what the gateway said.
pub(super) async fn run(
    call: &Call,
    device: DeviceId,
    (name, args): (CommandName, &Value),
    status: StatusCode,
    deed: Option<Deed>,
) -> Answer {
    let within = within(call)?;
    let args = Bytes::from(args.to_string());
    let outcome = call
        .engine()
        .command(call.tenant(), device, name, args, within)
        .await;
    if let Some(deed) = deed {
        note(call, device, deed, outcome.as_ref().err()).await;
    }
    Ok(envelope::one_raw(status, &outcome?))
}

/// Notes what a gateway was told, unless it surely never was.
pub(super) async fn note(call: &Call, device: DeviceId, deed: Deed, failed: Option<&CommandError>) {
    let outcome = match failed {
        None => "done",
        Some(CommandError::TimedOut | CommandError::Ended) => Code::DeviceTimeout.name(),
        Some(CommandError::Refused { .. }) => Code::DeviceRefused.name(),
        // Whether it was told before the engine failed nobody knows.
        Some(CommandError::Engine(_)) => "unknown",
        Some(CommandError::NotFound | CommandError::Offline | CommandError::Busy) => return,
    };
    let mut meta = deed.meta;
    meta["outcome"] = json!(outcome);
    call.audit(deed.action, "device", device, meta).await;
}
