//! What the writer remembers between commits: numbers of tenants and workspaces, where each log ends, and fences.
//!
//! A memory only: it may be emptied at any time between commits, and is emptied whenever a commit did not end well.

use std::collections::HashMap;

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId, WorkspaceId},
    position::{Position, Seq},
};

/// So many tenants, workspaces, and devices each are remembered; then all are forgotten. About 64 bytes each.
const REMEMBERED_MAX: usize = 65_536;

/// A tenant in this region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tenant {
    /// Its number; `None` if it has never written here.
    pub(super) no: Option<i64>,
    /// Where its log ends, the rows of the present commit included.
    pub(super) head: Position,
    /// The highest fence under which anybody wrote for it, the parts of the present commit included.
    pub(super) fence: Fence,
    /// The commit that moved the head last.
    pub(super) moved_by: u64,
}

/// A workspace's stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Its number.
    pub(super) no: i64,
    /// The last seq whose event is gone: nobody gets it again.
    pub(super) removed: Seq,
}

/// The writer's memory.
#[derive(Default)]
pub(super) struct Names {
    tenants: HashMap<TenantId, Tenant>,
    streams: HashMap<(i64, WorkspaceId), Stream>,
    devices: HashMap<(TenantId, DeviceId), Fence>,
    /// The highest numbers that are in use, once they are known.
    pub(super) last: Option<LastNumbers>,
}

/// The highest numbers that are in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastNumbers {
    /// Of a tenant.
    pub(super) tenant: i64,
    /// Of a workspace's stream.
    pub(super) stream: i64,
}

impl Names {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Names::default();
    }

    /// Makes room if too much is remembered. Not to be called while a commit is being planned.
    pub(super) fn trim(&mut self) {
        let lengths = [self.tenants.len(), self.streams.len(), self.devices.len()];
        if lengths.iter().any(|length| *length > REMEMBERED_MAX) {
            self.clear();
        }
    }

    /// A tenant, if it is remembered.
    pub(super) fn tenant(&self, id: TenantId) -> Option<Tenant> {
        self.tenants.get(&id).copied()
    }

    /// Remembers a tenant.
    pub(super) fn set_tenant(&mut self, id: TenantId, tenant: Tenant) {
        self.tenants.insert(id, tenant);
    }

    /// A workspace's stream, if it is remembered.
    pub(super) fn stream(&self, tenant_no: i64, workspace: WorkspaceId) -> Option<Stream> {
        self.streams.get(&(tenant_no, workspace)).copied()
    }

    /// Remembers a workspace's stream.
    pub(super) fn set_stream(&mut self, tenant_no: i64, workspace: WorkspaceId, stream: Stream) {
        self.streams.insert((tenant_no, workspace), stream);
    }

    /// Forgets a tenant's streams: events of theirs have gone.
    pub(super) fn forget_streams(&mut self, tenant_no: i64) {
        self.streams.retain(|(of, _), _| *of != tenant_no);
    }

    /// The highest fence under which anybody wrote for a device, if it is remembered; the parts of the present commit
    /// included.
    pub(super) fn device_fence(&self, tenant: TenantId, device: DeviceId) -> Option<Fence> {
        self.devices.get(&(tenant, device)).copied()
    }

    /// Remembers a device's fence.
    pub(super) fn set_device_fence(&mut self, tenant: TenantId, device: DeviceId, fence: Fence) {
        self.devices.insert((tenant, device), fence);
    }
}
