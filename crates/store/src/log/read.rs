//! What can be asked of a log, and what it answers.

use domain::{
    event::{Event, Hash},
    filter::EventFilter,
    ids::WorkspaceId,
    position::{Position, Seq},
    time::Timestamp,
};

/// The end of a workspace's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    /// Seq of the last event = number of leaves.
    pub seq: Seq,
    /// Hash of the last event.
    pub hash: Hash,
}

/// A `dedup_id` that the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DedupEntry {
    /// Where it is unique.
    pub workspace: WorkspaceId,
    /// What the sender called it.
    pub dedup_id: Box<str>,
    /// The event that has it.
    pub event: domain::ids::EventId,
    /// Since when the 24 h run.
    pub received_at: Timestamp,
}

/// What to search.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Which events.
    pub filter: EventFilter,
    /// Only positions after this one (ascending) …
    pub after: Option<Position>,
    /// … and before this one.
    pub before: Option<Position>,
    /// Newest first?
    pub order: Order,
    /// Matches a page.
    pub limit: u32,
    /// Events looked at for a page.
    pub scan_max: u32,
    /// About how many bytes of payload a page may hold.
    pub bytes_max: usize,
}

/// In which direction a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// One page of a search.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The matches.
    pub events: Vec<Event>,
    /// The last position that was looked at, if there may be more: go on after it (before it, if descending).
    pub next: Option<Position>,
}

/// A pull reader's name, within a tenant or (for workspace keys) within a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerName {
    /// The workspace that it is confined to.
    pub workspace: Option<WorkspaceId>,
    /// What its reader calls it.
    pub name: Box<str>,
}

/// Where a pull reader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// Everything up to here is acknowledged.
    pub cursor: Position,
    /// What is acknowledged above it, ascending; bounded by the caller.
    pub acked: Vec<Position>,
}

/// Counts for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that wait for another attempt.
    pub retrying: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events received since the time asked for.
    pub events: u64,
}
