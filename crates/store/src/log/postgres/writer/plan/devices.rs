//! The parts of a commit that speak of devices, and the sessions that an append came through.

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
};

use super::{Fold, State};
use crate::log::{Append, Write, WriteError};

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
                let held = self.device_fence(tenant, device);
                if held > fence {
                    return Err(WriteError::DeviceFenced { device, held });
                }
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
                device, message, ..
            } => fold.devices.send((no, *device), message),
            Write::Outcome {
                device,
                id,
                outcome,
                at,
                ..
            } => fold.devices.settle((no, *device), *id, outcome, *at),
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
        for (device, fence) in &append.sessions {
            let held = self.device_fence(append.tenant, *device);
            if held > *fence {
                let device = *device;
                return Err(WriteError::DeviceFenced { device, held });
            }
        }
        Ok(())
    }

    fn device_fence(&self, tenant: TenantId, device: DeviceId) -> Fence {
        let held = self.devices.get(&(tenant, device));
        held.copied().unwrap_or(Fence::new(0))
    }
}
