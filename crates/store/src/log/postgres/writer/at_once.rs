//! The fast way of a commit: one statement, decided by what this node remembers, that writes all or nothing.
//!
//! Only what is sure to be right comes back from here. If the database is not where it was left, or if any part would fail,
//! nothing is written, and nothing is said either: the slow way looks and decides.

use std::collections::HashSet;

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
    position::Position,
};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    super::{
        failure::{is_lost, is_refusal, pool_error, store_error},
        session::Session,
        statement::{self, Guard},
    },
    Writer,
    plan::{Plan, State},
};
use crate::{
    StoreError,
    log::{Write, WriteError, stored::signed},
};

/// What a commit has written.
pub(super) struct Done {
    pub(super) outcomes: Vec<Result<(), WriteError>>,
    pub(super) after: State,
}

/// What the guard compares: one array a column.
#[derive(Default)]
struct Expected {
    ids: Vec<Uuid>,
    nos: Vec<i64>,
    /// NULL for a tenant of which only devices are spoken: then nothing else of it is compared, nor written.
    heads: Vec<Option<i64>>,
    marks: Vec<Option<i64>>,
    fences: Vec<i64>,
    /// The sessions of devices that appends came through, and the fences of those that send messages: tenant, device, fence.
    sessions: (Vec<i64>, Vec<Uuid>, Vec<i64>),
}

impl Writer {
    /// Writes all parts by one statement; `None` if nothing was written, and the slow way has to look.
    pub(super) async fn commit_at_once(
        &self,
        state: State,
        parts: &[Write],
    ) -> Result<Option<Done>, StoreError> {
        let expected = Expected::of(&state, parts);
        let Plan {
            batch,
            outcomes,
            after,
        } = state.plan(parts)?;
        let kinds = match batch.together() {
            Some(kinds) if outcomes.iter().all(Result::is_ok) => kinds,
            _other => return Ok(None),
        };
        let sql = statement::together(expected.guard(), kinds);
        let mut parameters = expected.parameters();
        for step in batch.steps() {
            parameters.extend(step.parameters());
        }

        let connection = self.pool.get().await.map_err(pool_error)?;
        let session = Session::new(connection, &self.given_up);
        let statement = match session.client().prepare_cached(&sql).await {
            Ok(statement) => statement,
            Err(error) if is_lost(&error) => return Ok(None),
            Err(error) => return Err(store_error(error)),
        };
        // A statement outside of a transaction is one; it is over, one way or the other, when all of the answer is there.
        let rows = match session.client().query(&statement, &parameters).await {
            Ok(rows) => rows,
            Err(error) if is_refusal(&error) => {
                if !is_lost(&error) {
                    session.end();
                }
                return Ok(None);
            }
            Err(error) => return Err(store_error(error)),
        };
        session.end();
        let fits = match rows.first() {
            Some(row) => row.try_get(0).map_err(store_error)?,
            None => false,
        };
        Ok(fits.then_some(Done { outcomes, after }))
    }
}

impl Expected {
    fn of(state: &State, parts: &[Write]) -> Expected {
        let position = |position: Position| signed(position.get());
        let mut expected = Expected::default();
        let mut owned = HashSet::new();
        for part in parts {
            if let Write::Append(append) = part {
                owned.insert(append.tenant);
                for (device, fence) in &append.sessions {
                    expected.add_session(state, append.tenant, *device, *fence);
                }
            } else if let Write::Outgoing {
                tenant,
                device,
                fence,
                ..
            } = part
            {
                expected.add_session(state, *tenant, *device, *fence);
            } else if part.fence().is_some() {
                owned.insert(part.tenant());
            }
        }
        for (id, tenant) in &state.tenants {
            expected.ids.push(id.uuid());
            expected.nos.push(tenant.no);
            let head = owned.contains(id).then(|| position(tenant.head));
            expected.heads.push(head);
            expected.marks.push(tenant.dispatched.map(position));
            expected.fences.push(signed(tenant.fence.get()));
        }
        expected
    }

    /// Takes a fence above which nothing may have been written for a device.
    fn add_session(&mut self, state: &State, tenant: TenantId, device: DeviceId, fence: Fence) {
        let Some(tenant) = state.tenants.get(&tenant) else {
            return;
        };
        self.sessions.0.push(tenant.no);
        self.sessions.1.push(device.uuid());
        self.sessions.2.push(signed(fence.get()));
    }

    fn guard(&self) -> Guard {
        if self.sessions.0.is_empty() {
            Guard::Tenants
        } else {
            Guard::Sessions
        }
    }

    /// The columns in the order of the guard's parameters.
    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&self.ids, &self.nos, &self.heads, &self.marks, &self.fences];
        match self.guard() {
            Guard::Tenants => {}
            Guard::Sessions => {
                let (nos, devices, fences) = &self.sessions;
                parameters.extend([nos as &(dyn ToSql + Sync), devices, fences]);
            }
        }
        parameters
    }
}
