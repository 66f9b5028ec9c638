//! New devices, and how many of them a tenant may have.

use domain::{
    device::DeviceState,
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};

use super::Device;
use crate::{
    StoreError,
    control::{
        Control,
        counters::bump,
        failure::{Failed, Outcome as _},
        limits::refuse_beyond,
    },
};

/// A device to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its id, fresh.
    pub id: DeviceId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where its events go.
    pub workspace: WorkspaceId,
    /// What its owner calls it.
    pub name: String,
    /// What connects it.
    pub connector: String,
    /// For the connector: one JSON object, as text.
    pub settings: String,
}

/// Those that are being deleted are nobody's any more.
const COUNT: &str = "
    SELECT COUNT(*) AS counted
    FROM   devices
    WHERE  tenant = $1
    AND    is_leaving = 0";

const INSERT: &str = "
    INSERT INTO devices (id, tenant, workspace, name, connector, settings, state, fence, version, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 1, $8, $8)";

impl Control {
    /// Adds a device, offline, and answers it.
    ///
    /// [`StoreError::LimitReached`] if the tenant has `max` already: of many at once, no more than fit get in.
    /// [`StoreError::NotFound`] if its workspace is not the tenant's.
    pub async fn create_device(
        &self,
        device: &NewDevice,
        max: Option<u32>,
        now: Timestamp,
    ) -> Result<Device, StoreError> {
        self.database
            .again(|| self.try_to_create_device(device, max, now))
            .await
    }

    async fn try_to_create_device(
        &self,
        device: &NewDevice,
        max: Option<u32>,
        now: Timestamp,
    ) -> Result<Device, Failed> {
        let mut transaction = self.database.begin().await?;
        if let Some(max) = max {
            // Makes others wait, so that the count is still true when this transaction ends.
            bump(&mut transaction, &format!("devices.made/{}", device.tenant)).await?;
            refuse_beyond(&mut transaction, COUNT, device.tenant, ("devices", max)).await?;
        }
        let made = device.made(now);
        sqlx::query(INSERT)
            .bind(made.id.to_string())
            .bind(made.tenant.to_string())
            .bind(made.workspace.to_string())
            .bind(made.name.as_str())
            .bind(made.connector.as_str())
            .bind(made.settings.as_str())
            .bind(made.state.as_str())
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .or_refused(|| "there is such a device already".to_owned(), "workspace")?;
        transaction.commit().await.or_collide()?;
        Ok(made)
    }
}

impl NewDevice {
    /// The device that it becomes.
    fn made(&self, now: Timestamp) -> Device {
        Device {
            id: self.id,
            tenant: self.tenant,
            workspace: self.workspace,
            name: self.name.clone(),
            connector: self.connector.clone(),
            settings: self.settings.clone(),
            state: DeviceState::Offline,
            reason: None,
            fence: 0,
            node: None,
            session: None,
            is_live: false,
            gateway: None,
            last_seen_at: None,
            moved_at: None,
            is_leaving: false,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}
