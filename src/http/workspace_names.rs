//! Workspaces by the names that requests use, remembered for a few seconds.

use std::{borrow::Cow, sync::Arc, time::Duration};

use actors::{Engine, EngineError, recent::Recent};
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

/// A tenant's name for a workspace. Borrowed where it is only looked up.
type Name<'a> = (TenantId, Cow<'a, str>);

/// See the module.
#[derive(Debug)]
pub(crate) struct WorkspaceNames {
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    by_name: Recent<Name<'static>, WorkspaceId>,
    /// Whether a sweep is on its way.
    is_swept: bool,
}

impl Default for WorkspaceNames {
    fn default() -> WorkspaceNames {
        let memory = Memory {
            by_name: Recent::new(REMEMBER_FOR, REMEMBER_MAX),
            is_swept: false,
        };
        WorkspaceNames {
            memory: Arc::new(Mutex::new(memory)),
        }
    }
}

impl WorkspaceNames {
    /// The workspace of this name, or the default one. An id is taken as it is: the engine says if there is none.
    pub(crate) async fn find(
        &self,
        engine: &Engine,
        tenant: TenantId,
        named: Option<&WorkspaceRef>,
    ) -> Result<Option<WorkspaceId>, EngineError> {
        let slug = match named {
            Some(WorkspaceRef::Id(id)) => return Ok(Some(*id)),
            Some(WorkspaceRef::Slug(slug)) => slug,
            None => DEFAULT_SLUG,
        };
        let now = engine.clock().now();
        if let Some(found) = self.recall(tenant, slug, now) {
            return Ok(Some(found));
        }
        let found = match engine.workspace_by_slug(tenant, slug).await {
            Ok(workspace) => workspace.id,
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let slug = match named {
            None => Cow::Borrowed(DEFAULT_SLUG),
            Some(_) => Cow::Owned(slug.to_owned()),
        };
        if self.remember((tenant, slug), found, now) {
            self.sweep_later(engine);
        }
        Ok(Some(found))
    }

    fn recall(&self, tenant: TenantId, slug: &str, now: Timestamp) -> Option<WorkspaceId> {
        let memory = self.memory.lock();
        // Seen as a map of names that live no longer than this call, it can be asked for a borrowed one.
        let by_name: &Recent<Name<'_>, WorkspaceId> = &memory.by_name;
        by_name.get(&(tenant, Cow::Borrowed(slug)), now).copied()
    }

    /// Says whether somebody must see to the next sweep.
    fn remember(&self, name: Name<'static>, found: WorkspaceId, now: Timestamp) -> bool {
        let mut memory = self.memory.lock();
        memory.by_name.insert(name, found, now);
        !std::mem::replace(&mut memory.is_swept, true)
    }

    /// Forgets what has run out, time and again, until nothing is left.
    fn sweep_later(&self, engine: &Engine) {
        let (memory, clock) = (Arc::clone(&self.memory), engine.clock().clone());
        actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(REMEMBER_FOR).await;
                if memory.lock().sweep(clock.now()) {
                    return;
                }
            }
        });
    }
}

impl Memory {
    /// Answers whether nothing is left.
    fn sweep(&mut self, now: Timestamp) -> bool {
        self.by_name.sweep(now);
        self.is_swept = !self.by_name.is_empty();
        !self.is_swept
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_name_is_remembered_for_its_tenant_only_and_not_for_long() {
        let names = WorkspaceNames::default();
        let (tenant, other) = (
            TenantId::from_uuid(Uuid::from_u128(1)),
            TenantId::from_uuid(Uuid::from_u128(2)),
        );
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(3));
        let name = (tenant, Cow::Owned("billing".to_owned()));
        assert!(names.remember(name.clone(), workspace, at(0)));
        assert!(
            !names.remember(name, workspace, at(1)),
            "one sweep is enough"
        );
        assert_eq!(names.recall(tenant, "billing", at(2)), Some(workspace));
        assert_eq!(names.recall(tenant, "default", at(2)), None);
        assert_eq!(names.recall(other, "billing", at(2)), None);
        assert_eq!(names.recall(tenant, "billing", at(11)), None);
    }

    #[test]
    fn a_sweep_goes_on_until_nothing_is_left() {
        let names = WorkspaceNames::default();
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(3));
        names.remember((tenant, Cow::Borrowed("default")), workspace, at(0));
        assert!(!names.memory.lock().sweep(at(9)));
        assert!(names.memory.lock().sweep(at(10)));
        let name = (tenant, Cow::Borrowed("default"));
        assert!(
            names.remember(name, workspace, at(11)),
            "the next one starts anew"
        );
    }
}
