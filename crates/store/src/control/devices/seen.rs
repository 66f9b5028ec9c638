//! When devices were last heard of: gathered by their nodes, and written down for many of them at once.

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
    time::Timestamp,
};
use sqlx::AssertSqlSafe;

use crate::{
    StoreError,
    control::{
        Control,
        columns::big,
        failure::{Failed, Outcome as _},
    },
};

/// Devices whose last sign of life is written down by one statement.
const SEEN_AT_ONCE: usize = 500;

impl Control {
    /// Writes down when devices were last heard of, for sessions that are still theirs; never moves a moment back.
    pub async fn devices_seen(
        &self,
        seen: &[(TenantId, DeviceId, Fence, Timestamp)],
    ) -> Result<(), StoreError> {
        let mut seen = seen.to_vec();
        // In one order everywhere, so that two nodes that note the same devices wait for each other once.
        seen.sort_unstable_by_key(|(_, device, fence, _)| (*device, *fence));
        seen.dedup_by(|later, kept| {
            // A statement may meet a row once: the last session's word counts, and of that the latest.
            let is_same = later.1 == kept.1;
            if is_same {
                *kept = if later.2 == kept.2 && later.3 < kept.3 {
                    *kept
                } else {
                    *later
                };
            }
            is_same
        });
        for chunk in seen.chunks(SEEN_AT_ONCE) {
            self.database.again(|| self.try_to_note(chunk)).await?;
        }
        Ok(())
    }

    async fn try_to_note(
        &self,
        seen: &[(TenantId, DeviceId, Fence, Timestamp)],
    ) -> Result<(), Failed> {
        let rows: Vec<String> = (0..seen.len())
            .map(|row| 4 * row)
            .map(|row| format!("(${}, ${}, ${}, ${})", row + 1, row + 2, row + 3, row + 4))
            .collect();
        let sql = format!(
            "UPDATE devices
             SET    last_seen_at = seen.column4
             FROM   (VALUES {}) AS seen
             WHERE  devices.id = seen.column2
             AND    devices.tenant = seen.column1
             AND    devices.fence = seen.column3
             AND    (devices.last_seen_at IS NULL OR devices.last_seen_at < seen.column4)",
            rows.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (tenant, device, fence, at) in seen {
            query = query
                .bind(tenant.to_string())
                .bind(device.to_string())
                .bind(big(fence.get()))
                .bind(at.micros());
        }
        // Kept by no connection: there would be as many statements as there are numbers of devices.
        query
            .persistent(false)
            .execute(&mut self.database.writer().await?)
            .await
            .or_collide()?;
        Ok(())
    }
}
