//! Follows a tenant's log event by event, computes every hash anew, and says where the log stops being what its chains say.
//!
//! Pure: reads nothing. Trusts no hash that it has not computed.

use std::{collections::HashMap, fmt};

use domain::{
    chain::hash_event,
    event::{Event, Hash},
    ids::{TenantId, WorkspaceId},
    merkle::{Frontier, TreeNode},
    position::{Position, Seq},
};

/// A log's workspaces, as far as it was followed.
#[derive(Clone, Debug)]
pub(super) struct Chains {
    tenant: TenantId,
    pub(super) head: Position,
    pub(super) ends: HashMap<WorkspaceId, End>,
}

/// The end of one chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) seq: Seq,
    pub(super) hash: Hash,
    pub(super) frontier: Frontier,
}

/// The first event that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its chain.
    pub workspace: WorkspaceId,
    /// Its place in the log.
    pub position: Position,
    /// Its place in the chain.
    pub seq: Seq,
    /// What is wrong with it.
    pub how: Break,
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It does not follow the position before it.
    Position,
    /// It does not follow the seq before it.
    Seq,
    /// It does not name the hash of the event before it.
    Link,
    /// Its content is not what its hash was made of.
    Content,
}

impl Chains {
    /// A log of which nothing was read yet.
    #[cfg(test)]
    pub(super) fn new(tenant: TenantId) -> Chains {
        Chains::from(tenant, Position::ZERO, HashMap::new())
    }

    /// A log that was followed before, up to `head`.
    pub(super) fn from(
        tenant: TenantId,
        head: Position,
        ends: HashMap<WorkspaceId, End>,
    ) -> Chains {
        Chains { tenant, head, ends }
    }

    /// Takes the next event. Tree nodes that it completes are appended to `completed`.
    pub(super) fn follow(
        &mut self,
        event: &Event,
        completed: &mut Vec<(WorkspaceId, TreeNode)>,
    ) -> Result<(), Broken> {
        let end = self.ends.entry(event.workspace).or_default();
        let broken = if event.position != self.head.next() {
            Some(Break::Position)
        } else if event.seq != end.seq.next() {
            Some(Break::Seq)
        } else if event.prev_hash != end.hash {
            Some(Break::Link)
        } else if event.hash != hash_event(self.tenant, event) {
            Some(Break::Content)
        } else {
            None
        };
        if let Some(how) = broken {
            return Err(Broken {
                workspace: event.workspace,
                position: event.position,
                seq: event.seq,
                how,
            });
        }
        let mut nodes = Vec::new();
        end.frontier.push(event.hash, &mut nodes);
        completed.extend(nodes.into_iter().map(|node| (event.workspace, node)));
        (end.seq, end.hash, self.head) = (event.seq, event.hash, event.position);
        Ok(())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken {
            workspace,
            position,
            seq,
            how,
        } = self;
        let how = match how {
            Break::Position => "does not follow the position before it",
            Break::Seq => "does not follow the seq before it",
            Break::Link => "does not name the hash of the event before it",
            Break::Content => "has a content that its hash was not made of",
        };
        write!(
            f,
            "the event at position {position} (workspace {workspace}, seq {seq}) {how}"
        )
    }
}
