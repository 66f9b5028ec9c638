//! Signs anew what was signed of logs that have grown since.
//!
//! A checkpoint is signed only if the log continues what was signed last, and that cannot be shown when the events of that time are
//! gone. So what each node remembers is brought up to date before anything goes: events that have outlived a retention are
//! older than that.

use std::collections::HashSet;

use domain::{ids::TenantId, region::Region};
use store::log::RegionLog;
use tracing::warn;

use super::{Engine, EngineError, FAILURES_MAX, answers};

impl Engine {
    /// Brings the signed checkpoints of a region up to date, as far as this node has signed any. Answers the tenants with a log
    /// that does not continue what was signed, or of which that cannot be found out.
    pub(super) async fn continue_checkpoints(
        &self,
        region: Region,
        log: &dyn RegionLog,
    ) -> Result<HashSet<TenantId>, EngineError> {
        let (mut unsigned, mut failures) = (HashSet::new(), 0);
        let signed = self.inner.checkpoints.lock().await.all(region).await?;
        for workspace in signed {
            let tenant = self.inner.control.tenant_of_workspace(workspace).await?;
            let Some(tenant) = tenant else {
                continue;
            };
            // Also a log that has not grown: it may have been changed at the same length.
            match self.checkpoint(tenant, region, workspace).await {
                Ok(_) => failures = 0,
                Err(error) => {
                    warn!(tenant.id = %tenant, workspace.id = %workspace, %error, "nothing of {tenant} is removed: {error}");
                    unsigned.insert(tenant);
                    failures += 1;
                    if failures % FAILURES_MAX == 0 {
                        answers(log).await?;
                    }
                }
            }
        }
        Ok(unsigned)
    }
}
