//! A device's row while a transaction holds it, and its lease given back with it.

use domain::{
    device::DeviceState,
    ids::{DeviceId, TenantId, WorkspaceId},
};
use sqlx::{AnyConnection, any::AnyRow};

use super::{devices_and_nodes, is_live};
use crate::{
    StoreError,
    control::{
        columns::{flag, maybe_text, number, parsed},
        database::Database,
        failure::{Failed, Outcome as _},
        leases::LeaseKey,
    },
};

const LOCK_SQLITE: &str = concat!(
    "
    SELECT devices.state, devices.fence, devices.workspace, devices.node, devices.gateway,
           devices.is_leaving, devices.version, ",
    is_live!(),
    "
    FROM   ",
    devices_and_nodes!(),
    "
    WHERE  devices.tenant = $1
    AND    devices.id = $2"
);
const LOCK_POSTGRES: &str = concat!(
    "
    SELECT devices.state, devices.fence, devices.workspace, devices.node, devices.gateway,
           devices.is_leaving, devices.version, ",
    is_live!(),
    "
    FROM   ",
    devices_and_nodes!(),
    "
    WHERE  devices.tenant = $1
    AND    devices.id = $2
    FOR UPDATE OF devices"
);

const FREE_LEASE: &str = "
    UPDATE leases
    SET    session = NULL
    WHERE  kind = $1
    AND    key = $2";

/// How a device stands once its row is locked.
pub(super) struct Locked {
    pub(super) state: DeviceState,
    pub(super) fence: u64,
    pub(super) workspace: WorkspaceId,
    pub(super) node: Option<String>,
    pub(super) gateway: Option<String>,
    pub(super) is_live: bool,
    pub(super) is_leaving: bool,
    pub(super) version: i64,
}

/// Locks a device's row and reads it; `None` if there is none.
pub(super) async fn lock(
    on: &mut AnyConnection,
    database: &Database,
    (tenant, device): (TenantId, DeviceId),
) -> Result<Option<Locked>, Failed> {
    let row = sqlx::query(database.choose(LOCK_SQLITE, LOCK_POSTGRES))
        .bind(tenant.to_string())
        .bind(device.to_string())
        .fetch_optional(on)
        .await
        .or_collide()?;
    Ok(row.map(|row| locked(&row)).transpose()?)
}

/// Frees a device's lease, whoever has it.
pub(super) async fn free(on: &mut AnyConnection, device: DeviceId) -> Result<(), Failed> {
    let key = LeaseKey::Device(device);
    sqlx::query(FREE_LEASE)
        .bind(key.kind().name())
        .bind(key.text())
        .execute(on)
        .await
        .or_collide()?;
    Ok(())
}

fn locked(row: &AnyRow) -> Result<Locked, StoreError> {
    Ok(Locked {
        state: parsed(row, "state")?,
        fence: number(row, "fence")?,
        workspace: parsed(row, "workspace")?,
        node: maybe_text(row, "node")?,
        gateway: maybe_text(row, "gateway")?,
        is_live: flag(row, "is_live")?,
        is_leaving: flag(row, "is_leaving")?,
        version: number(row, "version")?,
    })
}
