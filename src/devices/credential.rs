//! Whether the key by which a device came in may still be used: asked again now and then, because a session outlives it.
//!
//! Keeps the key's hash, not its text.

use std::net::IpAddr;

use actors::{
    Engine,
    auth::{AuthError, Caller},
};
use domain::{
    ids::{KeyId, TenantId, WorkspaceId},
    key::KeyHash,
    permission::Permission,
};

/// What a device came in with.
#[derive(Clone)]
pub(crate) struct Credential {
    /// The hash of its key.
    pub(crate) key: KeyHash,
    /// What the key is called.
    pub(crate) key_id: KeyId,
    /// From where it came.
    pub(crate) ip: IpAddr,
    /// Whose device it is.
    pub(crate) tenant: TenantId,
    /// The device's workspace.
    pub(crate) workspace: WorkspaceId,
}

impl Credential {
    /// Whether the key still lets its device be connected. A control plane that does not answer ends nobody's session.
    pub(crate) async fn still_holds(&self, engine: &Engine) -> bool {
        match engine.auth().authenticate_hash(self.key, self.ip).await {
            Ok(caller) => self.is_enough(&caller),
            Err(AuthError::Store(error)) => {
                tracing::debug!("a device's key could not be looked up: {error}");
                true
            }
            Err(
                AuthError::Invalid
                | AuthError::Expired
                | AuthError::Revoked
                | AuthError::IpNotAllowed(_)
                | AuthError::Suspended,
            ) => false,
        }
    }

    fn is_enough(&self, caller: &Caller) -> bool {
        let key = &caller.key;
        let sees_it = key.workspace.is_none_or(|own| own == self.workspace);
        caller.tenant.id == self.tenant
            && sees_it
            && key.permissions.allow(Permission::DevicesConnect)
    }
}
