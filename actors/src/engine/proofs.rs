//! Checkpoints and proofs: what lets others check the log without trusting it.
//!
//! Never signs two checkpoints that disagree: what was signed last is remembered outside of the databases and compared
//! first (DESIGN §9).

use domain::{
    checkpoint::{Checkpoint, SignDecision},
    event::{Event, Hash},
    ids::{EventId, TenantId, WorkspaceId},
    merkle::{
        consistency_needs, consistency_path, inclusion_needs, inclusion_path, misses_only_removed,
    },
    region::Region,
};
use store::{checkpoints::Signed, log::RegionLog};

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
        let (last, consistency) = self
            .continued(tenant, workspace, &*log, last, checkpoint.size)
            .await?;
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

    /// What is to be compared with the checkpoint to be signed, which has `size` leaves: what was signed last, and the proof that
    /// leads from there.
    ///
    /// A node of a cluster that was away for longer than events are kept knows no more than one that has just joined: nothing can
    /// be compared. That is so only if what is missing are leaves of events that are gone, from the old end of the log on. A node
    /// that is alone has not been away while events went.
    async fn continued(
        &self,
        tenant: TenantId,
        workspace: WorkspaceId,
        log: &dyn RegionLog,
        last: Option<Signed>,
        size: u64,
    ) -> Result<(Option<Signed>, Vec<Hash>), EngineError> {
        let earlier = match last {
            Some(last) if last.size > 0 && last.size < size => last.size,
            Some(_) | None => return Ok((last, Vec::new())),
        };
        let needs = consistency_needs(earlier, size);
        let fetched = hashes(log, tenant, workspace, &needs).await?;
        let error = match consistency_path(earlier, size, &fetched) {
            Ok(path) => return Ok((last, path)),
            Err(error) => error,
        };
        if self.inner.placement.is_shared() {
            let oldest = log.oldest_seq(tenant, workspace).await?;
            let removed = oldest.map_or(size, |oldest| oldest.prev().get());
            if misses_only_removed(&needs, &fetched, removed) {
                tracing::warn!(workspace.id = %workspace, "what this node signed of {workspace} last cannot be compared: the events of that time are gone");
                return Ok((None, Vec::new()));
            }
        }
        Err(EngineError::Internal(format!(
            "the log of {workspace} cannot be compared with what was signed before: {error}"
        )))
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
