//! Carries one tenant's events over through the log's own terms, and proves that the target holds the same log.
//!
//! Every hash is computed twice: from what the source holds before it is written, and from what the target returns. What was
//! written by an earlier run is read back like the rest.

use std::{collections::HashMap, sync::Arc};

use domain::{
    event::Event,
    filter::EventFilter,
    ids::{TenantId, WorkspaceId},
    merkle::{Fetch, Frontier, frontier_needs},
    position::{Position, Seq},
    region::Region,
};

use super::{
    CarryOverError, Progress, Side,
    chains::{Broken, Chains, End},
};
use crate::{
    StoreError,
    log::{Append, EventQuery, Order, RegionLog, Write, WriteError},
};

/// Events that are written in one transaction, and about how many bytes of them.
const EVENTS_MAX: u32 = 500;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// One tenant's log at both ends.
pub(super) struct Logs<'a> {
    pub(super) region: Region,
    pub(super) tenant: TenantId,
    /// Everything up to here is gone at the source.
    pub(super) removed: Position,
    pub(super) source: &'a dyn RegionLog,
    pub(super) target: &'a dyn RegionLog,
    pub(super) watch: &'a (dyn Fn(Progress) + Sync),
}

impl Logs<'_> {
    /// Writes what the target does not have yet. `base` is where the source's chains stand before the oldest event.
    pub(super) async fn carry(
        &self,
        workspaces: &[WorkspaceId],
        base: HashMap<WorkspaceId, End>,
    ) -> Result<(), CarryOverError> {
        let mut chains = self.begin(workspaces, base).await?;
        let done = chains.head.get() - self.removed.get();
        (self.watch)(Progress::Done(done));
        loop {
            let events = self.read(Side::Source, chains.head).await?;
            if events.is_empty() {
                return Ok(());
            }
            let expected_head = chains.head;
            let mut nodes = Vec::new();
            for event in &events {
                chains
                    .follow(event, &mut nodes)
                    .map_err(|broken| self.broken(Side::Source, broken))?;
            }
            let count = events.len() as u64;
            self.append(Append {
                tenant: self.tenant,
                expected_head,
                events: events.into_iter().map(Arc::new).collect(),
                nodes,
                answers: Vec::new(),
                sessions: Vec::new(),
                messages: Vec::new(),
            })
            .await?;
            (self.watch)(Progress::Done(count));
        }
    }

    /// Reads the whole log back from the target, computes its chains and trees anew, and compares them with both ends.
    pub(super) async fn verify(&self, workspaces: &[WorkspaceId]) -> Result<(), CarryOverError> {
        let base = self.base(Side::Target, workspaces).await?;
        for (&workspace, kept) in &self.base(Side::Source, workspaces).await? {
            let found = base.get(&workspace).cloned().unwrap_or_default();
            if let Some(what) = difference(&found, kept) {
                return Err(self.differs(workspace, kept, what));
            }
        }
        let mut chains = Chains::from(self.tenant, self.removed, base);
        let mut completed = Vec::new();
        loop {
            let events = self.read(Side::Target, chains.head).await?;
            if events.is_empty() {
                break;
            }
            for event in &events {
                chains
                    .follow(event, &mut completed)
                    .map_err(|broken| self.broken(Side::Target, broken))?;
            }
            // Those that are kept are read below.
            completed.clear();
            (self.watch)(Progress::Done(events.len() as u64));
        }
        for side in [Side::Source, Side::Target] {
            let head = self.head(side).await?;
            if head != chains.head {
                return Err(self.forked(head.min(chains.head).next()));
            }
        }
        for &workspace in workspaces {
            let computed = chains.ends.remove(&workspace).unwrap_or_default();
            for side in [Side::Source, Side::Target] {
                let kept = self.end(side, workspace).await?;
                if let Some(what) = difference(&computed, &kept) {
                    return Err(self.differs(workspace, &kept, what));
                }
            }
        }
        match chains.ends.into_iter().next() {
            Some((workspace, end)) => Err(self.differs(workspace, &end, "the list of workspaces")),
            None => Ok(()),
        }
    }

    /// Where the target's log ends, if it is the beginning of the source's.
    async fn begin(
        &self,
        workspaces: &[WorkspaceId],
        base: HashMap<WorkspaceId, End>,
    ) -> Result<Chains, CarryOverError> {
        let head = self.head(Side::Target).await?;
        if head == self.removed {
            return Ok(Chains::from(self.tenant, head, base));
        }
        let at = |side| async move {
            let read = self.log(side).read_at(self.tenant, head).await;
            read.map_err(self.failed(side, "reading the last event"))
        };
        let (source, target) = (at(Side::Source).await?, at(Side::Target).await?);
        if source.is_none() || source != target {
            return Err(self.forked(head));
        }
        let mut ends = HashMap::new();
        for &workspace in workspaces {
            ends.insert(workspace, self.end(Side::Target, workspace).await?);
        }
        Ok(Chains::from(self.tenant, head, ends))
    }

    /// The end of a chain as a store keeps it, with its tree.
    async fn end(&self, side: Side, workspace: WorkspaceId) -> Result<End, CarryOverError> {
        let log = self.log(side);
        let failed = || self.failed(side, format!("reading the chain of {workspace}"));
        let found = log
            .chain_end(self.tenant, workspace)
            .await
            .map_err(failed())?;
        let Some(end) = found else {
            return Ok(End::default());
        };
        let frontier = self.frontier(side, workspace, end.seq.get()).await?;
        Ok(End {
            seq: end.seq,
            hash: end.hash,
            frontier,
        })
    }

    /// Where the chains stand before the oldest event that is kept: where the events begin that can be computed anew. What comes
    /// before is gone, and believed.
    pub(super) async fn base(
        &self,
        side: Side,
        workspaces: &[WorkspaceId],
    ) -> Result<HashMap<WorkspaceId, End>, CarryOverError> {
        let mut base = HashMap::new();
        if self.removed == Position::ZERO {
            return Ok(base);
        }
        for &workspace in workspaces {
            let failed = self.failed(side, format!("reading the oldest event of {workspace}"));
            let oldest = EventQuery {
                filter: EventFilter {
                    workspace: Some(workspace),
                    ..EventFilter::default()
                },
                after: Some(self.removed),
                before: None,
                order: Order::Ascending,
                limit: 1,
                scan_max: 1,
                bytes_max: BYTES_MAX,
            };
            let page = self.log(side).search(self.tenant, &oldest).await;
            let end = match page.map_err(failed)?.events.first() {
                None => self.end(side, workspace).await?,
                Some(first) => End {
                    seq: first.seq.prev(),
                    hash: first.prev_hash,
                    frontier: self
                        .frontier(side, workspace, first.seq.prev().get())
                        .await?,
                },
            };
            base.insert(workspace, end);
        }
        Ok(base)
    }

    async fn frontier(
        &self,
        side: Side,
        workspace: WorkspaceId,
        size: u64,
    ) -> Result<Frontier, CarryOverError> {
        let log = self.log(side);
        let failed = || self.failed(side, format!("reading the tree of {workspace}"));
        let mut fetched = Vec::new();
        for Fetch { level, from, to } in frontier_needs(size) {
            // Leaves count from 0 and seqs from 1; `to` is the index after the last one.
            let hashes = if level == 0 {
                let (from, to) = (Seq::new(from + 1), Seq::new(to));
                log.leaf_hashes(self.tenant, workspace, from, to).await
            } else {
                log.tree_nodes(self.tenant, workspace, level, from, to - 1)
                    .await
            };
            fetched.push(hashes.map_err(failed())?);
        }
        Frontier::rebuild(size, &fetched)
            .map_err(|error| failed()(StoreError::Corrupt(error.to_string())))
    }

    async fn append(&self, append: Append) -> Result<(), CarryOverError> {
        let failed = || self.failed(Side::Target, "writing events");
        let outcomes = self.target.commit(&[Write::Append(append)]).await;
        for outcome in outcomes.map_err(failed())? {
            outcome.map_err(|error| match error {
                WriteError::Store(error) => failed()(error),
                WriteError::HeadMoved { .. }
                | WriteError::Fenced { .. }
                | WriteError::DeviceFenced { .. }
                | WriteError::AnswerTaken => failed()(StoreError::Conflict(format!(
                    "somebody else writes: {error}"
                ))),
            })?;
        }
        Ok(())
    }

    async fn read(&self, side: Side, after: Position) -> Result<Vec<Event>, CarryOverError> {
        let log = self.log(side);
        let events = log
            .read_after(self.tenant, after, EVENTS_MAX, BYTES_MAX)
            .await;
        events.map_err(self.failed(side, format!("reading events after position {after}")))
    }

    async fn head(&self, side: Side) -> Result<Position, CarryOverError> {
        let head = self.log(side).head(self.tenant).await;
        head.map_err(self.failed(side, "reading the head"))
    }

    fn log(&self, side: Side) -> &dyn RegionLog {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    fn failed(
        &self,
        side: Side,
        what: impl std::fmt::Display,
    ) -> impl FnOnce(StoreError) -> CarryOverError {
        let what = format!("{what} (region {}, tenant {})", self.region, self.tenant);
        CarryOverError::store(side, what)
    }

    fn broken(&self, side: Side, broken: Broken) -> CarryOverError {
        CarryOverError::Broken {
            side,
            region: self.region,
            tenant: self.tenant,
            broken,
        }
    }

    fn differs(&self, workspace: WorkspaceId, kept: &End, what: &'static str) -> CarryOverError {
        CarryOverError::ChainDiffers {
            region: self.region,
            tenant: self.tenant,
            workspace,
            seq: kept.seq.get(),
            what,
        }
    }

    fn forked(&self, position: Position) -> CarryOverError {
        CarryOverError::Forked {
            region: self.region,
            tenant: self.tenant,
            position,
        }
    }
}

/// In what two ends of a chain differ.
fn difference(computed: &End, kept: &End) -> Option<&'static str> {
    if computed.seq != kept.seq {
        Some("the number of events")
    } else if computed.hash != kept.hash {
        Some("the last hash")
    } else if computed.frontier.root() != kept.frontier.root() {
        Some("the root of the Merkle tree")
    } else {
        None
    }
}
