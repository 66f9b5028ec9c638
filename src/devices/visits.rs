//! Notes in the audit log who connects as a device: once, and again when another key or another address does.
//!
//! When a device was connected is in its tenant's log; here it is about who did it.

use actors::{
    Engine,
    device::{Session, Transport},
    engine::{Habit, Keeper},
};
use serde_json::json;
use store::control::AuditEntry;

use super::credential::Credential;
use crate::http::call::append_audit;

/// Who opened a session.
pub(super) struct Visitor<'a> {
    /// With what.
    pub(super) credential: &'a Credential,
    /// What it calls itself, if it said so.
    pub(super) user_agent: Option<String>,
}

/// Notes that a session was opened, if somebody else opened the one before, as far as this node knows.
pub(super) async fn note(
    engine: &Engine,
    session: &Session,
    transport: Transport,
    visitor: Visitor<'_>,
) {
    let Visitor {
        credential,
        user_agent,
    } = visitor;
    let Session { tenant, device, .. } = *session;
    let by = Keeper {
        key: credential.key_id,
        ip: credential.ip,
    };
    if !engine.is_news(tenant, device, Habit::Connect, by) {
        return;
    }
    let entry = AuditEntry {
        tenant,
        at: engine.clock().now(),
        actor: credential.key_id.to_string(),
        action: "device.session_opened".to_owned(),
        resource_type: "device".to_owned(),
        resource_id: device.to_string(),
        meta: json!({ "fence": session.fence.get(), "transport": transport.as_str() }),
        ip: Some(credential.ip),
        user_agent,
    };
    append_audit(engine, &entry).await;
}
