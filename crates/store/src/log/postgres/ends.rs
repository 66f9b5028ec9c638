//! Remembers where this node's last commits left its tenants' logs and their workspaces' chains.
//!
//! A guess about the database, never the truth: another node may have been there since. Whoever commits by it has the database
//! compare it, under the tenants' locks, with what is there.

use std::collections::HashMap;

use domain::ids::{TenantId, WorkspaceId};

use super::writer::{
    plan::{State, Stream, Tenant},
    read::Wanted,
};

/// So many tenants, and so many workspaces, are remembered; then all are forgotten. About 100 bytes each.
const REMEMBERED_MAX: usize = 65_536;

/// What is remembered.
#[derive(Default)]
pub(super) struct Ends {
    tenants: HashMap<TenantId, End>,
    streams: HashMap<(TenantId, WorkspaceId), StreamEnd>,
    /// How often everything was forgotten.
    forgotten: u64,
    lines: u64,
}

/// Commits of one tenant that nobody else's came between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line(u64);

struct End {
    tenant: Tenant,
    line: Line,
}

/// The end of a workspace's chain: it holds as long as its tenant's line goes on.
struct StreamEnd {
    stream: Stream,
    line: Line,
}

/// What was taken out of the memory for a commit, and is put back by it if it goes through.
pub(super) struct Taken {
    ends: HashMap<TenantId, End>,
    forgotten: u64,
}

impl Ends {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.tenants.clear();
        self.streams.clear();
        self.forgotten += 1;
    }

    /// Takes what is remembered of the tenants of a commit; and all that it wants to know, if all of it is remembered. What is not
    /// put back is forgotten.
    pub(super) fn take(&mut self, wanted: &Wanted) -> (Taken, Option<State>) {
        let tenants = wanted.tenants.iter();
        let ends = tenants.filter_map(|id| Some((*id, self.tenants.remove(id)?)));
        let taken = Taken {
            ends: ends.collect(),
            forgotten: self.forgotten,
        };
        let state = self.state(wanted, &taken);
        (taken, state)
    }

    fn state(&self, wanted: &Wanted, taken: &Taken) -> Option<State> {
        let mut state = State::default();
        for id in &wanted.tenants {
            state
                .tenants
                .insert(*id, taken.ends.get(id)?.tenant.clone());
        }
        for key in &wanted.streams {
            let end = self.streams.get(key)?;
            if end.line != taken.ends.get(&key.0)?.line {
                return None;
            }
            state.streams.insert(*key, end.stream);
        }
        Some(state)
    }

    /// Puts back what a commit took, as it left it.
    pub(super) fn put(&mut self, mut taken: Taken, after: State) {
        if taken.forgotten != self.forgotten {
            return;
        }
        if self.tenants.len() > REMEMBERED_MAX || self.streams.len() > REMEMBERED_MAX {
            self.clear();
        }
        let mut lines = HashMap::with_capacity(after.tenants.len());
        for (id, tenant) in after.tenants {
            let line = match taken.ends.remove(&id) {
                Some(end) if end.tenant.head == tenant.found => end.line,
                _other => {
                    self.lines += 1;
                    Line(self.lines)
                }
            };
            lines.insert(id, line);
            let tenant = tenant.settled();
            self.tenants.insert(id, End { tenant, line });
        }
        for (key, stream) in after.streams {
            if let Some(line) = lines.get(&key.0) {
                let (stream, line) = (stream.settled(), *line);
                self.streams.insert(key, StreamEnd { stream, line });
            }
        }
    }
}

#[cfg(test)]
mod tests;
