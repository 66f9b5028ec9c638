//! Checkpoints and proofs: what lets others check the log without trusting it.
//!
//! Never signs two checkpoints that disagree: what was signed last is remembered outside of the databases and compared
//! first (DESIGN §9).

use domain::{
    checkpoint::{Checkpoint, SignDecision},
    event::{Event, Hash},
    ids::{EventId, TenantId, WorkspaceId},
    merkle::{TreeError, consistency_needs, consistency_path, inclusion_needs, inclusion_path},
    region::Region,
};
use store::checkpoints::Signed;

use super::{Engine, EngineError};
use crate::tenant::load::{frontier, hashes};

/// A signed checkpoint.
#[derive(Clone, Debug)]
pub struct Checkpointed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
    /// The key that verifies it, in the form that C2SP notes use.
    pub verifier: String,
}

/// An event's place in its workspace's tree, with what proves it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The event.
    pub event: Event,
    /// Where it lives.
    pub region: Region,
    /// Its leaf, counted from 0.
    pub leaf_index: u64,
    /// RFC 6962 inclusion path, from the leaf up.
    pub path: Vec<Hash>,
    /// The checkpoint that the path leads to.
    pub checkpoint: Checkpointed,
}

impl Engine {
    /// Signs the present state of a workspace's log.
    pub async fn checkpoint(
        &self,
        tenant: TenantId,
        region: Region,
        workspace: WorkspaceId,
    ) -> Result<Checkpointed, EngineError> {
        let log = self.inner.logs.get(region);
        let size = log
            .chain_end(tenant, workspace)
            .await?
            .map_or(0, |end| end.seq.get());
        let root = frontier(&*log, tenant, workspace, size).await?.root();
        let checkpoint = Checkpoint {
            origin: Checkpoint::origin(region, tenant, workspace),
            size,
            root,
        };
        self.sign(tenant, region, workspace, checkpoint).await
    }

    async fn sign(
        &self,
        tenant: TenantId,
        region: Region,
        workspace: WorkspaceId,
        checkpoint: Checkpoint,
    ) -> Result<Checkpointed, EngineError> {
        let log = self.inner.logs.get(region);
        // Held until the new one is remembered: two signers must not both compare with the old one.
        let guard = self.inner.checkpoints.lock().await;
        let last = guard.last(region, workspace).await?;
        let consistency = match &last {
            Some(last) if last.size > 0 && last.size < checkpoint.size => {
                let needs = consistency_needs(last.size, checkpoint.size);
                let fetched = hashes(&*log, tenant, workspace, &needs).await?;
                consistency_path(last.size, checkpoint.size, &fetched)
            }
            Some(_) | None => Ok(Vec::new()),
        };
        let (last, consistency) = match consistency {
            Ok(consistency) => (last, consistency),
            // A node that was away for longer than events are kept knows no more than one that has just joined. A node that is
            // alone has not been away while events went.
            Err(TreeError::Incomplete { .. }) if self.inner.placement.is_shared() => {
                tracing::warn!(workspace.id = %workspace, "what this node signed of {workspace} last cannot be compared: the events of that time are gone");
                (None, Vec::new())
            }
            Err(error) => return Err(EngineError::Internal(error.to_string())),
        };
        let last_signed = last.map(|last| (last.size, last.root));
        match SignDecision::decide(last_signed, &checkpoint, &consistency) {
            SignDecision::Sign => {}
            SignDecision::Refuse(reason) => {
                tracing::error!(workspace.id = %workspace, %reason, "the log of {workspace} does not continue what was signed: {reason}");
                return Err(EngineError::Internal(format!(
                    "the log of {workspace} does not continue what was signed before: {reason}"
                )));
            }
        }
        let signed = Signed {
            size: checkpoint.size,
            root: checkpoint.root,
        };
        guard.remember(region, workspace, signed).await?;
        drop(guard);
        let signer = self.inner.secrets.signer(region);
        Ok(Checkpointed {
            note: checkpoint.sign(&signer),
            verifier: signer.verifier().to_string(),
            checkpoint,
        })
    }

    /// Proves that an event stands in its workspace's log.
    pub async fn proof(&self, tenant: TenantId, id: EventId) -> Result<Proof, EngineError> {
        let (event, region) = self.event(tenant, id).await?;
        let checkpoint = self.checkpoint(tenant, region, event.workspace).await?;
        let leaf_index = event.seq.prev().get();
        let size = checkpoint.checkpoint.size;
        let log = self.inner.logs.get(region);
        let needs = inclusion_needs(leaf_index, size);
        let fetched = hashes(&*log, tenant, event.workspace, &needs).await?;
        let path = match inclusion_path(leaf_index, size, &fetched) {
            Ok(path) => path,
            Err(error) => {
                // It may have outlived its retention since it was read.
                self.event(tenant, id).await?;
                return Err(EngineError::Internal(error.to_string()));
            }
        };
        Ok(Proof {
            event,
            region,
            leaf_index,
            path,
            checkpoint,
        })
    }
}
