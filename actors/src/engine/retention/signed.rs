//! Signs anew what was signed of logs that have grown since.
//!
//! A checkpoint is signed only if the log continues what was signed last, and that cannot be shown when the events of that time are
//! gone. So what each node remembers is brought up to date before anything goes: events that have outlived a retention are
//! older than that.

use std::collections::HashSet;

use domain::{ids::TenantId, region::Region};
use tracing::warn;

use super::{Engine, EngineError};

impl Engine {
    /// Brings the signed checkpoints of a region up to date, as far as this node has signed any. Answers the tenants with a log
    /// that does not continue what was signed.
    pub(super) async fn continue_checkpoints(
        &self,
        region: Region,
    ) -> Result<HashSet<TenantId>, EngineError> {
        let inner = &self.inner;
        let mut unsigned = HashSet::new();
        let signed = inner.checkpoints.lock().await.all(region).await?;
        for workspace in signed {
            let Some(tenant) = inner.control.tenant_of_workspace(workspace).await? else {
                continue;
            };
            let end = inner.logs.get(region).chain_end(tenant, workspace).await?;
            let last = inner
                .checkpoints
                .lock()
                .await
                .last(region, workspace)
                .await?;
            let size = end.map_or(0, |end| end.seq.get());
            if last.is_some_and(|last| last.size == size) {
                continue;
            }
            if let Err(error) = self.checkpoint(tenant, region, workspace).await {
                warn!(tenant.id = %tenant, workspace.id = %workspace, %error, "nothing of {tenant} is removed: {error}");
                unsigned.insert(tenant);
            }
        }
        Ok(unsigned)
    }
}
