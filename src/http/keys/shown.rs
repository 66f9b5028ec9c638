//! A key as the API shows it.

use domain::{
    ids::{KeyId, WorkspaceId},
    key::KeyRecord,
    permission::Permissions,
    plan::Tier,
    time::Timestamp,
};
use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// Everything but the key itself, which is there only when it was made just now.
#[derive(Serialize)]
pub(super) struct ShownKey<'a> {
    id: KeyId,
    /// The whole key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<&'a str>,
    name: &'a str,
    scope: Scope,
    workspace: Option<WorkspaceId>,
    prefix: &'a str,
    permissions: &'a Permissions,
    tier: Tier,
    ip_allow: &'a [IpNet],
    state: &'static str,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    grace_until: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    created_at: Timestamp,
    version: i64,
    /// The key that this one came in place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<KeyId>,
}

/// The tenant, or one workspace of it.
struct Scope(Option<WorkspaceId>);

impl ShownKey<'_> {
    /// A key as it stands now.
    pub(super) fn new(key: &KeyRecord, now: Timestamp) -> ShownKey<'_> {
        ShownKey {
            id: key.id,
            key: None,
            name: &key.name,
            scope: Scope(key.workspace),
            workspace: key.workspace,
            prefix: &key.prefix,
            permissions: &key.permissions,
            tier: key.tier,
            ip_allow: &key.ip_allow,
            state: state(key, now),
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            grace_until: key.grace_until,
            last_used_at: key.last_used_at,
            created_at: key.created_at,
            version: key.version,
            replaces: None,
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => to.serialize_str("tenant"),
            Some(workspace) => to.collect_str(&workspace),
        }
    }
}

fn state(key: &KeyRecord, now: Timestamp) -> &'static str {
    let is_past = |moment: Option<Timestamp>| moment.is_some_and(|moment| now >= moment);
    if is_past(key.revoked_at) || is_past(key.grace_until) {
        "revoked"
    } else if is_past(key.expires_at) {
        "expired"
    } else if key.grace_until.is_some() {
        "rotated"
    } else {
        "active"
    }
}
