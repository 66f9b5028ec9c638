//! What can be owned, and how it stands in the rows of leases. Asks no database.

use std::fmt;

use domain::ids::{DeviceId, TenantId};

use crate::{StoreError, control::columns::corrupt};

/// What can be owned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseKey {
    /// A tenant: its one writer, and the sender of its webhooks.
    Tenant(TenantId),
    /// A device: its one connection.
    Device(DeviceId),
    /// A piece of work that one node does for all.
    Job(String),
}

/// A kind of what can be owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// See [`LeaseKey::Tenant`].
    Tenant,
    /// See [`LeaseKey::Device`].
    Device,
    /// See [`LeaseKey::Job`].
    Job,
}

impl LeaseKey {
    /// Of which kind it is.
    pub fn kind(&self) -> LeaseKind {
        match self {
            LeaseKey::Tenant(_) => LeaseKind::Tenant,
            LeaseKey::Device(_) => LeaseKind::Device,
            LeaseKey::Job(_) => LeaseKind::Job,
        }
    }

    /// How it stands in its row, beside the kind.
    pub(in crate::control) fn text(&self) -> String {
        match self {
            LeaseKey::Tenant(tenant) => tenant.to_string(),
            LeaseKey::Device(device) => device.to_string(),
            LeaseKey::Job(name) => name.clone(),
        }
    }

    /// Reads what stands in a row.
    pub(super) fn read(kind: LeaseKind, text: String) -> Result<LeaseKey, StoreError> {
        let unreadable = || corrupt("key");
        Ok(match kind {
            LeaseKind::Tenant => LeaseKey::Tenant(text.parse().map_err(|_no_id| unreadable())?),
            LeaseKind::Device => LeaseKey::Device(text.parse().map_err(|_no_id| unreadable())?),
            LeaseKind::Job => LeaseKey::Job(text),
        })
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().name(), self.text())
    }
}

impl LeaseKind {
    /// How it is called, in rows and in words.
    pub const fn name(self) -> &'static str {
        match self {
            LeaseKind::Tenant => "tenant",
            LeaseKind::Device => "device",
            LeaseKind::Job => "job",
        }
    }
}
