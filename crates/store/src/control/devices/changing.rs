//! What an owner changes of a device: all of it or nothing, and it is told whether anything was another before.
//!
//! A change is noted in the audit log in its own transaction. Were it noted afterwards, one whose commit is in doubt would
//! never be: whoever repeats it finds that all is so already.
//!
//! Sessions are not told: whoever moves a device to another workspace has that to do.

use domain::{
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};
use sqlx::AnyConnection;

use super::{BY_ID, Device, from_row, locked};
use crate::{
    StoreError,
    control::{
        Control,
        audit::{self, AuditEntry},
        failure::{Failed, Outcome as _},
    },
};

/// What changes of a device; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// Where its events go from now on.
    pub workspace: Option<WorkspaceId>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// What connects it.
    pub connector: Option<String>,
    /// For the connector: one JSON object, as text.
    pub settings: Option<String>,
    /// Only if that is its present version.
    pub if_version: Option<i64>,
}

/// Says what the audit log tells of a change, given the device as it is after it.
pub type DeviceNote<'a> = dyn Fn(&Device) -> AuditEntry + Sync + 'a;

/// A device after its owner had something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedDevice {
    /// As it is now.
    pub device: Device,
    /// Whether anything of it was another before.
    pub has_changed: bool,
}

const UPDATE: &str = "
    UPDATE devices
    SET    moved_at = CASE WHEN $3 IS NULL OR workspace = $3 THEN moved_at ELSE $7 END,
           workspace = COALESCE($3, workspace),
           name = COALESCE($4, name),
           connector = COALESCE($5, connector),
           settings = COALESCE($6, settings),
           updated_at = $7,
           version = version + 1
    WHERE  tenant = $1
    AND    id = $2";

impl Control {
    /// Changes a device, notes that, and answers it as it is now. What is so already changes nothing, its version neither, and is
    /// not noted.
    pub async fn update_device(
        &self,
        tenant: TenantId,
        device: DeviceId,
        change: &DeviceChange,
        note: &DeviceNote<'_>,
        now: Timestamp,
    ) -> Result<ChangedDevice, StoreError> {
        self.database
            .again(|| self.try_to_change((tenant, device), change, note, now))
            .await
    }

    async fn try_to_change(
        &self,
        of: (TenantId, DeviceId),
        change: &DeviceChange,
        note: &DeviceNote<'_>,
        now: Timestamp,
    ) -> Result<ChangedDevice, Failed> {
        let mut transaction = self.database.begin().await?;
        let locked = locked::lock(&mut transaction, &self.database, of).await?;
        let refused = match locked.filter(|device| !device.is_leaving) {
            None => Some(StoreError::NotFound("device")),
            Some(locked)
                if change
                    .if_version
                    .is_some_and(|version| version != locked.version) =>
            {
                Some(StoreError::VersionMismatch)
            }
            Some(_) => None,
        };
        if let Some(refused) = refused {
            transaction.rollback().await.or_collide()?;
            return Err(refused.into());
        }
        let before = read(&mut transaction, of).await?;
        if change.is_so_already(&before) {
            transaction.rollback().await.or_collide()?;
            return Ok(ChangedDevice {
                device: before,
                has_changed: false,
            });
        }
        let (tenant, device) = of;
        sqlx::query(UPDATE)
            .bind(tenant.to_string())
            .bind(device.to_string())
            .bind(change.workspace.map(|workspace| workspace.to_string()))
            .bind(change.name.as_deref())
            .bind(change.connector.as_deref())
            .bind(change.settings.as_deref())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .or_dangling("workspace")?;
        let device = read(&mut transaction, of).await?;
        audit::append(&mut transaction, &note(&device)).await?;
        transaction.commit().await.or_collide()?;
        Ok(ChangedDevice {
            device,
            has_changed: true,
        })
    }
}

impl DeviceChange {
    fn is_so_already(&self, device: &Device) -> bool {
        let DeviceChange {
            workspace,
            name,
            connector,
            settings,
            if_version: _,
        } = self;
        workspace.is_none_or(|workspace| workspace == device.workspace)
            && name.as_ref().is_none_or(|name| *name == device.name)
            && connector
                .as_ref()
                .is_none_or(|connector| *connector == device.connector)
            && settings
                .as_ref()
                .is_none_or(|settings| *settings == device.settings)
    }
}

/// The device whose row is locked.
async fn read(
    on: &mut AnyConnection,
    (tenant, device): (TenantId, DeviceId),
) -> Result<Device, Failed> {
    let row = sqlx::query(BY_ID)
        .bind(tenant.to_string())
        .bind(device.to_string())
        .fetch_one(on)
        .await
        .or_collide()?;
    Ok(from_row(&row)?)
}
