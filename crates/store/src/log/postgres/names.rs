//! Remembers the numbers of tenants and workspaces, which never change, and where this node left their logs, for as long as the
//! server stays the same.
//!
//! A memory only: it may be emptied at any time.

use std::collections::HashMap;

use domain::ids::{TenantId, WorkspaceId};
use parking_lot::{Mutex, RwLock};

use super::ends::Ends;

/// So many tenants, and so many workspaces, are remembered; then all are forgotten. About 64 bytes each.
const REMEMBERED_MAX: usize = 65_536;

/// Numbers by name.
#[derive(Default)]
pub(super) struct Names {
    tenants: RwLock<HashMap<TenantId, i64>>,
    streams: RwLock<HashMap<(i64, WorkspaceId), i64>>,
    /// Where the last commits left logs and chains.
    pub(super) ends: Mutex<Ends>,
}

impl Names {
    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.tenants.write().clear();
        self.streams.write().clear();
        self.ends.lock().clear();
    }

    /// The number of a tenant.
    pub(super) fn tenant(&self, id: TenantId) -> Option<i64> {
        self.tenants.read().get(&id).copied()
    }

    /// Remembers the number of a tenant.
    pub(super) fn set_tenant(&self, id: TenantId, no: i64) {
        let mut tenants = self.tenants.write();
        if tenants.len() >= REMEMBERED_MAX {
            tenants.clear();
        }
        tenants.insert(id, no);
    }

    /// The number of a workspace's stream.
    pub(super) fn stream(&self, tenant_no: i64, workspace: WorkspaceId) -> Option<i64> {
        self.streams.read().get(&(tenant_no, workspace)).copied()
    }

    /// Remembers the number of a workspace's stream.
    pub(super) fn set_stream(&self, tenant_no: i64, workspace: WorkspaceId, no: i64) {
        let mut streams = self.streams.write();
        if streams.len() >= REMEMBERED_MAX {
            streams.clear();
        }
        streams.insert((tenant_no, workspace), no);
    }
}
