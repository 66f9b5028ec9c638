//! The parts of a commit that speak of devices, and the sessions that an append came through.

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
};

use super::{
    super::{super::batch::Batch, Trouble, Writer},
    Fold,
};
use crate::log::{Append, Write, WriteError, device, stored::unsigned};

impl Writer {
    /// Adds one device's part, or says why it cannot be written.
    pub(super) async fn plan_device<'a>(
        &mut self,
        part: &'a Write,
        batch: &mut Batch,
        fold: &mut Fold<'a>,
    ) -> Result<Result<(), WriteError>, Trouble> {
        let tenant = part.tenant();
        match part {
            Write::OpenDevice { device, fence, .. } => {
                let (device, fence) = (*device, *fence);
                if let Some(replaced) = self.replaced(tenant, device, fence).await? {
                    return Ok(Err(replaced));
                }
                let tenant_no = self.tenant_no(tenant, batch).await?;
                fold.devices.open((tenant_no, device), fence);
                self.names.set_device_fence(tenant, device, fence);
            }
            Write::Credentials {
                device,
                credentials,
                ..
            } => {
                let device = *device;
                let held = self.device_fence(tenant, device).await?;
                if held != credentials.fence {
                    return Ok(Err(WriteError::DeviceFenced { device, held }));
                }
                let tenant_no = self.tenant_no(tenant, batch).await?;
                fold.devices.keep((tenant_no, device), credentials);
            }
            Write::Outgoing {
                device,
                fence,
                message,
                ..
            } => {
                if let Some(replaced) = self.replaced(tenant, *device, *fence).await? {
                    return Ok(Err(replaced));
                }
                let tenant_no = self.tenant_no(tenant, batch).await?;
                fold.devices.send((tenant_no, *device), message);
            }
            Write::Outcome {
                device,
                by,
                id,
                outcome,
                at,
                ..
            } => {
                if let Some(fence) = by
                    && let Some(replaced) = self.replaced(tenant, *device, *fence).await?
                {
                    return Ok(Err(replaced));
                }
                let tenant_no = self.tenant_no(tenant, batch).await?;
                fold.devices.settle((tenant_no, *device), *id, outcome, *at);
            }
            Write::ForgetDevice { device, .. } => {
                let tenant_no = self.tenant_no(tenant, batch).await?;
                fold.devices.forget((tenant_no, *device));
            }
            Write::Append(_)
            | Write::Settle(_)
            | Write::Dispatch(_)
            | Write::Consume(_)
            | Write::Replay { .. }
            | Write::ForgetWebhook { .. } => {}
        }
        Ok(Ok(()))
    }

    /// Adds what an append's events do to messages. Not with the append itself, because other parts may speak of the same
    /// messages, and their order decides.
    pub(in super::super) async fn mark_messages<'a>(
        &mut self,
        append: &'a Append,
        batch: &mut Batch,
        fold: &mut Fold<'a>,
    ) -> Result<(), Trouble> {
        if append.messages.is_empty() {
            return Ok(());
        }
        let tenant_no = self.tenant_no(append.tenant, batch).await?;
        for mark in &append.messages {
            fold.devices.mark(tenant_no, mark);
        }
        Ok(())
    }

    /// Finds a session that an append came through and that has been replaced.
    pub(super) async fn find_replaced(
        &mut self,
        append: &Append,
    ) -> Result<Option<WriteError>, Trouble> {
        for (device, fence) in &append.sessions {
            let replaced = self.replaced(append.tenant, *device, *fence).await?;
            if replaced.is_some() {
                return Ok(replaced);
            }
        }
        Ok(None)
    }

    /// Why nothing is taken under a fence, if a higher one was written.
    async fn replaced(
        &mut self,
        tenant: TenantId,
        device: DeviceId,
        fence: Fence,
    ) -> Result<Option<WriteError>, Trouble> {
        let held = self.device_fence(tenant, device).await?;
        Ok(device::replaced(device, fence, held))
    }

    async fn device_fence(&mut self, tenant: TenantId, device: DeviceId) -> Result<Fence, Trouble> {
        const FIND: &str = "SELECT fence FROM devices WHERE tenant_no = ?1 AND device = ?2";

        if let Some(fence) = self.names.device_fence(tenant, device) {
            return Ok(fence);
        }
        let found: Option<i64> = match self.tenant(tenant).await?.no {
            None => None,
            Some(tenant_no) => {
                sqlx::query_scalar(FIND)
                    .bind(tenant_no)
                    .bind(&device.as_bytes()[..])
                    .fetch_optional(self.connection()?)
                    .await?
            }
        };
        let fence = Fence::new(found.map(unsigned).transpose()?.unwrap_or(0));
        self.names.set_device_fence(tenant, device, fence);
        Ok(fence)
    }
}
