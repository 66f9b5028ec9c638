//! Tenants: who the customers are, where their logs live, and on which plan.
//!
//! For the operator and for the engine's own start-up; what a tenant's keys may see is decided before it comes here.

use domain::{
    ids::TenantId,
    key::{KeyHash, KeyRecord},
    plan::PlanName,
    region::Region,
    time::Timestamp,
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{
    Control,
    columns::{after, flag, json, number, parsed, text, time, to_json},
    failure::Outcome as _,
    keys,
    workspaces::{self, NewWorkspace},
};
use crate::StoreError;

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// What its keys begin with; unique, never changes.
    pub slug: String,
    /// What it has paid for.
    pub plan: PlanName,
    /// Where its log lives; never changes.
    pub region: Region,
    /// Where copies of its log live by its own wish.
    pub replicate_to: Vec<Region>,
    /// Its key for secrets at rest, wrapped by the master key.
    pub wrapped_key: String,
    /// Whether all its keys are refused.
    pub suspended: bool,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A customer to be.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// Its id, fresh.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// What its keys begin with.
    pub slug: String,
    /// What it has paid for.
    pub plan: PlanName,
    /// Where its log lives.
    pub region: Region,
    /// Where copies of its log live.
    pub replicate_to: Vec<Region>,
    /// Its key for secrets at rest, wrapped by the master key.
    pub wrapped_key: String,
    /// Now.
    pub created_at: Timestamp,
}

/// What changes of a tenant; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct TenantChange {
    /// What people call it.
    pub name: Option<String>,
    /// What it has paid for.
    pub plan: Option<PlanName>,
    /// Whether all its keys are refused.
    pub suspended: Option<bool>,
}

macro_rules! columns {
    () => {
        "id, name, slug, plan, region, replicate_to, wrapped_key, suspended, version, created_at"
    };
}

const INSERT: &str = concat!(
    "
    INSERT INTO tenants (",
    columns!(),
    ")
    VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 1, $8)"
);

const BY_ID: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   tenants
    WHERE  id = $1"
);

const BY_SLUG: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   tenants
    WHERE  slug = $1"
);

const LIST: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   tenants
    WHERE  id > $1
    ORDER BY id
    LIMIT  $2"
);

const OF_REGION: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   tenants
    WHERE  region = $1
    ORDER BY id
    LIMIT  1"
);

const UPDATE: &str = concat!(
    "
    UPDATE tenants
    SET    name = COALESCE($2, name),
           plan = COALESCE($3, plan),
           suspended = COALESCE($4, suspended),
           version = version + 1
    WHERE  id = $1
    AND    version = COALESCE($5, version)
    RETURNING ",
    columns!()
);

impl Control {
    /// Makes a tenant with its default workspace and, if given, its first key: all or nothing.
    ///
    /// [`StoreError::Conflict`] if the slug is taken.
    pub async fn create_tenant(
        &self,
        new: NewTenant,
        default_workspace: NewWorkspace,
        first_key: Option<(KeyRecord, KeyHash)>,
    ) -> Result<Tenant, StoreError> {
        let tenant = Tenant::from(new);
        let workspace = default_workspace.of(tenant.id);
        let make = async {
            let mut transaction = self.database.begin().await?;
            insert(&mut transaction, &tenant).await?;
            workspaces::insert(&mut transaction, &workspace).await?;
            if let Some((key, hash)) = first_key {
                keys::insert(&mut transaction, tenant.id, &key, &hash).await?;
            }
            transaction.commit().await.or_fail()
        };
        self.database.patiently(make).await?;
        Ok(tenant)
    }

    /// The tenant with this id.
    pub async fn tenant(&self, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
        sqlx::query(BY_ID)
            .bind(tenant.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// The tenant with this slug.
    pub async fn tenant_by_slug(&self, slug: &str) -> Result<Option<Tenant>, StoreError> {
        sqlx::query(BY_SLUG)
            .bind(slug)
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// One page of all tenants, oldest first: those after `after`, at most `limit`.
    pub async fn tenants(
        &self,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Vec<Tenant>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(self::after(after))
            .bind(i64::from(limit))
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        rows.iter().map(from_row).collect()
    }

    /// Some tenant of a region, if there is one.
    pub async fn a_tenant_of(&self, region: Region) -> Result<Option<Tenant>, StoreError> {
        sqlx::query(OF_REGION)
            .bind(region.name())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// Changes a tenant and answers what it is now. With `if_version`, only if that is its present version.
    pub async fn update_tenant(
        &self,
        tenant: TenantId,
        change: TenantChange,
        if_version: Option<i64>,
    ) -> Result<Tenant, StoreError> {
        let row = sqlx::query(UPDATE)
            .bind(tenant.to_string())
            .bind(change.name)
            .bind(change.plan.map(PlanName::name))
            .bind(change.suspended.map(i64::from))
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        match row {
            Some(row) => from_row(&row),
            None => match self.tenant(tenant).await? {
                Some(_) => Err(StoreError::VersionMismatch),
                None => Err(StoreError::NotFound("tenant")),
            },
        }
    }
}

impl From<NewTenant> for Tenant {
    fn from(new: NewTenant) -> Tenant {
        Tenant {
            id: new.id,
            name: new.name,
            slug: new.slug,
            plan: new.plan,
            region: new.region,
            replicate_to: new.replicate_to,
            wrapped_key: new.wrapped_key,
            suspended: false,
            version: 1,
            created_at: new.created_at,
        }
    }
}

async fn insert(on: &mut AnyConnection, tenant: &Tenant) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(tenant.id.to_string())
        .bind(tenant.name.as_str())
        .bind(tenant.slug.as_str())
        .bind(tenant.plan.name())
        .bind(tenant.region.name())
        .bind(to_json(&tenant.replicate_to))
        .bind(tenant.wrapped_key.as_str())
        .bind(tenant.created_at.micros())
        .execute(on)
        .await
        .or_taken(|| format!("the slug {} is taken", tenant.slug))?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: parsed(row, "id")?,
        name: text(row, "name")?,
        slug: text(row, "slug")?,
        plan: parsed(row, "plan")?,
        region: parsed(row, "region")?,
        replicate_to: json(row, "replicate_to")?,
        wrapped_key: text(row, "wrapped_key")?,
        suspended: flag(row, "suspended")?,
        version: number(row, "version")?,
        created_at: time(row, "created_at")?,
    })
}
