//! Replays: past events that are sent again, in order, beside what is new.
//!
//! Keeps how far each replay has come, and reads what it sends. Whether a slot is free for it is not decided here.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use domain::{
    event::Event,
    filter::{EventFilter, TypeFilter},
    ids::{ReplayId, TenantId},
    position::Position,
    time::Timestamp,
};
use store::{
    StoreError,
    log::{DeadLetterQuery, EventQuery, Order, RegionLog, Replay, ReplayState, WebhookNo},
};

use super::parcel::Parcel;

/// Events that are read at once for a replay.
const PAGE_EVENTS: u32 = 64;
const PAGE_BYTES: usize = 1024 * 1024;
/// Events looked at for one page.
const SCAN_MAX: u32 = 20_000;
/// Positions that one page of dead letters spans at first; wider while there are none.
const WINDOW_FIRST: u64 = 10_000;
const WINDOW_MAX: u64 = 10_000_000;
/// Parcels in hand below which more are read.
const REFILL_BELOW: usize = 32;

/// The replays of one webhook, one after the other.
#[derive(Debug, Default)]
pub(super) struct Replays {
    queue: VecDeque<Running>,
}

/// One replay on its way.
#[derive(Debug)]
struct Running {
    replay: Replay,
    ready: VecDeque<Parcel>,
    read_to: Position,
    /// Read, and without an outcome on disk.
    open: BTreeSet<Position>,
    is_fetching: bool,
    /// Whether it has moved since it was last written.
    has_moved: bool,
}

/// What was read for a replay.
#[derive(Debug)]
pub(super) struct Page {
    /// Events to send, in order, each with the number of attempts that were made.
    pub(super) found: Vec<(Event, u32)>,
    /// Everything up to here was looked at.
    pub(super) read_to: Position,
}

impl Replays {
    /// Takes over a replay that has not ended.
    pub(super) fn push(&mut self, replay: Replay, is_stored: bool) {
        self.queue.push_back(Running {
            read_to: replay.cursor,
            replay,
            ready: VecDeque::new(),
            open: BTreeSet::new(),
            is_fetching: false,
            has_moved: !is_stored,
        });
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The replay that more is to be read for, with where to go on. Notes that it is being read.
    pub(super) fn wants_more(&mut self) -> Option<(Replay, Position)> {
        let running = self.queue.front_mut()?;
        let is_wanted = !running.is_fetching
            && running.ready.len() < REFILL_BELOW
            && running.read_to < running.replay.to;
        is_wanted.then(|| {
            running.is_fetching = true;
            (running.replay.clone(), running.read_to)
        })
    }

    /// Whether something is being read.
    pub(super) fn is_fetching(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|running| running.is_fetching)
    }

    /// Takes over what was read: the parcels to send, and how many deliveries need not be sent because they are on their
    /// way anyway.
    pub(super) fn fetched(&mut self, parcels: Vec<Parcel>, spared: u64, read_to: Position) {
        if let Some(running) = self.queue.front_mut() {
            running.is_fetching = false;
            running.has_moved |= read_to > running.read_to;
            running.read_to = read_to.max(running.read_to);
            running.replay.done += spared;
            running.open.extend(parcels.iter().map(Parcel::position));
            running.ready.extend(parcels);
        }
    }

    /// Notes that nothing could be read.
    pub(super) fn not_fetched(&mut self) {
        if let Some(running) = self.queue.front_mut() {
            running.is_fetching = false;
        }
    }

    /// Whether there is something to send.
    pub(super) fn has_ready(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|running| !running.ready.is_empty())
    }

    /// The next parcel to send.
    pub(super) fn next(&mut self) -> Option<Parcel> {
        self.queue.front_mut()?.ready.pop_front()
    }

    /// Puts back a parcel that was not sent.
    pub(super) fn put_back(&mut self, parcel: Parcel) {
        if let Some(running) = self.queue.front_mut() {
            running.ready.push_front(parcel);
        }
    }

    /// Notes that a delivery's outcome is on disk.
    pub(super) fn ended(&mut self, id: ReplayId, position: Position, has_failed: bool) {
        let found = self
            .queue
            .iter_mut()
            .find(|running| running.replay.id == id);
        if let Some(running) = found
            && running.open.remove(&position)
        {
            running.replay.done += 1;
            running.replay.failed += u64::from(has_failed);
            running.has_moved = true;
        }
    }

    /// Whether one has moved and is to be written.
    pub(super) fn has_moved(&self) -> bool {
        self.queue.iter().any(|running| running.has_moved)
    }

    /// All that have moved, as they are to be written now.
    pub(super) fn take_moved(&mut self, now: Timestamp) -> Vec<Replay> {
        let moved = self.queue.iter_mut().filter(|running| running.has_moved);
        moved.map(|running| running.note(now)).collect()
    }

    /// Lets go of those whose end is on disk.
    pub(super) fn written(&mut self, replays: &[Replay]) {
        let has_ended = |id| {
            let mut of_it = replays.iter().filter(|replay| replay.id == id);
            of_it.any(|replay| replay.state != ReplayState::Running)
        };
        self.queue.retain(|running| !has_ended(running.replay.id));
    }
}

impl Running {
    fn note(&mut self, now: Timestamp) -> Replay {
        self.has_moved = false;
        let first = self.open.first().map(|position| position.prev());
        self.replay.cursor = first.unwrap_or(self.read_to);
        self.replay.updated_at = now;
        if self.replay.cursor >= self.replay.to {
            self.replay.state = ReplayState::Completed;
        }
        self.replay.clone()
    }
}

/// Which events a replay sends: what the webhook takes, and of that only the types that were asked for.
pub(crate) struct Choice {
    filter: EventFilter,
    and_only: Option<TypeFilter>,
}

impl Choice {
    /// The choice of a replay of `types` (none means all) to a webhook with this filter.
    pub(crate) fn new(filter: &EventFilter, types: &[String]) -> Choice {
        let and_only = TypeFilter::parse_each(types.iter().map(String::as_str)).ok();
        Choice {
            filter: filter.clone(),
            and_only,
        }
    }

    /// Whether an event is among them.
    pub(crate) fn takes(&self, event: &Event) -> bool {
        let is_wanted = |kinds: &TypeFilter| kinds.matches(&event.kind);
        self.filter.matches(event) && self.and_only.as_ref().is_none_or(is_wanted)
    }
}

/// Where a replay's events are found.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Whose log.
    pub(crate) tenant: TenantId,
    /// Which webhook.
    pub(crate) webhook: WebhookNo,
    /// Last position.
    pub(crate) to: Position,
    /// Only deliveries that are dead.
    pub(crate) only_failed: bool,
}

/// Reads the events that a replay sends after `after`: some, and up to where it looked.
pub(crate) async fn events_after(
    log: &dyn RegionLog,
    source: &Source,
    choice: &Choice,
    after: Position,
) -> Result<(Vec<Event>, Position), StoreError> {
    if source.only_failed {
        return dead_after(log, source, choice, after).await;
    }
    let query = EventQuery {
        filter: choice.filter.clone(),
        after: Some(after),
        before: Some(source.to.next()),
        order: Order::Ascending,
        limit: PAGE_EVENTS,
        scan_max: SCAN_MAX,
        bytes_max: PAGE_BYTES,
    };
    let page = log.search(source.tenant, &query).await?;
    let events = page.events.into_iter().filter(|event| choice.takes(event));
    Ok((events.collect(), page.next.unwrap_or(source.to)))
}

/// Dead letters are listed newest first; windows that are narrow enough bring them into the order of the log.
async fn dead_after(
    log: &dyn RegionLog,
    source: &Source,
    choice: &Choice,
    after: Position,
) -> Result<(Vec<Event>, Position), StoreError> {
    let (mut after, mut window) = (after, WINDOW_FIRST);
    while after < source.to {
        let to = after.plus(window).min(source.to);
        let query = DeadLetterQuery {
            webhook: Some(source.webhook),
            after: None,
            from: Some(after.next()),
            to: Some(to),
            limit: PAGE_EVENTS,
        };
        let dead = log.dead_letters(source.tenant, &query).await?;
        if dead.is_empty() {
            after = to;
            window = (window * 4).min(WINDOW_MAX);
            continue;
        }
        // A window of no more positions than a page has room for is never too wide.
        if dead.len() >= PAGE_EVENTS as usize && window > u64::from(PAGE_EVENTS) {
            window = (window / 8).max(u64::from(PAGE_EVENTS));
            continue;
        }
        let positions: Vec<Position> = dead.iter().rev().map(|letter| letter.position).collect();
        let events = log.read_many(source.tenant, &positions).await?;
        let events = events.into_iter().filter(|event| choice.takes(event));
        return Ok((events.collect(), to));
    }
    Ok((Vec::new(), source.to))
}

/// Reads one page of a replay, with the number of attempts that each delivery has behind it.
pub(super) async fn page(
    log: Arc<dyn RegionLog>,
    source: Source,
    choice: Choice,
    after: Position,
) -> Result<Page, StoreError> {
    let (events, read_to) = events_after(&*log, &source, &choice, after).await?;
    let mut found = Vec::with_capacity(events.len());
    for event in events {
        let known = log
            .delivery(source.tenant, source.webhook, event.position)
            .await?;
        let made = known.map_or(0, |(delivery, _)| delivery.attempts);
        found.push((event, made));
    }
    Ok(Page { found, read_to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::tests::samples;

    fn running(to: u64) -> (Replays, ReplayId) {
        let replay = samples::replay(1, to);
        let id = replay.id;
        let mut replays = Replays::default();
        replays.push(replay, false);
        (replays, id)
    }

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    #[test]
    fn a_replay_is_complete_when_all_it_sent_is_on_disk() {
        let (mut replays, id) = running(9);
        assert_eq!(replays.wants_more().map(|(_, after)| after), Some(at(0)));
        assert!(replays.wants_more().is_none());
        replays.fetched(vec![samples::parcel(2), samples::parcel(5)], 1, at(9));
        assert!(replays.wants_more().is_none());
        assert_eq!(replays.next().map(|parcel| parcel.position()), Some(at(2)));
        assert_eq!(replays.next().map(|parcel| parcel.position()), Some(at(5)));
        replays.ended(id, at(5), true);
        let written = replays.take_moved(Timestamp::default());
        assert_eq!(
            (written[0].cursor, written[0].done, written[0].failed),
            (at(1), 2, 1)
        );
        assert_eq!(written[0].state, ReplayState::Running);
        replays.written(&written);
        assert!(!replays.has_moved() && !replays.is_empty());
        replays.ended(id, at(2), false);
        let written = replays.take_moved(Timestamp::default());
        assert_eq!((written[0].cursor, written[0].done), (at(9), 3));
        assert_eq!(written[0].state, ReplayState::Completed);
        replays.written(&written);
        assert!(replays.is_empty());
    }

    #[test]
    fn a_replay_of_nothing_completes_at_once() {
        let (mut replays, _) = running(9);
        assert!(replays.wants_more().is_some());
        replays.fetched(Vec::new(), 0, at(9));
        let written = replays.take_moved(Timestamp::default());
        assert_eq!(written[0].state, ReplayState::Completed);
    }

    #[test]
    fn a_choice_is_what_both_filters_take() {
        let filter = EventFilter {
            kinds: Some(TypeFilter::parse_list("a.*").unwrap()),
            ..EventFilter::default()
        };
        let choice = Choice::new(&filter, &["a.b".to_owned(), "c".to_owned()]);
        assert!(choice.takes(&samples::event(1, "a.b")));
        assert!(!choice.takes(&samples::event(1, "a.c")));
        assert!(!choice.takes(&samples::event(1, "c")));
        assert!(Choice::new(&filter, &[]).takes(&samples::event(1, "a.c")));
    }
}
