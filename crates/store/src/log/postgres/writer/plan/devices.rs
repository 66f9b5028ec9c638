//! The parts of a commit that speak of devices, and the sessions that an append came through.

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
};

use super::{Fold, State};
use crate::log::{Append, Write, WriteError, device};

impl State {
    /// Takes one device's part, if its session has not been replaced.
    pub(super) fn fold_device<'a>(
        &mut self,
        part: &'a Write,
        fold: &mut Fold<'a>,
    ) -> Result<(), WriteError> {
        let tenant = part.tenant();
        let no = self.tenant(tenant)?.no;
        match part {
            Write::OpenDevice { device, fence, .. } => {
                let (device, fence) = (*device, *fence);
                self.check_fence(tenant, device, fence)?;
                self.devices.insert((tenant, device), fence);
                fold.devices.open((no, device), fence);
            }
            Write::Credentials {
                device,
                credentials,
                ..
            } => {
                let device = *device;
                let held = self.device_fence(tenant, device);
                if held != credentials.fence {
                    return Err(WriteError::DeviceFenced { device, held });
                }
                fold.devices.keep((no, device), credentials);
            }
            Write::Outgoing {
                device,
                fence,
                message,
                ..
            } => {
                self.check_fence(tenant, *device, *fence)?;
                fold.devices.send((no, *device), message);
            }
            Write::Outcome {
                device,
                by,
                id,
                outcome,
                at,
                ..
            } => {
                if let Some(fence) = by {
                    self.check_fence(tenant, *device, *fence)?;
                }
                fold.devices.settle((no, *device), *id, outcome, *at);
            }
            Write::ForgetDevice { device, .. } => fold.devices.forget((no, *device)),
            Write::Append(_)
            | Write::Settle(_)
            | Write::Dispatch(_)
            | Write::Consume(_)
            | Write::Replay { .. }
            | Write::ForgetWebhook { .. } => {}
        }
        Ok(())
    }

    /// Adds what an append's events do to messages.
    pub(super) fn mark_messages<'a>(&self, append: &'a Append, fold: &mut Fold<'a>) {
        if let Some(tenant) = self.tenants.get(&append.tenant) {
            for mark in &append.messages {
                fold.devices.mark(tenant.no, mark);
            }
        }
    }

    /// Finds a session that an append came through and that has been replaced.
    pub(super) fn find_replaced(&self, append: &Append) -> Result<(), WriteError> {
        let mut sessions = append.sessions.iter();
        sessions.try_for_each(|(device, fence)| self.check_fence(append.tenant, *device, *fence))
    }

    /// Takes nothing under a fence if a higher one was written.
    fn check_fence(
        &self,
        tenant: TenantId,
        device: DeviceId,
        fence: Fence,
    ) -> Result<(), WriteError> {
        let held = self.device_fence(tenant, device);
        device::replaced(device, fence, held).map_or(Ok(()), Err)
    }

    fn device_fence(&self, tenant: TenantId, device: DeviceId) -> Fence {
        let held = self.devices.get(&(tenant, device));
        held.copied().unwrap_or(Fence::new(0))
    }
}
