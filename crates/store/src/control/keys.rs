//! API keys: found by their hash at the start of every request, listed, changed, rotated and ended.
//!
//! Whether a key that was found may be used is [`KeyRecord::check`]'s to say: ended keys are found too.

use domain::{
    ids::{KeyId, TenantId, WorkspaceId},
    key::{KeyHash, KeyRecord},
    time::Timestamp,
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{
    Control,
    columns::{
        after, corrupt, json, maybe_parsed, maybe_time, number, parsed, text, time, to_json,
    },
    failure::{Failed, Outcome as _},
    tenants::Tenant,
};
use crate::StoreError;

/// Keys whose use is written down in one transaction.
const TOUCHED_AT_ONCE: usize = 256;

macro_rules! columns {
    () => {
        "id, tenant, workspace, name, prefix, permissions, tier, ip_allow, expires_at, revoked_at, grace_until, \
         last_used_at, version, created_at"
    };
}

const INSERT: &str = "
    INSERT INTO api_keys (id, tenant, workspace, name, key_hash, prefix, permissions, tier, ip_allow, expires_at,
                          revoked_at, grace_until, last_used_at, version, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

const BY_HASH: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   api_keys
    WHERE  key_hash = $1"
);

const BY_ID: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   api_keys
    WHERE  tenant = $1
    AND    id = $2"
);

const LIST: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   api_keys
    WHERE  tenant = $1
    AND    id > $2
    AND    ($3 IS NULL OR workspace = $3)
    ORDER BY id
    LIMIT  $4"
);

const UPDATE: &str = concat!(
    "
    UPDATE api_keys
    SET    name = $3,
           permissions = $4,
           tier = $5,
           ip_allow = $6,
           expires_at = $7,
           version = version + 1
    WHERE  tenant = $1
    AND    id = $2
    AND    version = COALESCE($8, version)
    RETURNING ",
    columns!()
);

const REVOKE: &str = concat!(
    "
    UPDATE api_keys
    SET    revoked_at = COALESCE(revoked_at, $3),
           version = version + 1
    WHERE  tenant = $1
    AND    id = $2
    AND    version = COALESCE($4, version)
    RETURNING ",
    columns!()
);

const BEGIN_GRACE: &str = concat!(
    "
    UPDATE api_keys
    SET    grace_until = $3,
           version = version + 1
    WHERE  tenant = $1
    AND    id = $2
    AND    revoked_at IS NULL
    AND    grace_until IS NULL
    RETURNING ",
    columns!()
);

const TOUCH: &str = "
    UPDATE api_keys
    SET    last_used_at = $2
    WHERE  id = $1
    AND    (last_used_at IS NULL OR last_used_at < $2)";

impl Control {
    /// Adds a key. [`StoreError::NotFound`] if its workspace is not the tenant's.
    pub async fn insert_key(
        &self,
        tenant: TenantId,
        key: &KeyRecord,
        hash: &KeyHash,
    ) -> Result<(), StoreError> {
        let add = async {
            let mut transaction = self.database.begin().await?;
            insert(&mut transaction, tenant, key, hash).await?;
            transaction.commit().await.or_fail()
        };
        self.database.patiently(add).await
    }

    /// Finds a key and its tenant by the key's hash: the start of every request, before any tenant is known.
    ///
    /// The look-up need not take constant time: what is compared is a keyed hash, which a caller cannot steer.
    pub async fn key_by_hash(
        &self,
        hash: &KeyHash,
    ) -> Result<Option<(KeyRecord, Tenant)>, StoreError> {
        let row = sqlx::query(BY_HASH)
            .bind(hash.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        let Some(row) = row else { return Ok(None) };
        let key = from_row(&row)?;
        let tenant = self.tenant(key.tenant).await?;
        let tenant = tenant.ok_or_else(|| corrupt("tenant"))?;
        Ok(Some((key, tenant)))
    }

    /// One page of the tenant's keys, oldest first, ended ones too: those after `after`, at most `limit`. With
    /// `workspace`, those that are confined to it.
    pub async fn keys(
        &self,
        tenant: TenantId,
        workspace: Option<WorkspaceId>,
        after: Option<KeyId>,
        limit: u32,
    ) -> Result<Vec<KeyRecord>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(tenant.to_string())
            .bind(self::after(after))
            .bind(workspace.map(|workspace| workspace.to_string()))
            .bind(i64::from(limit))
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        rows.iter().map(from_row).collect()
    }

    /// The tenant's key with this id.
    pub async fn key(&self, tenant: TenantId, key: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        sqlx::query(BY_ID)
            .bind(tenant.to_string())
            .bind(key.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// Changes a key's name, permissions, tier, addresses and expiry to what `changed` says, and answers what it is
    /// now. With `if_version`, only if that is its present version; whoever changes what it has read passes that.
    pub async fn update_key(
        &self,
        tenant: TenantId,
        changed: &KeyRecord,
        if_version: Option<i64>,
    ) -> Result<KeyRecord, StoreError> {
        let row = sqlx::query(UPDATE)
            .bind(tenant.to_string())
            .bind(changed.id.to_string())
            .bind(changed.name.as_str())
            .bind(to_json(&changed.permissions))
            .bind(changed.tier.to_string())
            .bind(to_json(&changed.ip_allow))
            .bind(changed.expires_at.map(Timestamp::micros))
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        self.changed_key(tenant, changed.id, row).await
    }

    /// Ends a key at `at` and answers what it is now. One that was ended before stays ended since then.
    pub async fn revoke_key(
        &self,
        tenant: TenantId,
        key: KeyId,
        at: Timestamp,
        if_version: Option<i64>,
    ) -> Result<KeyRecord, StoreError> {
        let row = sqlx::query(REVOKE)
            .bind(tenant.to_string())
            .bind(key.to_string())
            .bind(at.micros())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        self.changed_key(tenant, key, row).await
    }

    /// Replaces a key by another: the old one ends at `grace_until`, the new one is usable at once. Both or neither.
    ///
    /// [`StoreError::Conflict`] if the old one was revoked or rotated already: of two rotations, one wins.
    pub async fn rotate_key(
        &self,
        tenant: TenantId,
        old: KeyId,
        new: &KeyRecord,
        hash: &KeyHash,
        grace_until: Timestamp,
    ) -> Result<KeyRecord, StoreError> {
        let rotate = self.replace_key(tenant, old, (new, hash), grace_until);
        self.database.patiently(rotate).await
    }

    async fn replace_key(
        &self,
        tenant: TenantId,
        old: KeyId,
        (new, hash): (&KeyRecord, &KeyHash),
        grace_until: Timestamp,
    ) -> Result<KeyRecord, StoreError> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query(BEGIN_GRACE)
            .bind(tenant.to_string())
            .bind(old.to_string())
            .bind(grace_until.micros())
            .fetch_optional(&mut *transaction)
            .await
            .or_fail()?;
        let Some(row) = row else {
            transaction.rollback().await.or_fail()?;
            return Err(match self.key(tenant, old).await? {
                Some(_) => StoreError::Conflict("the key was revoked or rotated before".to_owned()),
                None => StoreError::NotFound("key"),
            });
        };
        insert(&mut transaction, tenant, new, hash).await?;
        transaction.commit().await.or_fail()?;
        from_row(&row)
    }

    /// Writes down when keys were used last; never moves a moment back. For the engine's own upkeep, over all tenants.
    pub async fn touch_keys(&self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let mut used = used.to_vec();
        // In one order everywhere, so that two nodes that touch the same keys wait for each other once.
        used.sort_unstable();
        for chunk in used.chunks(TOUCHED_AT_ONCE) {
            self.database.again(|| self.try_to_touch(chunk)).await?;
        }
        Ok(())
    }

    async fn try_to_touch(&self, used: &[(KeyId, Timestamp)]) -> Result<(), Failed> {
        let mut transaction = self.database.begin().await?;
        for (key, used_at) in used {
            sqlx::query(TOUCH)
                .bind(key.to_string())
                .bind(used_at.micros())
                .execute(&mut *transaction)
                .await
                .or_collide()?;
        }
        transaction.commit().await.or_collide()
    }

    /// What a change came to: the row as it is now, or why there is none.
    async fn changed_key(
        &self,
        tenant: TenantId,
        key: KeyId,
        row: Option<AnyRow>,
    ) -> Result<KeyRecord, StoreError> {
        match row {
            Some(row) => from_row(&row),
            None => match self.key(tenant, key).await? {
                Some(_) => Err(StoreError::VersionMismatch),
                None => Err(StoreError::NotFound("key")),
            },
        }
    }
}

/// Writes a key.
pub(super) async fn insert(
    on: &mut AnyConnection,
    tenant: TenantId,
    key: &KeyRecord,
    hash: &KeyHash,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(key.id.to_string())
        .bind(tenant.to_string())
        .bind(key.workspace.map(|workspace| workspace.to_string()))
        .bind(key.name.as_str())
        .bind(hash.to_string())
        .bind(key.prefix.as_str())
        .bind(to_json(&key.permissions))
        .bind(key.tier.to_string())
        .bind(to_json(&key.ip_allow))
        .bind(key.expires_at.map(Timestamp::micros))
        .bind(key.revoked_at.map(Timestamp::micros))
        .bind(key.grace_until.map(Timestamp::micros))
        .bind(key.last_used_at.map(Timestamp::micros))
        .bind(key.version)
        .bind(key.created_at.micros())
        .execute(on)
        .await
        .or_refused(|| "there is such a key already".to_owned(), "workspace")?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<KeyRecord, StoreError> {
    Ok(KeyRecord {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant")?,
        workspace: maybe_parsed(row, "workspace")?,
        name: text(row, "name")?,
        permissions: json(row, "permissions")?,
        tier: parsed(row, "tier")?,
        ip_allow: json(row, "ip_allow")?,
        expires_at: maybe_time(row, "expires_at")?,
        revoked_at: maybe_time(row, "revoked_at")?,
        grace_until: maybe_time(row, "grace_until")?,
        created_at: time(row, "created_at")?,
        prefix: text(row, "prefix")?,
        version: number(row, "version")?,
        last_used_at: maybe_time(row, "last_used_at")?,
    })
}
