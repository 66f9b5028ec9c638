//! Devices as their owners configured them, and where the session of each one stands.
//!
//! Metadata only: messages and credentials are kept in the tenant's region. What a session may do is in [`sessions`], what
//! an owner changes in [`changing`], how a device goes in [`leaving`].

mod changing;
mod leaving;
mod locked;
mod making;
mod seen;
mod sessions;

use domain::{
    device::DeviceState,
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};
use sqlx::any::AnyRow;

pub use self::{
    changing::{ChangedDevice, DeviceChange, DeviceNote},
    making::NewDevice,
    sessions::{Holder, OpenedDevice},
};
use super::{
    Control,
    columns::{after, flag, maybe_parsed, maybe_text, maybe_time, number, parsed, text, time},
    failure::Outcome as _,
    sessions::SessionId,
};
use crate::StoreError;

/// Something that a gateway connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
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
    /// Where its last session stands or stood. If that is not live, it says what was known last.
    pub state: DeviceState,
    /// Why it stands there, if somebody said so.
    pub reason: Option<String>,
    /// The last session's; 0 if there never was one.
    pub fence: u64,
    /// What the node of the open session calls itself.
    pub node: Option<String>,
    /// That node's own session, if it shares the control plane with others.
    pub session: Option<SessionId>,
    /// Whether a session is open, on a node that lives.
    pub is_live: bool,
    /// What the last gateway called itself.
    pub gateway: Option<String>,
    /// When anything came from it last.
    pub last_seen_at: Option<Timestamp>,
    /// When it came into its present workspace; none if it has always been there.
    pub moved_at: Option<Timestamp>,
    /// Whether somebody deletes it, and what its region keeps of it has still to go.
    pub is_leaving: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner changed it last.
    pub updated_at: Timestamp,
    /// Grows with every change that its owner makes; sessions leave it as it is.
    pub version: i64,
}

/// Whether the session that a device's row tells of is open, on a node that lives.
macro_rules! is_live {
    () => {
        "CAST(CASE WHEN devices.boot IS NULL THEN 0
                   WHEN devices.session IS NULL THEN 1
                   WHEN node_sessions.id IS NULL THEN 0
                   ELSE 1 END AS BIGINT) AS is_live"
    };
}
use is_live;

/// Devices beside the sessions of the nodes that hold theirs.
macro_rules! devices_and_nodes {
    () => {
        "devices
    LEFT JOIN node_sessions ON node_sessions.id = devices.session
                               AND node_sessions.expires_at > (SELECT now FROM database_clock)"
    };
}
use devices_and_nodes;

macro_rules! select {
    () => {
        concat!(
            "
    SELECT devices.id, devices.tenant, devices.workspace, devices.name, devices.connector, devices.settings,
           devices.state, devices.reason, devices.fence, devices.node, devices.session, devices.gateway,
           devices.last_seen_at, devices.moved_at, devices.is_leaving, devices.created_at, devices.updated_at,
           devices.version, ",
            is_live!(),
            "
    FROM   ",
            devices_and_nodes!()
        )
    };
}

const BY_ID: &str = concat!(
    select!(),
    "
    WHERE  devices.tenant = $1
    AND    devices.id = $2"
);

const LIST: &str = concat!(
    select!(),
    "
    WHERE  devices.tenant = $1
    AND    devices.id > $2
    AND    devices.is_leaving = 0
    AND    ($3 IS NULL OR devices.workspace = $3)
    ORDER BY devices.id
    LIMIT  $4"
);

impl Control {
    /// The tenant's device with this id, also one that is leaving.
    pub async fn device(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<Option<Device>, StoreError> {
        let read = async {
            sqlx::query(BY_ID)
                .bind(tenant.to_string())
                .bind(device.to_string())
                .fetch_optional(&mut self.database.reader().await?)
                .await
                .or_fail()?
                .map(|row| from_row(&row))
                .transpose()
        };
        self.database.patiently(read).await
    }

    /// One page of the tenant's devices, or of those of one workspace, oldest first: those after `after`, at most `limit`.
    /// Those that are leaving are not among them.
    pub async fn devices(
        &self,
        tenant: TenantId,
        workspace: Option<WorkspaceId>,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Device>, StoreError> {
        let list = async {
            let rows = sqlx::query(LIST)
                .bind(tenant.to_string())
                .bind(self::after(after))
                .bind(workspace.map(|workspace| workspace.to_string()))
                .bind(i64::from(limit))
                .fetch_all(&mut self.database.reader().await?)
                .await
                .or_fail()?;
            rows.iter().map(from_row).collect()
        };
        self.database.patiently(list).await
    }
}

fn from_row(row: &AnyRow) -> Result<Device, StoreError> {
    Ok(Device {
        id: parsed(row, "id")?,
        tenant: parsed(row, "tenant")?,
        workspace: parsed(row, "workspace")?,
        name: text(row, "name")?,
        connector: text(row, "connector")?,
        settings: text(row, "settings")?,
        state: parsed(row, "state")?,
        reason: maybe_text(row, "reason")?,
        fence: number(row, "fence")?,
        node: maybe_text(row, "node")?,
        session: maybe_parsed(row, "session")?,
        is_live: flag(row, "is_live")?,
        gateway: maybe_text(row, "gateway")?,
        last_seen_at: maybe_time(row, "last_seen_at")?,
        moved_at: maybe_time(row, "moved_at")?,
        is_leaving: flag(row, "is_leaving")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        version: number(row, "version")?,
    })
}
