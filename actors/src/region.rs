//! The actor of one region: gathers whatever has come while the last commit ran and writes it as one transaction. A store
//! that can have several under way gets them, of different tenants.
//!
//! Decides when to write, never what. Holds nothing that is not either written or still owed an answer, so its death costs
//! the writers in flight an error and nobody anything else.

mod growing;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use actix::prelude::*;
use domain::{ids::TenantId, region::Region};
use store::{
    StoreError,
    log::{RegionLog, Write, WriteError},
};
use tokio::{sync::oneshot, time::Instant};

use crate::registry::{AskError, InjectPanic, Keyed, Lifeline, Registry, Reply};
pub use growing::{GrowingAppend, Turn};

/// Rows in one transaction, about: more would make those who wait wait longer than they gain.
const COMMIT_ROWS_MAX: usize = 4_096;

/// One region's writer.
pub struct RegionActor {
    region: Region,
    log: Arc<dyn RegionLog>,
    queue: VecDeque<Enqueue>,
    /// Commits under way.
    writing: usize,
    /// Whose parts they hold: a tenant's parts are written one commit after the other.
    busy: HashSet<TenantId>,
    /// Dropped last: its death notice tells the registry.
    _lifeline: Lifeline<RegionActor>,
}

/// What is offered to the writer.
#[derive(Debug)]
pub enum Offer {
    /// A part as it is.
    Part(Write),
    /// An append that grows until its turn comes.
    Growing(Arc<GrowingAppend>),
}

/// Whom to tell what became of a part that is being written.
struct Asker {
    growing: Option<Arc<GrowingAppend>>,
    reply: Reply<WriteOutcome>,
}

/// What became of one part.
pub type WriteOutcome = Result<(), WriteError>;

/// Writes one part with the next commit. Answered when it is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Enqueue {
    /// What to write.
    pub offer: Offer,
    /// Where to answer.
    pub reply: Reply<WriteOutcome>,
}

impl RegionActor {
    /// An actor that writes to `log`.
    pub fn new(
        region: Region,
        log: Arc<dyn RegionLog>,
        lifeline: Lifeline<RegionActor>,
    ) -> RegionActor {
        RegionActor {
            region,
            log,
            queue: VecDeque::new(),
            writing: 0,
            busy: HashSet::new(),
            _lifeline: lifeline,
        }
    }

    fn write_next(&mut self, ctx: &mut Context<Self>) {
        while self.writing < self.log.commits_at_once() && self.begin_commit(ctx) {}
    }

    /// Begins a commit, if anything may be written now.
    fn begin_commit(&mut self, ctx: &mut Context<Self>) -> bool {
        let (parts, askers) = self.take_commit();
        if parts.is_empty() {
            return false;
        }
        self.writing += 1;
        let tenants: HashSet<TenantId> = parts.iter().map(Write::tenant).collect();
        self.busy.extend(&tenants);
        metrics::histogram!("commit_parts", "region" => self.region.name())
            .record(f64::from(u32::try_from(parts.len()).unwrap_or(u32::MAX)));
        let log = Arc::clone(&self.log);
        let started_at = Instant::now();
        let write = async move { log.commit(&parts).await };
        ctx.spawn(write.into_actor(self).map(move |outcomes, actor, ctx| {
            metrics::histogram!("commit_seconds", "region" => actor.region.name())
                .record(started_at.elapsed().as_secs_f64());
            answer(askers, outcomes);
            actor.writing -= 1;
            actor.busy.retain(|tenant| !tenants.contains(tenant));
            actor.write_next(ctx);
        }));
        true
    }

    fn take_commit(&mut self) -> (Vec<Write>, Vec<Asker>) {
        let (mut parts, mut askers, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut later = VecDeque::new();
        // A tenant's append waits for what becomes of the one before it, and all that follows waits with it.
        let (mut appending, mut held_up) = (HashSet::new(), HashSet::new());
        while rows < COMMIT_ROWS_MAX
            && let Some(waiting) = self.queue.pop_front()
        {
            let tenant = waiting.offer.tenant();
            let is_second = waiting.offer.is_append() && !appending.insert(tenant);
            if is_second || self.busy.contains(&tenant) || held_up.contains(&tenant) {
                held_up.insert(tenant);
                later.push_back(waiting);
                continue;
            }
            let Enqueue { offer, reply } = waiting;
            match offer.take() {
                Ok((part, growing)) => {
                    rows += rows_of(&part);
                    parts.push(part);
                    askers.push(Asker { growing, reply });
                }
                Err(refused) => {
                    // It is not written, so the next one need not wait for it.
                    appending.remove(&tenant);
                    reply.send(Err(refused));
                }
            }
        }
        // In front of what was not looked at: the order within each tenant stays.
        later.append(&mut self.queue);
        self.queue = later;
        (parts, askers)
    }
}

impl Offer {
    fn tenant(&self) -> TenantId {
        match self {
            Offer::Part(part) => part.tenant(),
            Offer::Growing(growing) => growing.tenant(),
        }
    }

    fn is_append(&self) -> bool {
        matches!(self, Offer::Growing(_) | Offer::Part(Write::Append(_)))
    }

    fn take(self) -> Result<(Write, Option<Arc<GrowingAppend>>), WriteError> {
        match self {
            Offer::Part(part) => Ok((part, None)),
            Offer::Growing(growing) => match growing.take() {
                Turn::Write(append) => Ok((Write::Append(append), Some(growing))),
                Turn::Refuse => Err(WriteError::Store(StoreError::Unavailable(
                    "the events before these were not written".to_owned(),
                ))),
            },
        }
    }
}

impl From<Write> for Offer {
    fn from(part: Write) -> Offer {
        Offer::Part(part)
    }
}

impl Asker {
    fn tell(self, outcome: WriteOutcome) {
        if let Some(growing) = self.growing {
            growing.ended(outcome.is_ok());
        }
        self.reply.send(outcome);
    }
}

fn rows_of(part: &Write) -> usize {
    match part {
        Write::Append(append) => append.events.len(),
        Write::Settle(settle) => 1 + settle.attempts.len() + settle.exceptions.len(),
        Write::Dispatch(dispatch) => 1 + dispatch.woken.len(),
        Write::Consume(_)
        | Write::Replay { .. }
        | Write::ForgetWebhook { .. }
        | Write::OpenDevice { .. }
        | Write::Credentials { .. }
        | Write::Outgoing { .. }
        | Write::Outcome { .. }
        | Write::ForgetDevice { .. } => 1,
    }
}

fn answer(askers: Vec<Asker>, outcomes: Result<Vec<Result<(), WriteError>>, StoreError>) {
    match outcomes {
        Ok(outcomes) => {
            for (asker, outcome) in askers.into_iter().zip(outcomes) {
                asker.tell(outcome);
            }
        }
        Err(error) => {
            tracing::error!(%error, parts = askers.len(), "a commit failed: {error}");
            for asker in askers {
                asker.tell(Err(WriteError::Store(again(&error))));
            }
        }
    }
}

/// The same error for each of those who waited.
pub(crate) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full => StoreError::Full,
        StoreError::Unavailable(_)
        | StoreError::Unsuitable(_)
        | StoreError::Conflict(_)
        | StoreError::VersionMismatch
        | StoreError::NotFound(_)
        | StoreError::LimitReached { .. }
        | StoreError::Corrupt(_) => StoreError::Unavailable(error.to_string()),
    }
}

impl Keyed for RegionActor {
    type Key = Region;
    const KIND: &'static str = "region";
    const RUNS_UNASKED: bool = true;
}

impl Actor for RegionActor {
    type Context = Context<Self>;
}

impl Handler<Enqueue> for RegionActor {
    type Result = ();

    fn handle(&mut self, message: Enqueue, ctx: &mut Context<Self>) {
        // While its tenant's parts are being written it can only wait, and nothing that waits can go because of it.
        let must_wait = self.busy.contains(&message.offer.tenant());
        self.queue.push_back(message);
        if !must_wait {
            self.write_next(ctx);
        }
    }
}

impl Handler<InjectPanic> for RegionActor {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Context<Self>) {
        panic!("a panic was asked for");
    }
}

/// Writes one part to a region and waits until it is on disk.
pub async fn write(
    regions: &Registry<RegionActor>,
    region: Region,
    part: Write,
) -> Result<(), WriteError> {
    let offer = Offer::Part(part);
    landed(regions.post(&region, |reply| Enqueue { offer, reply })).await
}

/// Waits for what became of a part that was posted. It takes as long as the disk takes: whoever asked has a deadline.
pub async fn landed(
    posted: Result<oneshot::Receiver<WriteOutcome>, AskError>,
) -> Result<(), WriteError> {
    match posted {
        Ok(answer) => answer
            .await
            .unwrap_or_else(|_writer_died| Err(unavailable(AskError::Stopped))),
        Err(error) => Err(unavailable(error)),
    }
}

/// A writer that does not answer is a store that does not answer.
fn unavailable(error: AskError) -> WriteError {
    WriteError::Store(StoreError::Unavailable(format!(
        "the region's writer: {error}"
    )))
}

/// The logs of all regions that this installation has.
#[derive(Clone)]
pub struct RegionLogs {
    /// A region without a log is named only; see [`RegionLogs::closed`].
    by_region: Arc<HashMap<Region, Option<Arc<dyn RegionLog>>>>,
}

impl RegionLogs {
    /// Takes the opened logs.
    pub fn new(logs: HashMap<Region, Arc<dyn RegionLog>>) -> RegionLogs {
        let opened = logs.into_iter().map(|(region, log)| (region, Some(log)));
        RegionLogs {
            by_region: Arc::new(opened.collect()),
        }
    }

    /// Names regions whose logs stay closed: enough to make tenants in them, for commands that work on the control plane
    /// while another process has the logs.
    pub fn closed(regions: &[Region]) -> RegionLogs {
        let named = regions.iter().map(|region| (*region, None));
        RegionLogs {
            by_region: Arc::new(named.collect()),
        }
    }

    /// One region's log.
    ///
    /// # Panics
    /// If the region is not served here: a tenant cannot be made in such a region, so none asks.
    pub fn get(&self, region: Region) -> Arc<dyn RegionLog> {
        Arc::clone(
            self.by_region
                .get(&region)
                .and_then(Option::as_ref)
                .expect("a tenant lives only in a region that is served, and whoever reads events has opened it"),
        )
    }

    /// The regions that are served.
    pub fn regions(&self) -> Vec<Region> {
        let mut regions: Vec<Region> = self.by_region.keys().copied().collect();
        regions.sort_unstable();
        regions
    }
}
