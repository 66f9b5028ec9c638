//! How a device goes: it is marked first, then whatever its region keeps of it is forgotten, and its row goes last.
//!
//! From the mark on it opens no session and is shown to nobody. Whoever is interrupted on the way leaves a row behind by which
//! somebody else finishes the work. What the region does is the caller's business.

use domain::ids::{DeviceId, TenantId};

use super::{BY_ID, Device, from_row, locked};
use crate::{
    StoreError,
    control::{
        Control,
        columns::{self, parsed},
        failure::{Failed, Outcome as _},
    },
};

const MARK: &str = "
    UPDATE devices
    SET    is_leaving = 1
    WHERE  tenant = $1
    AND    id = $2";

const DELETE: &str = "
    DELETE FROM devices
    WHERE  tenant = $1
    AND    id = $2
    AND    is_leaving = 1";

const LEAVING: &str = "
    SELECT tenant, id
    FROM   devices
    WHERE  is_leaving = 1
    AND    id > $1
    ORDER BY id
    LIMIT  $2";

impl Control {
    /// Marks a device as leaving and answers it as it is then. One that is marked already stays so. With `if_version`, only if
    /// that is its present version.
    ///
    /// A session that was opened before has a fence that is not higher than the answer's; none is opened after.
    pub async fn mark_device_leaving(
        &self,
        tenant: TenantId,
        device: DeviceId,
        if_version: Option<i64>,
    ) -> Result<Device, StoreError> {
        self.database
            .again(|| self.try_to_mark(tenant, device, if_version))
            .await
    }

    async fn try_to_mark(
        &self,
        tenant: TenantId,
        device: DeviceId,
        if_version: Option<i64>,
    ) -> Result<Device, Failed> {
        let mut transaction = self.database.begin().await?;
        let before = locked::lock(&mut transaction, &self.database, (tenant, device)).await?;
        let refused = match before {
            None => Some(StoreError::NotFound("device")),
            Some(before) if if_version.is_some_and(|version| version != before.version) => {
                Some(StoreError::VersionMismatch)
            }
            Some(_) => None,
        };
        if let Some(refused) = refused {
            transaction.rollback().await.or_collide()?;
            return Err(refused.into());
        }
        sqlx::query(MARK)
            .bind(tenant.to_string())
            .bind(device.to_string())
            .execute(&mut *transaction)
            .await
            .or_collide()?;
        let row = sqlx::query(BY_ID)
            .bind(tenant.to_string())
            .bind(device.to_string())
            .fetch_one(&mut *transaction)
            .await
            .or_collide()?;
        transaction.commit().await.or_collide()?;
        Ok(from_row(&row)?)
    }

    /// Deletes a device that is leaving. `false` if there is none: somebody else was faster. Its lease's fence stays.
    pub async fn delete_device(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<bool, StoreError> {
        self.database
            .again(|| async {
                let mut transaction = self.database.begin().await?;
                // In the order in which everybody locks: the device, then its lease.
                let done = sqlx::query(DELETE)
                    .bind(tenant.to_string())
                    .bind(device.to_string())
                    .execute(&mut *transaction)
                    .await
                    .or_collide()?;
                if done.rows_affected() == 0 {
                    transaction.rollback().await.or_collide()?;
                    return Ok(false);
                }
                locked::free(&mut transaction, device).await?;
                transaction.commit().await.or_collide()?;
                Ok(true)
            })
            .await
    }

    /// Devices of all tenants that are leaving, by id, after this one and at most `limit`: deletions under way, and those that
    /// nobody finished.
    pub async fn leaving_devices(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<(TenantId, DeviceId)>, StoreError> {
        let list = async {
            let rows = sqlx::query(LEAVING)
                .bind(columns::after(after))
                .bind(i64::from(limit))
                .fetch_all(&mut self.database.reader().await?)
                .await
                .or_fail()?;
            rows.iter()
                .map(|row| Ok((parsed(row, "tenant")?, parsed(row, "id")?)))
                .collect()
        };
        self.database.patiently(list).await
    }
}
