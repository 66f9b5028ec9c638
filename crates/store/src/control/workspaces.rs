//! Workspaces: the named streams of a tenant, with their retention and template.
//!
//! A deleted workspace is only hidden: its events stay, its id is never given again, and its slug is free.

use domain::{
    ids::{TenantId, WorkspaceId},
    template::Template,
    time::Timestamp,
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{
    Control,
    columns::{after, maybe_json, maybe_number, number, parsed, text, time, to_json},
    failure::Outcome as _,
};
use crate::StoreError;

/// A named stream of events within a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Whose it is.
    pub tenant: TenantId,
    /// How clients name it; unique within the tenant, never changes.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// For how long its events are kept, if not for as long as the plan says.
    pub retention_days: Option<u32>,
    /// What its events must be like.
    pub template: Option<Template>,
    /// Grows with every change, of the template too.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// A workspace to be.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// Its id, fresh.
    pub id: WorkspaceId,
    /// How clients name it.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// For how long its events are kept, if not for as long as the plan says.
    pub retention_days: Option<u32>,
    /// Now.
    pub created_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, tenant, slug, name, retention_days, template, version, created_at, updated_at"
    };
}

const INSERT: &str = "
    INSERT INTO workspaces (id, tenant, slug, name, retention_days, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const BY_ID: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   workspaces
    WHERE  tenant = $1
    AND    id = $2
    AND    deleted_at IS NULL"
);

const BY_SLUG: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   workspaces
    WHERE  tenant = $1
    AND    slug = $2
    AND    deleted_at IS NULL"
);

const LIST: &str = concat!(
    "
    SELECT ",
    columns!(),
    "
    FROM   workspaces
    WHERE  tenant = $1
    AND    id > $2
    AND    deleted_at IS NULL
    ORDER BY id
    LIMIT  $3"
);

const UPDATE: &str = concat!(
    "
    UPDATE workspaces
    SET    name = $3,
           retention_days = $4,
           version = version + 1,
           updated_at = $5
    WHERE  tenant = $1
    AND    id = $2
    AND    deleted_at IS NULL
    AND    version = COALESCE($6, version)
    RETURNING ",
    columns!()
);

const SET_TEMPLATE: &str = concat!(
    "
    UPDATE workspaces
    SET    template = $3,
           version = version + 1,
           updated_at = $4
    WHERE  tenant = $1
    AND    id = $2
    AND    deleted_at IS NULL
    AND    version = COALESCE($5, version)
    RETURNING ",
    columns!()
);

const DELETE: &str = concat!(
    "
    UPDATE workspaces
    SET    deleted_at = $3,
           version = version + 1,
           updated_at = $3
    WHERE  tenant = $1
    AND    id = $2
    AND    deleted_at IS NULL
    AND    version = COALESCE($4, version)
    RETURNING ",
    columns!()
);

impl Control {
    /// Makes a workspace. [`StoreError::Conflict`] if the tenant has one with this slug.
    pub async fn create_workspace(
        &self,
        tenant: TenantId,
        new: NewWorkspace,
    ) -> Result<Workspace, StoreError> {
        let workspace = new.of(tenant);
        let make = async {
            let mut transaction = self.database.begin().await?;
            insert(&mut transaction, &workspace).await?;
            transaction.commit().await.or_fail()
        };
        self.database.patiently(make).await?;
        Ok(workspace)
    }

    /// The tenant's workspace with this id.
    pub async fn workspace(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
    ) -> Result<Option<Workspace>, StoreError> {
        sqlx::query(BY_ID)
            .bind(tenant.to_string())
            .bind(workspace.to_string())
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// The tenant's workspace with this slug.
    pub async fn workspace_by_slug(
        &self,
        tenant: TenantId,
        slug: &str,
    ) -> Result<Option<Workspace>, StoreError> {
        sqlx::query(BY_SLUG)
            .bind(tenant.to_string())
            .bind(slug)
            .fetch_optional(&mut self.database.reader().await?)
            .await
            .or_fail()?
            .map(|row| from_row(&row))
            .transpose()
    }

    /// One page of the tenant's workspaces, oldest first: those after `after`, at most `limit`.
    pub async fn workspaces(
        &self,
        tenant: TenantId,
        after: Option<WorkspaceId>,
        limit: u32,
    ) -> Result<Vec<Workspace>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(tenant.to_string())
            .bind(self::after(after))
            .bind(i64::from(limit))
            .fetch_all(&mut self.database.reader().await?)
            .await
            .or_fail()?;
        rows.iter().map(from_row).collect()
    }

    /// Changes a workspace's name and retention and answers what it is now. With `if_version`, only if that is its
    /// present version.
    pub async fn update_workspace(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        name: &str,
        retention_days: Option<u32>,
        at: Timestamp,
        if_version: Option<i64>,
    ) -> Result<Workspace, StoreError> {
        let row = sqlx::query(UPDATE)
            .bind(tenant.to_string())
            .bind(workspace.to_string())
            .bind(name)
            .bind(retention_days.map(i64::from))
            .bind(at.micros())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        self.changed_workspace(tenant, workspace, row).await
    }

    /// Sets what a workspace's events must be like, or that they may be like anything, and answers what it is now.
    pub async fn set_template(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        template: Option<&Template>,
        at: Timestamp,
        if_version: Option<i64>,
    ) -> Result<Workspace, StoreError> {
        let row = sqlx::query(SET_TEMPLATE)
            .bind(tenant.to_string())
            .bind(workspace.to_string())
            .bind(template.map(to_json))
            .bind(at.micros())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        self.changed_workspace(tenant, workspace, row).await
    }

    /// Deletes a workspace. Its events stay.
    pub async fn delete_workspace(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        at: Timestamp,
        if_version: Option<i64>,
    ) -> Result<(), StoreError> {
        let row = sqlx::query(DELETE)
            .bind(tenant.to_string())
            .bind(workspace.to_string())
            .bind(at.micros())
            .bind(if_version)
            .fetch_optional(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        self.changed_workspace(tenant, workspace, row).await?;
        Ok(())
    }

    /// What a change came to: the row as it is now, or why there is none.
    async fn changed_workspace(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        row: Option<AnyRow>,
    ) -> Result<Workspace, StoreError> {
        match row {
            Some(row) => from_row(&row),
            None => match self.workspace(tenant, workspace).await? {
                Some(_) => Err(StoreError::VersionMismatch),
                None => Err(StoreError::NotFound("workspace")),
            },
        }
    }
}

impl NewWorkspace {
    /// The workspace that this becomes.
    pub(super) fn of(self, tenant: TenantId) -> Workspace {
        Workspace {
            id: self.id,
            tenant,
            slug: self.slug,
            name: self.name,
            retention_days: self.retention_days,
            template: None,
            version: 1,
            created_at: self.created_at,
            updated_at: self.created_at,
        }
    }
}

/// Writes a workspace that has no template yet.
pub(super) async fn insert(
    on: &mut AnyConnection,
    workspace: &Workspace,
) -> Result<(), StoreError> {
    sqlx::query(INSERT)
        .bind(workspace.id.to_string())
        .bind(workspace.tenant.to_string())
        .bind(workspace.slug.as_str())
        .bind(workspace.name.as_str())
        .bind(workspace.retention_days.map(i64::from))
        .bind(workspace.version)
        .bind(workspace.created_at.micros())
        .bind(workspace.updated_at.micros())
        .execute(on)
        .await
        .or_refused(|| format!("the slug {} is taken", workspace.slug), "tenant")?;
    Ok(())
}

fn from_row(row: &AnyRow) -> Result<Workspace, StoreError> {
    Ok(Workspace {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant")?,
        slug: text(row, "slug")?,
        name: text(row, "name")?,
        retention_days: maybe_number(row, "retention_days")?,
        template: maybe_json(row, "template")?,
        version: number(row, "version")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}
