//! What a key is made from or changed to: the members of the bodies of `/v1/keys`.

use std::net::IpAddr;

use actors::engine::KeyInput;
use domain::{
    key::KeyRecord, new_event::WorkspaceRef, permission::Permissions, plan::Tier, time::Timestamp,
};
use ipnet::IpNet;
use serde_json::Value;

use crate::http::{
    call::Call,
    members::{Given, Members},
    problem::{Code, Problem},
};

const NAME_LENGTH_MAX: usize = 100;
const PERMISSIONS_MAX: usize = 64;
const IP_ALLOW_MAX: usize = 64;
/// What a key may do if nobody says.
const PERMISSIONS_DEFAULT: [&str; 2] = ["events:read", "events:write"];

/// Which events and things a key sees.
enum Scope {
    Tenant,
    Workspace(WorkspaceRef),
}

/// Reads the body of `POST /v1/keys`.
pub(super) async fn parse(call: &Call, body: &[u8]) -> Result<KeyInput, Problem> {
    let known = [
        "name",
        "scope",
        "permissions",
        "tier",
        "ip_allow",
        "expires_at",
    ];
    let mut members = Members::parse(body, &known)?;
    let name = members.text("name", NAME_LENGTH_MAX).value();
    members.missing("name");
    let scope = members.take("scope", scope).value();
    let permissions = match permissions(&mut members) {
        Given::Value(permissions) => permissions,
        Given::Absent | Given::Null => default_permissions(),
    };
    // A caller with a limit cannot give more than that, so its own tier is what it means.
    let tier = tier(&mut members).or(call.caller().key().tier);
    let ip_allow = ip_allow(&mut members).or(Vec::new());
    let expires_at = expires_at(&mut members, call.engine().clock().now()).value();
    members.end()?;
    let workspace = match (scope, call.caller().workspace()) {
        (None, own) => own,
        (Some(Scope::Tenant), None) => None,
        (Some(Scope::Tenant), Some(_)) => {
            let detail = "a key of a workspace makes keys of its workspace only";
            return Err(Problem::new(Code::PermissionDenied, detail));
        }
        (Some(Scope::Workspace(named)), _) => Some(call.workspace(&named, "/scope").await?),
    };
    Ok(KeyInput {
        name: name.unwrap_or_default(),
        workspace,
        permissions,
        tier,
        ip_allow,
        expires_at,
    })
}

/// Reads the body of `PATCH /v1/keys/{id}` into the key.
pub(super) fn merge(body: &[u8], key: &mut KeyRecord, now: Timestamp) -> Result<(), Problem> {
    let known = ["name", "permissions", "tier", "ip_allow", "expires_at"];
    let mut members = Members::parse(body, &known)?;
    let name = key.name.clone();
    members
        .text("name", NAME_LENGTH_MAX)
        .merge(&mut key.name, name);
    permissions(&mut members).merge(&mut key.permissions, default_permissions());
    tier(&mut members).merge(&mut key.tier, Tier::None);
    ip_allow(&mut members).merge(&mut key.ip_allow, Vec::new());
    match expires_at(&mut members, now) {
        Given::Value(at) => key.expires_at = Some(at),
        Given::Null => key.expires_at = None,
        Given::Absent => {}
    }
    members.end()
}

fn scope(value: &Value) -> Result<Scope, &'static str> {
    let text = value.as_str().unwrap_or_default();
    if text == "tenant" {
        return Ok(Scope::Tenant);
    }
    let workspace = WorkspaceRef::parse(text).map(Scope::Workspace);
    workspace.ok_or("expected \"tenant\", or the id (ws_…) or slug of a workspace")
}

fn default_permissions() -> Permissions {
    Permissions::parse_each(PERMISSIONS_DEFAULT).unwrap_or_default()
}

fn permissions(members: &mut Members) -> Given<Permissions> {
    match members.list("permissions", PERMISSIONS_MAX, str::parse) {
        Given::Absent => Given::Absent,
        Given::Null => Given::Null,
        Given::Value(grants) if grants.is_empty() => {
            members.wrong("/permissions", "expected at least one permission");
            Given::Absent
        }
        Given::Value(grants) => Given::Value(Permissions::new(grants)),
    }
}

fn tier(members: &mut Members) -> Given<Tier> {
    members.parsed("tier")
}

fn ip_allow(members: &mut Members) -> Given<Vec<IpNet>> {
    members.list("ip_allow", IP_ALLOW_MAX, |text| {
        let net = text.parse::<IpNet>().ok();
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        net.or_else(address)
            .ok_or("expected an address or a network such as 192.0.2.0/24")
    })
}

fn expires_at(members: &mut Members, now: Timestamp) -> Given<Timestamp> {
    let given = members.time("expires_at");
    if matches!(given, Given::Value(at) if at <= now) {
        members.wrong("/expires_at", "expected a time in the future");
    }
    given
}
