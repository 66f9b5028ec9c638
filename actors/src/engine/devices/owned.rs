//! Devices as their owners handle them: made, shown, changed. How one is deleted is in [`leaving`](super::leaving).
//!
//! A key that is confined to a workspace sees that workspace's devices only. Audit entries are the caller's.

use std::time::Duration;

use domain::{
    device::{DeviceInput, DevicePatch, DeviceState},
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    new_event::WorkspaceRef,
};
use outbound::bus::BusError;
use store::control::{ChangedDevice, Device, DeviceChange, DeviceNote, NewDevice, Tenant};
use tokio::time::timeout;
use tracing::debug;

use super::disconnecting::END_WITHIN;
use crate::{
    device::{
        DeviceKey,
        messages::{Ending, Settle, ShowPairing},
        remote::{self, Answer, Ask},
    },
    engine::{Engine, EngineError},
};

/// Where a device's events go if nobody says otherwise.
const DEFAULT_WORKSPACE: &str = "default";
/// How long another node may take to tell what is shown there.
const SHOW_WITHIN: Duration = Duration::from_secs(5);

/// What an owner has changed of a device.
pub struct DeviceUpdate<'a> {
    /// What is another from now on.
    pub patch: DevicePatch,
    /// Only if that is its present version.
    pub if_version: Option<i64>,
    /// Says how the change is noted in the audit log, which is done together with it.
    pub note: &'a DeviceNote<'a>,
}

impl Engine {
    /// Makes a device.
    pub async fn create_device(
        &self,
        tenant: &Tenant,
        confined_to: Option<WorkspaceId>,
        input: DeviceInput,
    ) -> Result<Device, EngineError> {
        let named = input.workspace.as_ref();
        let found = self
            .resolve_workspace(tenant.id, confined_to, named, None)
            .await?;
        let workspace = match found {
            Some(workspace) => workspace,
            None => {
                let default = self.workspace_by_slug(tenant.id, DEFAULT_WORKSPACE);
                default.await?.id
            }
        };
        let new = NewDevice {
            id: DeviceId::from_uuid(self.fresh_uuid()),
            tenant: tenant.id,
            workspace,
            name: input.name,
            connector: input.connector,
            settings: input.settings,
        };
        let max = self.inner.plans.get(tenant.plan).devices;
        let now = self.inner.clock.now();
        Ok(self.inner.control.create_device(&new, max, now).await?)
    }

    /// One device, as it stands: offline if no session of it is open anywhere.
    pub async fn device(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeviceId,
    ) -> Result<Device, EngineError> {
        let found = self.inner.control.device(tenant, id).await?;
        found
            .filter(|device| !device.is_leaving)
            .filter(|device| confined_to.is_none_or(|only| only == device.workspace))
            .map(shown)
            .ok_or(EngineError::NotFound("device"))
    }

    /// Devices in the order in which they were made.
    pub async fn devices(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Device>, EngineError> {
        let control = &self.inner.control;
        let page = control.devices(tenant, confined_to, after, limit).await?;
        Ok(page.into_iter().map(shown).collect())
    }

    /// What somebody has to see who pairs the device now.
    pub async fn device_qr(&self, tenant: TenantId, device: DeviceId) -> Option<Box<str>> {
        let key = DeviceKey { tenant, device };
        if self.inner.devices.board.has(&key) {
            return self.pairing_here(key).await;
        }
        let found = self.inner.control.device(tenant, device).await.ok()??;
        let session = found.session.filter(|_| found.is_live)?;
        let ask = Ask::ShowPairing { tenant, device };
        let peers = self.inner.placement.peers();
        match remote::ask(peers, session, &ask, SHOW_WITHIN).await {
            Ok(Answer::Pairing(shown)) => shown,
            Ok(_) | Err(BusError::NoResponder) => None,
            Err(error) => {
                debug!(device.id = %device, %error, "what is shown for pairing {device} is not known: {error}");
                None
            }
        }
    }

    pub(super) async fn pairing_here(&self, key: DeviceKey) -> Option<Box<str>> {
        let posted = self.post_to_device(&key, |reply| ShowPairing { reply })?;
        posted.ok()?.await.ok()?
    }

    /// Changes a device, and says whether anything of it was another before. The session of one that has moved to another workspace
    /// goes on in the old one until [`leave_workspace`](Engine::leave_workspace) is called.
    pub async fn update_device(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeviceId,
        update: DeviceUpdate<'_>,
    ) -> Result<ChangedDevice, EngineError> {
        let DeviceUpdate {
            patch,
            if_version,
            note,
        } = update;
        let device = self.device(tenant, confined_to, id).await?;
        let workspace = match &patch.workspace {
            Some(named) => self.found_workspace(&device, confined_to, named).await?,
            None => None,
        };
        if workspace.is_some_and(|workspace| workspace != device.workspace) {
            // What comes later looks in the new workspace for what was said.
            self.settle_lost(DeviceKey { tenant, device: id }).await?;
        }
        let change = DeviceChange {
            workspace,
            name: patch.name,
            connector: patch.connector,
            settings: patch.settings,
            if_version,
        };
        let now = self.inner.clock.now();
        let control = &self.inner.control;
        let changed = control.update_device(tenant, id, &change, note, now);
        let ChangedDevice {
            device,
            has_changed,
        } = changed.await?;
        Ok(ChangedDevice {
            device: shown(device),
            has_changed,
        })
    }

    /// Has a device's session connect again if it is in a workspace that the device has left: what it sends from then on goes to
    /// the present one. If this fails, it is to be called again.
    pub async fn leave_workspace(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<(), EngineError> {
        // Read now, and not taken from whoever moved it: it may have moved on since, and its session have followed it.
        let Some(device) = self.inner.control.device(tenant, device).await? else {
            return Ok(());
        };
        if device.moved_at.is_none() || !device.is_live {
            return Ok(());
        }
        let key = DeviceKey {
            tenant: device.tenant,
            device: device.id,
        };
        let present = Some(device.workspace);
        self.end_session(key, Ending::Shutdown, present).await?;
        Ok(())
    }

    /// Says of a device's last session that it was lost, if its node died before it could say anything and nobody has said it
    /// since.
    pub(super) async fn settle_lost(&self, key: DeviceKey) -> Result<(), EngineError> {
        let found = self.inner.control.device(key.tenant, key.device).await?;
        let is_unsaid = |device: &Device| match device.state {
            DeviceState::Connecting | DeviceState::Connected => !device.is_live,
            DeviceState::Offline | DeviceState::Pairing | DeviceState::Replaced => false,
        };
        let Some(device) = found.filter(is_unsaid) else {
            return Ok(());
        };
        let fence = Fence::new(device.fence);
        let message = |reply| Settle { fence, reply };
        let settled = timeout(END_WITHIN, self.inner.devices.actors.ask(&key, message)).await;
        settled.map_err(|_elapsed| too_slow())??;
        Ok(())
    }

    async fn found_workspace(
        &self,
        device: &Device,
        confined_to: Option<WorkspaceId>,
        named: &WorkspaceRef,
    ) -> Result<Option<WorkspaceId>, EngineError> {
        let present = Some(device.workspace);
        self.resolve_workspace(device.tenant, confined_to, Some(named), present)
            .await
    }
}

fn too_slow() -> EngineError {
    let unsaid = "the device's session was lost, which is not in the log yet";
    EngineError::Unavailable(unsaid.into())
}

/// What a row says of a session that has ended without a word is not so any more.
fn shown(mut device: Device) -> Device {
    let is_up = match device.state {
        DeviceState::Connecting | DeviceState::Pairing | DeviceState::Connected => true,
        DeviceState::Offline | DeviceState::Replaced => false,
    };
    if is_up && !device.is_live {
        device.state = DeviceState::Offline;
        device.reason = None;
    }
    device
}
