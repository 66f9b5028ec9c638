//! Sessions of devices: the newest one wins, whoever holds the device, and every later word of an older one meets no row.
//!
//! A session is opened by raising the fence of the device's lease. Order of locks: the node's session, the device, its lease.
//! Decides nothing about states: what follows from what is `domain::device`.

use domain::{
    device::DeviceState,
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    time::Timestamp,
};

use super::locked::lock;
use crate::{
    StoreError,
    control::{
        Control,
        columns::{big, number, parsed, text},
        failure::{Failed, Outcome as _},
        leases::{LeaseKey, Owner, lives, node_of},
        sessions::SessionId,
    },
};

/// Which process holds a device's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node's own session; none if it is alone with its control plane.
    pub session: Option<SessionId>,
    /// What the node calls itself.
    pub node: String,
    /// Names the run of the process.
    pub boot: String,
}

/// A session that was opened, and what stood there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedDevice {
    /// What its writes carry.
    pub fence: Fence,
    /// Where the session before stood.
    pub before: DeviceState,
    /// What that one's writes carried; 0 if there was none.
    pub before_fence: u64,
    /// Whether that one was still open, on a node that lives: it has been replaced. If not, and `before` says connected, it
    /// ended without a word.
    pub was_live: bool,
    /// What its node calls itself, if it had not been closed.
    pub before_node: Option<String>,
    /// What its gateway called itself.
    pub before_gateway: Option<String>,
    /// Where the device's events go.
    pub workspace: WorkspaceId,
}

/// Gives the device's lease to a holder, whoever has it, under a fence that is higher than any before: those of the lease
/// and `$5`, the device's own, which an installation that was carried over brings without its leases.
const TAKE_LEASE: &str = "
    INSERT INTO leases (kind, key, session, node, fence)
    VALUES ($1, $2, $3, $4, $5 + 1)
    ON CONFLICT (kind, key) DO UPDATE
    SET    session = excluded.session,
           node = excluded.node,
           fence = CASE WHEN leases.fence + 1 > excluded.fence THEN leases.fence + 1 ELSE excluded.fence END
    RETURNING fence";

const RAISE_LEASE: &str = "
    INSERT INTO leases (kind, key, session, node, fence)
    SELECT $1, $2, NULL, '', $4
    FROM   devices
    WHERE  devices.id = $2
    AND    devices.tenant = $3
    ON CONFLICT (kind, key) DO UPDATE
    SET    fence = CASE WHEN leases.fence > excluded.fence THEN leases.fence ELSE excluded.fence END";

const FREE_LEASE_UNDER: &str = "
    UPDATE leases
    SET    session = NULL
    WHERE  kind = $1
    AND    key = $2
    AND    fence = $3";

const OPEN: &str = "
    UPDATE devices
    SET    state = $3, reason = NULL, fence = $4, node = $5, session = $6, boot = $7, gateway = $8, last_seen_at = $9
    WHERE  tenant = $1
    AND    id = $2";

const SET_STATE: &str = "
    UPDATE devices
    SET    state = $4, reason = $5, gateway = COALESCE($6, gateway), last_seen_at = $7
    WHERE  tenant = $1
    AND    id = $2
    AND    fence = $3";

const CLOSE: &str = "
    UPDATE devices
    SET    state = $4, reason = $5, node = NULL, session = NULL, boot = NULL, last_seen_at = $6
    WHERE  tenant = $1
    AND    id = $2
    AND    fence = $3";

const END_OF_OTHER_BOOTS: &str = "
    UPDATE devices
    SET    node = NULL, boot = NULL
    WHERE  boot IS NOT NULL
    AND    boot <> $1
    AND    session IS NULL";

const OWNER: &str = "
    SELECT leases.session, leases.node, leases.fence
    FROM   devices
    JOIN   leases ON leases.kind = $3 AND leases.key = devices.id
    JOIN   node_sessions ON node_sessions.id = leases.session
    WHERE  devices.tenant = $1
    AND    devices.id = $2
    AND    node_sessions.expires_at > (SELECT now FROM database_clock)";

impl Control {
    /// Opens a device's session for a holder, whoever holds the device, and answers its fence. `None` if the tenant has no
    /// such device, or it is leaving. [`StoreError::Unavailable`] if the holder's own session has ended: it can hold nothing.
    ///
    /// The session is not the device's only one before its fence was raised in the tenant's region too.
    pub async fn open_device_session(
        &self,
        tenant: TenantId,
        device: DeviceId,
        holder: &Holder,
        gateway: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<OpenedDevice>, StoreError> {
        self.database
            .again(|| self.try_to_open_device((tenant, device), holder, gateway, now))
            .await
    }

    async fn try_to_open_device(
        &self,
        (tenant, device): (TenantId, DeviceId),
        holder: &Holder,
        gateway: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<OpenedDevice>, Failed> {
        let mut transaction = self.database.begin().await?;
        if let Some(session) = holder.session
            && node_of(&mut transaction, lives(&self.database), session)
                .await?
                .is_none()
        {
            transaction.rollback().await.or_collide()?;
            let says = "the node's session has ended";
            return Err(StoreError::Unavailable(says.to_owned()).into());
        }
        let locked = lock(&mut transaction, &self.database, (tenant, device)).await?;
        let Some(before) = locked.filter(|device| !device.is_leaving) else {
            transaction.rollback().await.or_collide()?;
            return Ok(None);
        };
        let session = holder.session.map(|session| session.to_string());
        let key = LeaseKey::Device(device);
        let row = sqlx::query(TAKE_LEASE)
            .bind(key.kind().name())
            .bind(key.text())
            .bind(session.as_deref())
            .bind(holder.node.as_str())
            .bind(big(before.fence))
            .fetch_one(&mut *transaction)
            .await
            .or_collide()?;
        let fence = Fence::new(number(&row, "fence")?);
        sqlx::query(OPEN)
            .bind(tenant.to_string())
            .bind(device.to_string())
            .bind(DeviceState::Connecting.as_str())
            .bind(big(fence.get()))
            .bind(holder.node.as_str())
            .bind(session.as_deref())
            .bind(holder.boot.as_str())
            .bind(gateway)
            .bind(now.micros())
            .execute(&mut *transaction)
            .await
            .or_collide()?;
        transaction.commit().await.or_collide()?;
        Ok(Some(OpenedDevice {
            fence,
            before: before.state,
            before_fence: before.fence,
            was_live: before.is_live,
            before_node: before.node,
            before_gateway: before.gateway,
            workspace: before.workspace,
        }))
    }

    /// Makes sure that the next session's fence is higher than `at_least`: the region knows a higher one than this control
    /// plane, which was restored from an older copy. Does nothing for a device that the tenant does not have.
    pub async fn raise_device_fence(
        &self,
        tenant: TenantId,
        device: DeviceId,
        at_least: Fence,
    ) -> Result<(), StoreError> {
        let key = LeaseKey::Device(device);
        let raise = async {
            sqlx::query(RAISE_LEASE)
                .bind(key.kind().name())
                .bind(key.text())
                .bind(tenant.to_string())
                .bind(big(at_least.get()))
                .execute(&mut self.database.writer().await?)
                .await
                .or_fail()?;
            Ok(())
        };
        self.database.patiently(raise).await
    }

    /// Notes where a session stands. `false` if it is not the device's last one any more.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one column; a struct for them would only be taken apart again"
    )]
    pub async fn set_device_state(
        &self,
        tenant: TenantId,
        device: DeviceId,
        fence: Fence,
        state: DeviceState,
        reason: Option<&str>,
        gateway: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let set = async {
            let done = sqlx::query(SET_STATE)
                .bind(tenant.to_string())
                .bind(device.to_string())
                .bind(big(fence.get()))
                .bind(state.as_str())
                .bind(reason)
                .bind(gateway)
                .bind(now.micros())
                .execute(&mut self.database.writer().await?)
                .await
                .or_fail()?;
            Ok(done.rows_affected() > 0)
        };
        self.database.patiently(set).await
    }

    /// Ends a session and frees the device's lease. `false` if it was not the device's last one any more.
    pub async fn close_device_session(
        &self,
        tenant: TenantId,
        device: DeviceId,
        fence: Fence,
        state: DeviceState,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.database
            .again(|| async {
                let mut transaction = self.database.begin().await?;
                let done = sqlx::query(CLOSE)
                    .bind(tenant.to_string())
                    .bind(device.to_string())
                    .bind(big(fence.get()))
                    .bind(state.as_str())
                    .bind(reason)
                    .bind(now.micros())
                    .execute(&mut *transaction)
                    .await
                    .or_collide()?;
                if done.rows_affected() == 0 {
                    transaction.rollback().await.or_collide()?;
                    return Ok(false);
                }
                let key = LeaseKey::Device(device);
                sqlx::query(FREE_LEASE_UNDER)
                    .bind(key.kind().name())
                    .bind(key.text())
                    .bind(big(fence.get()))
                    .execute(&mut *transaction)
                    .await
                    .or_collide()?;
                transaction.commit().await.or_collide()?;
                Ok(true)
            })
            .await
    }

    /// Says of every session that another run of a node alone has left open that it is not live. For its start; answers how
    /// many there were. Their states stay, so that whoever opens the next session sees how the last one ended.
    pub async fn end_device_sessions_of_other_boots(&self, boot: &str) -> Result<u64, StoreError> {
        let done = sqlx::query(END_OF_OTHER_BOOTS)
            .bind(boot)
            .execute(&mut self.database.writer().await?)
            .await
            .or_fail()?;
        Ok(done.rows_affected())
    }

    /// Whose a device's session is, if a node that shares the control plane with others holds it, and lives. A node alone is
    /// nobody's neighbour: `None`.
    pub async fn device_owner(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<Option<Owner>, StoreError> {
        let look = async {
            let row = sqlx::query(OWNER)
                .bind(tenant.to_string())
                .bind(device.to_string())
                .bind(LeaseKey::Device(device).kind().name())
                .fetch_optional(&mut self.database.reader().await?)
                .await
                .or_fail()?;
            row.map(|row| {
                Ok(Owner {
                    session: parsed(&row, "session")?,
                    node: text(&row, "node")?,
                    fence: Fence::new(number(&row, "fence")?),
                })
            })
            .transpose()
        };
        self.database.patiently(look).await
    }
}
