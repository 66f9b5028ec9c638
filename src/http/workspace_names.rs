//! Workspaces by the names that requests use, remembered for a few seconds.

use std::{collections::HashMap, time::Duration};

use actors::{Engine, EngineError};
use domain::{
    ids::{TenantId, WorkspaceId},
    new_event::WorkspaceRef,
    time::Timestamp,
};
use parking_lot::Mutex;

/// The workspace of events that name none.
const DEFAULT_SLUG: &str = "default";
const REMEMBER_FOR: Duration = Duration::from_secs(10);
const REMEMBER_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct WorkspaceNames {
    by_slug: Mutex<HashMap<(TenantId, Box<str>), Remembered>>,
}

/// A workspace, and until when it is believed.
type Remembered = (WorkspaceId, Timestamp);

impl WorkspaceNames {
    /// The workspace of this name, or the default one. An id is taken as it is: the engine says if there is none.
    pub(crate) async fn find(
        &self,
        engine: &Engine,
        tenant: TenantId,
        named: Option<&WorkspaceRef>,
    ) -> Result<Option<WorkspaceId>, EngineError> {
        let slug: &str = match named {
            Some(WorkspaceRef::Id(id)) => return Ok(Some(*id)),
            Some(WorkspaceRef::Slug(slug)) => slug,
            None => DEFAULT_SLUG,
        };
        let now = engine.clock().now();
        let key = (tenant, Box::from(slug));
        if let Some((found, until)) = self.by_slug.lock().get(&key)
            && now < *until
        {
            return Ok(Some(*found));
        }
        let found = match engine.workspace_by_slug(tenant, slug).await {
            Ok(workspace) => workspace.id,
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut by_slug = self.by_slug.lock();
        if by_slug.len() >= REMEMBER_MAX {
            by_slug.clear();
        }
        by_slug.insert(key, (found, now.plus(REMEMBER_FOR)));
        Ok(Some(found))
    }
}
