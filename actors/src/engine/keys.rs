//! API keys: made, changed, rotated, revoked. The text of a key is shown once and never kept.

use std::time::Duration;

use domain::{
    ids::{KeyId, TenantId, WorkspaceId},
    key::{ApiKey, KeyRecord},
    permission::Permissions,
    plan::Tier,
    time::Timestamp,
};
use ipnet::IpNet;
use rand::RngExt as _;
use store::control::Tenant;
use uuid::Uuid;

use super::{Engine, EngineError};
use crate::placement::changes::SharedChange;

/// The longest time for which a rotated key goes on being of use.
pub const GRACE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a key is made from, or changed to.
#[derive(Clone, Debug)]
pub struct KeyInput {
    /// What people call it.
    pub name: String,
    /// The workspace that it is confined to.
    pub workspace: Option<WorkspaceId>,
    /// What it may do.
    pub permissions: Permissions,
    /// Requests a minute.
    pub tier: Tier,
    /// From where it may be used; from everywhere if empty.
    pub ip_allow: Vec<IpNet>,
    /// Until when.
    pub expires_at: Option<Timestamp>,
}

/// A new key, with the text that is shown this once.
#[derive(Debug)]
pub struct MadeKey {
    /// What is kept.
    pub record: KeyRecord,
    /// What the caller must keep.
    pub secret: ApiKey,
}

impl Engine {
    /// Makes a key's record and text; stores nothing.
    pub(super) fn draft_key(
        &self,
        tenant: TenantId,
        slug: &str,
        input: KeyInput,
    ) -> Result<MadeKey, EngineError> {
        let mut random = [0_u8; 32];
        (self.inner.random)().fill(&mut random);
        let secret = ApiKey::make(slug, &random)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        let record = KeyRecord {
            id: KeyId::from_uuid(self.fresh_uuid()),
            tenant,
            workspace: input.workspace,
            name: input.name,
            permissions: input.permissions,
            tier: input.tier,
            ip_allow: input.ip_allow,
            expires_at: input.expires_at,
            revoked_at: None,
            grace_until: None,
            created_at: self.inner.clock.now(),
            prefix: secret.prefix().to_owned(),
            version: 1,
            last_used_at: None,
        };
        Ok(MadeKey { record, secret })
    }

    /// A fresh `UUIDv7` by our own clock and randomness.
    pub(super) fn fresh_uuid(&self) -> Uuid {
        let mut random = [0_u8; 10];
        (self.inner.random)().fill(&mut random);
        uuid::Builder::from_unix_timestamp_millis(self.inner.clock.now().unix_millis(), &random)
            .into_uuid()
    }

    /// Makes a key.
    pub async fn create_key(
        &self,
        tenant: &Tenant,
        input: KeyInput,
    ) -> Result<MadeKey, EngineError> {
        if let Some(workspace) = input.workspace {
            self.workspace(tenant.id, workspace).await?;
        }
        let made = self.draft_key(tenant.id, &tenant.slug, input)?;
        let hash = self.inner.auth.hash(made.secret.reveal());
        self.inner
            .control
            .insert_key(tenant.id, &made.record, &hash)
            .await?;
        // A key that was asked for before it existed must not stay unknown.
        self.forget_keys(tenant.id);
        Ok(made)
    }

    /// One key.
    pub async fn key(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: KeyId,
    ) -> Result<KeyRecord, EngineError> {
        let found = self.inner.control.key(tenant, id).await?;
        found
            .filter(|key| confined_to.is_none() || key.workspace == confined_to)
            .ok_or(EngineError::NotFound("key"))
    }

    /// Keys in the order in which they were made.
    pub async fn keys(
        &self,
        tenant: TenantId,
        workspace: Option<WorkspaceId>,
        after: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, EngineError> {
        Ok(self
            .inner
            .control
            .keys(tenant, workspace, after, limit)
            .await?)
    }

    /// Changes what a key may do.
    pub async fn update_key(
        &self,
        tenant: TenantId,
        changed: KeyRecord,
        if_version: Option<i64>,
    ) -> Result<KeyRecord, EngineError> {
        let updated = self
            .inner
            .control
            .update_key(tenant, &changed, if_version)
            .await?;
        self.forget_keys(tenant);
        Ok(updated)
    }

    /// Ends a key now.
    pub async fn revoke_key(
        &self,
        tenant: TenantId,
        id: KeyId,
        if_version: Option<i64>,
    ) -> Result<(), EngineError> {
        let now = self.inner.clock.now();
        self.inner
            .control
            .revoke_key(tenant, id, now, if_version)
            .await?;
        self.forget_keys(tenant);
        Ok(())
    }

    /// Makes a new key with the same rights; the old one ends after `grace`.
    pub async fn rotate_key(
        &self,
        tenant: &Tenant,
        old: &KeyRecord,
        grace: Duration,
    ) -> Result<MadeKey, EngineError> {
        let input = KeyInput {
            name: old.name.clone(),
            workspace: old.workspace,
            permissions: old.permissions.clone(),
            tier: old.tier,
            ip_allow: old.ip_allow.clone(),
            expires_at: old.expires_at,
        };
        let made = self.draft_key(tenant.id, &tenant.slug, input)?;
        let hash = self.inner.auth.hash(made.secret.reveal());
        let grace_until = self.inner.clock.now().plus(grace.min(GRACE_MAX));
        self.inner
            .control
            .rotate_key(tenant.id, old.id, &made.record, &hash, grace_until)
            .await?;
        self.forget_keys(tenant.id);
        Ok(made)
    }

    /// A tenant's keys have changed: nobody may go by what is remembered of them.
    fn forget_keys(&self, tenant: TenantId) {
        self.inner.auth.forget(tenant);
        self.inner.placement.tell_change(SharedChange::Keys(tenant));
    }
}
