//! What readers of one tenant's log share: its head, and its newest events in memory.
//!
//! Readers are told "the head is now N" and read at their own speed: from the ring while they keep up, from the store when
//! they do not. The feed never waits for a reader and holds no list of them. It outlives the tenant's actor: readers keep
//! it, the actor finds it again when it comes back.

pub mod pages;
pub mod view;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;
use domain::{
    event::Event, filter::EventFilter, ids::TenantId, position::Position, region::Region,
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::recent::give_room_back;
use pages::Pages;
use view::TailView;

/// How much a ring may hold.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Events.
    pub events_max: usize,
    /// Bytes of payload and what comes with it, about.
    pub bytes_max: usize,
}

/// The readers' side of one tenant's log.
pub struct Feed {
    tenant: TenantId,
    region: Region,
    limits: RingLimits,
    head: watch::Sender<Position>,
    ring: RwLock<Ring>,
    views: Mutex<Vec<(EventFilter, Weak<TailView>)>>,
    pages: Mutex<Vec<Weak<Pages>>>,
    /// Where the feed takes itself off when the last holder lets go of it.
    listed_in: Weak<FeedsByTenant>,
}

#[derive(Default)]
struct Ring {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

/// One event in memory, with its wire forms built at first use and shared by all who send it.
pub struct Frame {
    /// The event.
    pub event: Arc<Event>,
    region: Region,
    sse: OnceLock<Bytes>,
    webhook_body: OnceLock<Bytes>,
}

/// What a ring has for a reader.
#[derive(Debug)]
pub enum Read {
    /// The events after the cursor, oldest first; empty if the reader has seen the head.
    Frames(Vec<Arc<Frame>>),
    /// The ring no longer (or, after a restart, not yet) holds the event after the cursor: ask the store.
    Behind,
}

impl Feed {
    fn new(tenant: TenantId, region: Region, limits: RingLimits) -> Feed {
        Feed {
            tenant,
            region,
            limits,
            head: watch::Sender::new(Position::ZERO),
            ring: RwLock::default(),
            views: Mutex::default(),
            pages: Mutex::default(),
            listed_in: Weak::new(),
        }
    }

    /// Whose log.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Where the log lives.
    pub fn region(&self) -> Region {
        self.region
    }

    /// The last durable position.
    pub fn head(&self) -> Position {
        *self.head.borrow()
    }

    /// Tells when the head moves.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    /// Takes over what the store says is the head, when the tenant's actor starts, and on nodes that only follow. What the
    /// ring holds stays if it reaches up to there; else it goes, and readers fetch from the store. A head that was read
    /// before others were told is old news.
    pub(crate) fn set_head(&self, head: Position) {
        let mut ring = self.ring.write();
        if head < self.head() {
            return;
        }
        if ring.last() != head {
            *ring = Ring::default();
        }
        self.move_head(head);
    }

    /// Appends events that are durable. Takes `head + 1` only: an event that is there already is dropped. Answers false,
    /// and takes nothing, if events are missing between the head and the first of these.
    pub(crate) fn append(&self, events: &[Arc<Event>]) -> bool {
        // The head moves under the ring's lock only: an owner and a follower may meet here for a moment.
        let mut ring = self.ring.write();
        let head = self.head();
        let Some(first) = events.iter().find(|event| event.position > head) else {
            return true;
        };
        if first.position != head.next() {
            return false;
        }
        for event in events.iter().filter(|event| event.position > head) {
            ring.push(Arc::new(Frame::new(Arc::clone(event), self.region)));
        }
        ring.shrink(self.limits);
        let new_head = events.last().map_or(head, |event| event.position);
        self.move_head(new_head);
        true
    }

    /// Lets go of events that have outlived their retention.
    pub(crate) fn forget_up_to(&self, position: Position) {
        self.ring.write().forget_up_to(position);
    }

    fn move_head(&self, head: Position) {
        self.head.send_if_modified(|old| {
            let moves = *old < head;
            *old = head.max(*old);
            moves
        });
    }

    /// Reads up to `limit` events after `cursor` from memory.
    pub fn read(&self, cursor: Position, limit: usize) -> Read {
        if cursor >= self.head() {
            return Read::Frames(Vec::new());
        }
        let ring = self.ring.read();
        let Some(first) = ring.frames.front().map(|frame| frame.event.position) else {
            return Read::Behind;
        };
        if cursor.next() < first {
            return Read::Behind;
        }
        let skip = cursor.next().get() - first.get();
        let skip = usize::try_from(skip).expect("a ring is small");
        Read::Frames(ring.frames.iter().skip(skip).take(limit).cloned().collect())
    }

    /// The view that all tails with this filter share.
    pub fn view(self: &Arc<Self>, filter: &EventFilter) -> Arc<TailView> {
        let mut views = self.views.lock();
        views.retain(|(_, view)| view.strong_count() > 0);
        let found = views
            .iter()
            .find(|(other, _)| other == filter)
            .and_then(|(_, view)| view.upgrade());
        found.unwrap_or_else(|| {
            let view = Arc::new(TailView::new(Arc::clone(self), filter.clone()));
            views.push((filter.clone(), Arc::downgrade(&view)));
            view
        })
    }

    /// The pages that all webhooks with this filter share.
    pub fn pages(&self, filter: &EventFilter) -> Arc<Pages> {
        let mut pages = self.pages.lock();
        pages.retain(|pages| pages.strong_count() > 0);
        let mut known = pages.iter().filter_map(Weak::upgrade);
        if let Some(found) = known.find(|pages| pages.filter() == filter) {
            return found;
        }
        let made = Arc::new(Pages::new(filter.clone()));
        pages.push(Arc::downgrade(&made));
        made
    }

    /// Wraps an event that was read from the store, for readers that are behind the ring.
    pub fn frame(&self, event: Event) -> Arc<Frame> {
        Arc::new(Frame::new(Arc::new(event), self.region))
    }
}

impl Drop for Feed {
    /// A weak entry would keep the feed's memory for as long as the engine runs.
    fn drop(&mut self) {
        let Some(feeds) = self.listed_in.upgrade() else {
            return;
        };
        let mut feeds = feeds.lock();
        // Another may have been made for the tenant meanwhile.
        if feeds
            .get(&self.tenant)
            .is_some_and(|feed| feed.strong_count() == 0)
        {
            feeds.remove(&self.tenant);
            give_room_back(&mut feeds);
        }
    }
}

impl Ring {
    fn last(&self) -> Position {
        self.frames
            .back()
            .map_or(Position::ZERO, |frame| frame.event.position)
    }

    fn push(&mut self, frame: Arc<Frame>) {
        self.bytes += frame.weight();
        self.frames.push_back(frame);
    }

    fn forget_up_to(&mut self, position: Position) {
        while let Some(frame) = self
            .frames
            .pop_front_if(|frame| frame.event.position <= position)
        {
            self.bytes -= frame.weight();
        }
    }

    fn shrink(&mut self, limits: RingLimits) {
        while self.frames.len() > limits.events_max || self.bytes > limits.bytes_max {
            match self.frames.pop_front() {
                Some(frame) => self.bytes -= frame.weight(),
                None => break,
            }
        }
    }
}

impl Frame {
    fn new(event: Arc<Event>, region: Region) -> Frame {
        Frame {
            event,
            region,
            sse: OnceLock::new(),
            webhook_body: OnceLock::new(),
        }
    }

    /// The event as a server-sent event (`id`, `event`, `data`, blank line).
    pub fn sse(&self) -> &Bytes {
        self.sse.get_or_init(|| {
            let mut out = Vec::with_capacity(self.event.payload.len() + 768);
            out.extend_from_slice(b"id: ");
            domain::json::push_number(&mut out, self.event.position.get());
            out.extend_from_slice(b"\nevent: ");
            out.extend_from_slice(self.event.kind.as_str().as_bytes());
            out.extend_from_slice(b"\ndata: ");
            let start = out.len();
            self.event.write_json(self.region, &mut out);
            split_data_lines(&mut out, start);
            out.extend_from_slice(b"\n\n");
            Bytes::from(out)
        })
    }

    /// What a webhook's receiver gets.
    pub fn webhook_body(&self) -> &Bytes {
        self.webhook_body.get_or_init(|| {
            let mut out = Vec::new();
            self.event.write_webhook_body(&mut out);
            Bytes::from(out)
        })
    }

    /// About how much memory the frame takes, its wire forms counted as if they were built.
    fn weight(&self) -> usize {
        512 + 3 * self.event.payload.len()
    }
}

/// A payload may hold line breaks between its tokens, and a `data` field may not: each line gets a `data: ` of its own
/// (HTML Living Standard §9.2.6). The reader joins them with LF, so only a payload with CR is not byte for byte the same.
fn split_data_lines(out: &mut Vec<u8>, start: usize) {
    if !out[start..].iter().any(|b| matches!(b, b'\n' | b'\r')) {
        return;
    }
    let text = out.split_off(start);
    let mut lines = text.split(|b| *b == b'\n');
    if let Some(first) = lines.next() {
        push_without_cr(out, first);
    }
    for line in lines {
        out.extend_from_slice(b"\ndata: ");
        push_without_cr(out, line);
    }
}

/// A CR would end the line for the reader; between JSON tokens a space says the same.
fn push_without_cr(out: &mut Vec<u8>, line: &[u8]) {
    out.extend(line.iter().map(|b| if *b == b'\r' { b' ' } else { *b }));
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({})", self.event.position)
    }
}

/// All feeds that somebody holds.
#[derive(Default)]
pub struct Feeds {
    by_tenant: Arc<FeedsByTenant>,
}

type FeedsByTenant = Mutex<HashMap<TenantId, Weak<Feed>>>;

impl Feeds {
    /// The tenant's feed, if somebody holds it.
    pub(crate) fn find(&self, tenant: TenantId) -> Option<Arc<Feed>> {
        self.by_tenant.lock().get(&tenant).and_then(Weak::upgrade)
    }

    /// The tenant's feed, made if nobody holds it.
    pub fn get(&self, tenant: TenantId, region: Region, limits: RingLimits) -> Arc<Feed> {
        let mut feeds = self.by_tenant.lock();
        if let Some(feed) = feeds.get(&tenant).and_then(Weak::upgrade) {
            return feed;
        }
        let mut feed = Feed::new(tenant, region, limits);
        feed.listed_in = Arc::downgrade(&self.by_tenant);
        let feed = Arc::new(feed);
        feeds.insert(tenant, Arc::downgrade(&feed));
        feed
    }
}

#[cfg(test)]
mod tests;
