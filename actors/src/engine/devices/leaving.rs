//! How a device is deleted: first nobody sees it any more, then its session ends, then its region forgets it, and its row goes
//! last.
//!
//! Each step may be done again. Whatever interrupts them leaves a row behind that says so: the same deletion goes on from there,
//! and so does the engine by itself after a while. Audit entries are the caller's.

use std::{sync::Arc, time::Duration};

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
};
use futures_util::stream::{self, StreamExt as _};
use store::{
    control::Device,
    log::{MessageQuery, Write},
};
use tokio::time::timeout;
use tracing::{info, warn};

use super::disconnecting::END_WITHIN;
use crate::{
    device::{DeviceKey, messages::Ending},
    engine::{Engine, EngineError, Inner},
    placement::changes::SharedChange,
    region,
};

/// Deletions that one sweep finishes.
const FINISHED_AT_ONCE: u32 = 100;
/// How many of them are under way at a time.
const FINISHED_SIDE_BY_SIDE: usize = 4;
/// How long a sweep takes over one of them at most. What is forgotten by then stays so.
const FINISHED_WITHIN: Duration = Duration::from_secs(30);

impl Engine {
    /// Deletes a device: from now on nobody sees it and no session of it is opened, whatever comes. What is kept of it is there
    /// until [`forget_device`](Engine::forget_device) has been called with the answer. One that is being deleted already is
    /// answered again.
    pub async fn delete_device(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeviceId,
        if_version: Option<i64>,
    ) -> Result<Device, EngineError> {
        let control = &self.inner.control;
        let found = control.device(tenant, id).await?;
        let is_seen = |device: &Device| confined_to.is_none_or(|only| only == device.workspace);
        if !found.as_ref().is_some_and(is_seen) {
            return Err(EngineError::NotFound("device"));
        }
        Ok(control.mark_device_leaving(tenant, id, if_version).await?)
    }

    /// Ends the session of a device that was deleted, wherever it is, and forgets all that is kept of it but its events.
    pub async fn forget_device(&self, device: &Device) -> Result<(), EngineError> {
        let (tenant, id) = (device.tenant, device.id);
        let region = self.region_of(tenant).await?;
        let key = DeviceKey { tenant, device: id };
        // First, so that its end is in the log, unless the log does not take it.
        let ending = async {
            self.end_session(key, Ending::Revoked, None).await?;
            self.settle_lost(key).await
        };
        if let Ok(Err(error)) = timeout(END_WITHIN, ending).await {
            warn!(device.id = %id, %error, "the session of {id} did not end before its device was deleted: {error}");
        }
        // Whatever was begun before the device was marked writes under this fence at most: what is forgotten stays so.
        let log = self.inner.logs.get(region);
        let held = log.device_fence(tenant, id).await?;
        let fence = held.max(Fence::new(device.fence)).next();
        let raise = Write::OpenDevice {
            tenant,
            device: id,
            fence,
        };
        region::write(&self.inner.regions, region, raise).await?;
        self.device_taken(key, fence);
        self.inner.placement.tell_change(SharedChange::DeviceTaken {
            tenant,
            device: id,
            fence,
        });
        let one = MessageQuery {
            device: id,
            before: None,
            after: None,
            chat: None,
            direction: None,
            state: None,
            limit: 1,
            scan_max: 1,
        };
        loop {
            let forget = Write::ForgetDevice { tenant, device: id };
            region::write(&self.inner.regions, region, forget).await?;
            if log.messages(tenant, &one).await?.messages.is_empty() {
                break;
            }
        }
        // Somebody else may have finished it meanwhile.
        self.inner.control.delete_device(tenant, id).await?;
        Ok(())
    }
}

/// Finishes deletions that were interrupted, of devices after this one, and answers after which one to go on the next time.
pub(in crate::engine) async fn forget_leaving(
    inner: &Arc<Inner>,
    after: Option<DeviceId>,
) -> Option<DeviceId> {
    let listed = inner.control.leaving_devices(after, FINISHED_AT_ONCE);
    let leaving = match listed.await {
        Ok(leaving) => leaving,
        Err(error) => {
            warn!(%error, "devices that are deleted were not looked for: {error}");
            return after;
        }
    };
    // Those that cannot be finished now keep nobody else waiting: whoever comes after them has the next turn.
    let is_full = leaving.len() == FINISHED_AT_ONCE as usize;
    let last = leaving.last().filter(|_| is_full).map(|(_, id)| *id);
    let engine = Engine {
        inner: Arc::clone(inner),
    };
    stream::iter(leaving)
        .for_each_concurrent(FINISHED_SIDE_BY_SIDE, |(tenant, id)| {
            finish(&engine, tenant, id)
        })
        .await;
    last
}

async fn finish(engine: &Engine, tenant: TenantId, id: DeviceId) {
    let forgetting = async {
        match engine.inner.control.device(tenant, id).await? {
            Some(device) if device.is_leaving => engine.forget_device(&device).await,
            Some(_) | None => Ok(()),
        }
    };
    match timeout(FINISHED_WITHIN, forgetting).await {
        Ok(Ok(())) => info!(device.id = %id, "the deletion of {id} is finished"),
        Ok(Err(error)) => {
            warn!(device.id = %id, %error, "the deletion of {id} is not finished yet: {error}");
        }
        Err(_elapsed) => {
            warn!(device.id = %id, "the deletion of {id} is not finished yet: it takes too long, and goes on later");
        }
    }
}

#[cfg(test)]
impl Engine {
    pub(crate) async fn forget_leaving(&self) {
        forget_leaving(&self.inner, None).await;
    }
}
