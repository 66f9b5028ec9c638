//! Remembers the dedup ids that one tenant used within 24 hours.
//!
//! A bounded cache over the log, with one question that decides its shape: is an id that is not here a new one, or only
//! one that was forgotten? The window knows whether it is *complete*; while it is not, the store has to be asked, and its
//! answers are learned. Does no asking itself, and counts on being told of every event that its tenant's one writer puts
//! into the log.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    ids::{EventId, WorkspaceId},
    time::Timestamp,
};

/// How long a dedup id names its event.
pub const WINDOW: Duration = Duration::from_hours(24);

/// The dedup window of one tenant.
#[derive(Debug)]
pub struct DedupWindow {
    entries: HashMap<WorkspaceId, HashMap<Arc<str>, Entry>>,
    /// Known entries in the order in which they came; some have been replaced since.
    known: VecDeque<Ticket>,
    /// How many entries are known.
    known_count: usize,
    /// Absent entries in the order in which they came; some have been used since.
    absent: VecDeque<Ticket>,
    capacity: usize,
    /// Ids that are not here may be in the log, with events received at or before this moment. The window is complete
    /// when that is 24 h ago.
    forgotten_until: Option<Timestamp>,
    /// Counts entries, so that a ticket can tell its own from a later one with the same id.
    issued: u64,
}

/// What the window knows of a dedup id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An event within the last 24 h has it.
    Known(EventId),
    /// An event that is being written has it: wait for its outcome.
    InFlight,
    /// No event has it.
    Absent,
    /// The window cannot tell: ask the store, then [`DedupWindow::learn`].
    Unknown,
}

/// An id that the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Where it is unique.
    pub workspace: WorkspaceId,
    /// The id.
    pub dedup_id: Box<str>,
    /// The event that has it.
    pub event: EventId,
    /// Since when the 24 h run.
    pub received_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    InFlight,
    Known {
        event: EventId,
        at: Timestamp,
        issue: u64,
    },
    /// The store has said that there is none.
    Absent {
        issue: u64,
    },
}

#[derive(Clone, Debug)]
struct Ticket {
    workspace: WorkspaceId,
    dedup_id: Arc<str>,
    issue: u64,
}

impl DedupWindow {
    /// A complete window of a log without events.
    ///
    /// It holds at most `capacity` known ids and as many answers of the store that there is none; a batch must fit, or
    /// what was learned for its end would push out what was learned for its beginning.
    pub fn new(capacity: usize) -> DedupWindow {
        DedupWindow {
            entries: HashMap::new(),
            known: VecDeque::new(),
            known_count: 0,
            absent: VecDeque::new(),
            capacity: capacity.max(1),
            forgotten_until: None,
            issued: 0,
        }
    }

    /// Takes what the log holds, newest first, into a new window. `complete` says that these are all of the last 24 h.
    pub fn load(
        capacity: usize,
        newest_first: impl IntoIterator<Item = Loaded>,
        complete: bool,
        now: Timestamp,
    ) -> DedupWindow {
        let mut window = DedupWindow::new(capacity);
        let mut loaded: Vec<Loaded> = newest_first.into_iter().collect();
        if !complete {
            let oldest = loaded.last().map_or(now, |entry| entry.received_at);
            window.forgotten_until = Some(oldest);
        }
        // In the order of the log, so that the newest event with an id is the one that stays.
        loaded.reverse();
        for entry in loaded {
            let dedup_id = Arc::from(entry.dedup_id);
            window.insert_known(entry.workspace, dedup_id, entry.event, entry.received_at);
        }
        window
    }

    /// What is known of an id.
    pub fn lookup(&self, workspace: WorkspaceId, dedup_id: &str, now: Timestamp) -> Lookup {
        let entry = self
            .entries
            .get(&workspace)
            .and_then(|ids| ids.get(dedup_id));
        match entry {
            Some(Entry::InFlight) => Lookup::InFlight,
            Some(Entry::Known { event, at, .. }) if !is_over(*at, now) => Lookup::Known(*event),
            // Whatever the log holds besides is older still.
            Some(Entry::Known { .. } | Entry::Absent { .. }) => Lookup::Absent,
            None if self.is_complete(now) => Lookup::Absent,
            None => Lookup::Unknown,
        }
    }

    /// Says whether an id that is not here is in no event of the last 24 h.
    pub fn is_complete(&self, now: Timestamp) -> bool {
        self.forgotten_until
            .is_none_or(|moment| is_over(moment, now))
    }

    /// Reserves an id for an event that is about to be written. To be called after [`Lookup::Absent`] only.
    pub fn begin(&mut self, workspace: WorkspaceId, dedup_id: &str) {
        let ids = self.entries.entry(workspace).or_default();
        let before = match ids.get_mut(dedup_id) {
            Some(entry) => std::mem::replace(entry, Entry::InFlight),
            None => {
                ids.insert(dedup_id.into(), Entry::InFlight);
                return;
            }
        };
        if let Entry::Known { .. } = before {
            self.known_count -= 1;
        }
    }

    /// The event is durable: its id is known from now on.
    pub fn commit(
        &mut self,
        workspace: WorkspaceId,
        dedup_id: &str,
        event: EventId,
        at: Timestamp,
    ) {
        let dedup_id = self.name(workspace, dedup_id);
        self.insert_known(workspace, dedup_id, event, at);
    }

    /// The event was not written: its id is free again. Does nothing to an id that is not in flight.
    pub fn abort(&mut self, workspace: WorkspaceId, dedup_id: &str) {
        if let Some(Entry::InFlight) = self
            .entries
            .get(&workspace)
            .and_then(|ids| ids.get(dedup_id))
        {
            // It was absent when it was reserved, and nobody else writes: it need not be asked for again.
            self.remove(workspace, dedup_id);
            self.learn(workspace, dedup_id, None);
        }
    }

    /// Takes the store's answer about an id. What the window knows already is newer and stays.
    ///
    /// The answer stays at least until the capacity is used up by later ones, so that the look-up that asked finds it.
    pub fn learn(
        &mut self,
        workspace: WorkspaceId,
        dedup_id: &str,
        answer: Option<(EventId, Timestamp)>,
    ) {
        let is_known = self
            .entries
            .get(&workspace)
            .is_some_and(|ids| ids.contains_key(dedup_id));
        if is_known {
            return;
        }
        let dedup_id: Arc<str> = dedup_id.into();
        match answer {
            Some((event, at)) => self.insert_known(workspace, dedup_id, event, at),
            None => {
                let issue = self.issue();
                let entry = Entry::Absent { issue };
                self.entries
                    .entry(workspace)
                    .or_default()
                    .insert(Arc::clone(&dedup_id), entry);
                self.absent.push_back(Ticket {
                    workspace,
                    dedup_id,
                    issue,
                });
                if self.absent.len() > self.capacity {
                    self.drop_oldest_absent();
                }
            }
        }
    }

    /// Forgets what is older than 24 h. Cheap; to be called now and then.
    pub fn expire(&mut self, now: Timestamp) {
        if self.is_complete(now) {
            self.forgotten_until = None;
            // A complete window needs no answers of the store.
            while !self.absent.is_empty() {
                self.drop_oldest_absent();
            }
        }
        while let Some(ticket) = self.known.front() {
            match self.known_at(ticket) {
                Some(at) if !is_over(at, now) => return,
                Some(_) | None => self.drop_oldest_known(),
            };
        }
    }

    /// How many ids are known.
    pub fn len(&self) -> usize {
        self.known_count
    }

    /// Says whether no id is known.
    pub fn is_empty(&self) -> bool {
        self.known_count == 0
    }

    fn insert_known(
        &mut self,
        workspace: WorkspaceId,
        dedup_id: Arc<str>,
        event: EventId,
        at: Timestamp,
    ) {
        let issue = self.issue();
        let entry = Entry::Known { event, at, issue };
        let ids = self.entries.entry(workspace).or_default();
        let before = ids.insert(Arc::clone(&dedup_id), entry);
        if !matches!(before, Some(Entry::Known { .. })) {
            self.known_count += 1;
        }
        self.known.push_back(Ticket {
            workspace,
            dedup_id,
            issue,
        });
        while self.known_count > self.capacity {
            if let Some(at) = self.drop_oldest_known() {
                self.forgotten_until = self.forgotten_until.max(Some(at));
            }
        }
    }

    /// Drops the entry of the oldest ticket, unless it has been replaced, and answers when its event was received.
    fn drop_oldest_known(&mut self) -> Option<Timestamp> {
        let ticket = self.known.pop_front()?;
        let at = self.known_at(&ticket)?;
        self.remove(ticket.workspace, &ticket.dedup_id);
        self.known_count -= 1;
        Some(at)
    }

    fn drop_oldest_absent(&mut self) {
        if let Some(ticket) = self.absent.pop_front()
            && let Some(Entry::Absent { issue }) = self.entry(&ticket)
            && issue == ticket.issue
        {
            self.remove(ticket.workspace, &ticket.dedup_id);
        }
    }

    fn known_at(&self, ticket: &Ticket) -> Option<Timestamp> {
        match self.entry(ticket)? {
            Entry::Known { at, issue, .. } if issue == ticket.issue => Some(at),
            Entry::Known { .. } | Entry::InFlight | Entry::Absent { .. } => None,
        }
    }

    fn entry(&self, ticket: &Ticket) -> Option<Entry> {
        self.entries
            .get(&ticket.workspace)?
            .get(&ticket.dedup_id)
            .copied()
    }

    fn remove(&mut self, workspace: WorkspaceId, dedup_id: &str) {
        if let Some(ids) = self.entries.get_mut(&workspace) {
            ids.remove(dedup_id);
            if ids.is_empty() {
                self.entries.remove(&workspace);
            }
        }
    }

    /// The id as it is kept already, or a new copy.
    fn name(&self, workspace: WorkspaceId, dedup_id: &str) -> Arc<str> {
        let kept = self
            .entries
            .get(&workspace)
            .and_then(|ids| ids.get_key_value(dedup_id));
        kept.map_or_else(|| dedup_id.into(), |(name, _)| Arc::clone(name))
    }

    fn issue(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }
}

fn is_over(at: Timestamp, now: Timestamp) -> bool {
    now >= at.plus(WINDOW)
}

#[cfg(test)]
mod tests;
