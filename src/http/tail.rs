//! `GET /v1/events/tail`: a live stream of server-sent events (HTML Living Standard §9.2).
//!
//! A subscriber is a cursor. It takes shared, already encoded chunks from a view of its filter while it keeps up, pages
//! through the store while it does not, and then joins the view again. Nothing is queued for it: a reader that does not read
//! stops being polled, and holds no more than what the connection's buffer holds.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, HeaderName},
    web,
};
use actors::{
    Engine, EngineError,
    feed::view::{Next, TailView},
};
use bytes::Bytes;
use domain::{
    ids::{KeyId, TenantId},
    permission::Permission,
    position::Position,
};
use futures_util::stream;
use rand::RngExt as _;
use store::log::{EventQuery, Order};
use tokio::{sync::watch, time::Instant};

use super::{
    call::{Answer, Call},
    event_query,
    problem::{Code, Problem},
};
use crate::shutdown::Stopping;

const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// How often it is looked whether the reader's key is still of use.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// A reader that was not ready for this long while there was something to read is ended.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Events, and bytes of payload, of one page from the store.
const PAGE_EVENTS: u32 = 64;
const PAGE_BYTES: usize = 8 * 1024;
const SCAN_MAX: u32 = 10_000;
/// Streams end within this time when the server stops, not all at once.
const END_WITHIN_MS: u64 = 500;

/// Where a stream begins.
enum Start {
    Head,
    After(Position),
}

/// Streams the tenant's events as they come.
pub(crate) async fn tail(call: Call, stopping: web::Data<Stopping>) -> Answer {
    call.require(Permission::EventsRead)?;
    let (engine, caller) = (call.engine(), call.caller());
    let plan = engine.plans().get(caller.tenant_record().plan);
    if !plan.tail {
        let detail = "the live tail is part of the plans from growth up";
        return Err(Problem::new(Code::PlanRequired, detail));
    }
    let query = event_query::tail(&call).await?;
    let start = match last_event_id(call.request())? {
        Some(position) => Start::After(position),
        None => match query.from.as_deref() {
            None => Start::Head,
            Some("earliest") => Start::After(Position::ZERO),
            Some(text) => {
                let first: u64 = text.parse().map_err(|_not_a_number| {
                    Problem::new(Code::BadRequest, "from: expected `earliest` or a position")
                })?;
                Start::After(Position::new(first).prev())
            }
        },
    };
    let feed = engine.feed(caller.tenant()).await?;
    let (cursor, gap) = match start {
        Start::Head => (feed.head(), None),
        Start::After(position) => {
            let oldest = engine.oldest(caller.tenant(), caller.region()).await?;
            let is_gap = position.next() < oldest && position > Position::ZERO;
            let cursor = position.min(feed.head()).max(oldest.prev());
            (cursor, is_gap.then_some(oldest))
        }
    };
    let tail = Tail {
        head: feed.watch(),
        view: feed.view(&query.filter),
        stopping: Stopping::clone(&stopping),
        engine: engine.clone(),
        reader: Reader {
            tenant: caller.tenant(),
            key: caller.key().id,
            ip: caller.context().client_ip(),
        },
        cursor,
        first: Some(opening(cursor, gap)),
        page: VecDeque::new(),
        heartbeat_at: Instant::now() + HEARTBEAT_EVERY,
        check_at: Instant::now() + CHECK_EVERY,
        given_at: Instant::now(),
    };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(stream::unfold(tail, Tail::next)))
}

/// Who reads, and from where.
struct Reader {
    tenant: TenantId,
    key: KeyId,
    ip: IpAddr,
}

/// One subscriber.
struct Tail {
    view: Arc<TailView>,
    head: watch::Receiver<Position>,
    stopping: Stopping,
    engine: Engine,
    reader: Reader,
    cursor: Position,
    first: Option<Bytes>,
    /// Encoded frames of a page from the store, with the cursor after each.
    page: VecDeque<(Bytes, Position)>,
    heartbeat_at: Instant,
    check_at: Instant,
    /// When something was given to the connection last.
    given_at: Instant,
}

impl Tail {
    async fn next(mut self) -> Option<(Result<Bytes, Problem>, Tail)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        // The connection asks for more only when it has room: a long silence while events waited is a reader that is stuck.
        let is_behind = self.cursor < *self.head.borrow();
        if is_behind && self.given_at.elapsed() >= STUCK_AFTER {
            return None;
        }
        loop {
            // A reader that never comes to the head must end, too, when the server or its key does.
            if self.stopping.has_begun() {
                return end_soon().await;
            }
            if Instant::now() >= self.check_at {
                self.check_at = Instant::now() + CHECK_EVERY;
                if !self.reader.may_go_on(&self.engine).await {
                    return None;
                }
            }
            if let Some((bytes, to)) = self.page.pop_front() {
                self.cursor = to;
                return Some(self.give(bytes));
            }
            self.head.mark_unchanged();
            match self.view.next(self.cursor) {
                Next::Chunk(chunk) => {
                    self.cursor = chunk.to;
                    if !chunk.bytes.is_empty() {
                        return Some(self.give(chunk.bytes));
                    }
                    if self.is_heartbeat_due() {
                        return Some(self.give_heartbeat());
                    }
                    tokio::task::yield_now().await;
                }
                Next::Behind => {
                    if let Err(problem) = self.read_page().await {
                        return Some((Err(problem), self));
                    }
                    if self.page.is_empty() && self.is_heartbeat_due() {
                        return Some(self.give_heartbeat());
                    }
                }
                Next::AtHead => {
                    let event = tokio::select! {
                        moved = self.head.changed() => if moved.is_ok() { Waited::Again } else { Waited::Over },
                        () = tokio::time::sleep_until(self.check_at) => Waited::Again,
                        () = tokio::time::sleep_until(self.heartbeat_at) => Waited::Heartbeat,
                        () = self.stopping.begun() => Waited::Over,
                    };
                    match event {
                        Waited::Again => {}
                        Waited::Heartbeat => return Some(self.give_heartbeat()),
                        Waited::Over => return end_soon().await,
                    }
                }
            }
        }
    }

    fn give(mut self, bytes: Bytes) -> (Result<Bytes, Problem>, Tail) {
        self.given_at = Instant::now();
        self.heartbeat_at = self.given_at + HEARTBEAT_EVERY;
        (Ok(bytes), self)
    }

    fn is_heartbeat_due(&self) -> bool {
        Instant::now() >= self.heartbeat_at
    }

    fn give_heartbeat(self) -> (Result<Bytes, Problem>, Tail) {
        let heartbeat = Bytes::from(format!("id: {}\n\n", self.cursor));
        self.give(heartbeat)
    }

    /// Takes one small page from the store.
    async fn read_page(&mut self) -> Result<(), Problem> {
        let feed = self.view.feed();
        // Asked for before the search: what is appended meanwhile may be behind the search's end and must not be passed.
        let head = feed.head();
        let query = EventQuery {
            filter: self.view.filter().clone(),
            after: Some(self.cursor),
            before: None,
            order: Order::Ascending,
            limit: PAGE_EVENTS,
            scan_max: SCAN_MAX,
            bytes_max: PAGE_BYTES,
        };
        let found = self
            .engine
            .search(feed.tenant(), feed.region(), &query)
            .await?;
        for event in found.page.events {
            let position = event.position;
            let frame = feed.frame(event);
            self.page.push_back((frame.sse().clone(), position));
        }
        match found.page.next {
            // Nothing between the last match and here is for this reader.
            Some(looked_at) => match self.page.back_mut() {
                Some((_, to)) => *to = looked_at.max(*to),
                None => self.cursor = looked_at.max(self.cursor),
            },
            None if self.page.is_empty() => self.cursor = head.max(self.cursor),
            None => {}
        }
        Ok(())
    }
}

impl Reader {
    /// Whether the key may still be used to read here, and the tenant's plan still has tails. A control plane that does not answer ends nobody's stream.
    async fn may_go_on(&self, engine: &Engine) -> bool {
        let now = engine.clock().now();
        match engine.key(self.tenant, None, self.key).await {
            Ok(key) => {
                let may_read = key.permissions.allow(Permission::EventsRead);
                if !may_read || key.check(now, self.ip).is_err() {
                    return false;
                }
            }
            Err(EngineError::NotFound(_)) => return false,
            Err(error) => tracing::debug!("a tail's key could not be looked up: {error}"),
        }
        match engine.tenant(self.tenant).await {
            Ok(tenant) => !tenant.suspended && engine.plans().get(tenant.plan).tail,
            Err(EngineError::NotFound(_)) => false,
            Err(error) => {
                tracing::debug!("a tail's tenant could not be looked up: {error}");
                true
            }
        }
    }
}

/// Ends a stream, but not all streams at the same moment.
async fn end_soon<T>() -> Option<T> {
    let wait = rand::rng().random_range(0..END_WITHIN_MS);
    tokio::time::sleep(Duration::from_millis(wait)).await;
    None
}

enum Waited {
    Again,
    Heartbeat,
    Over,
}

/// What every stream begins with: when to come back, and from where (so that a reader that loses its connection before the
/// first event misses none). A reader that asks for events that are gone is told which is the oldest.
fn opening(cursor: Position, gap: Option<Position>) -> Bytes {
    let mut text = format!("retry: 2000\nid: {cursor}\n\n");
    if let Some(oldest) = gap {
        text.push_str(&format!(
            "id: {cursor}\nevent: gap\ndata: {{\"oldest\":{oldest}}}\n\n"
        ));
    }
    Bytes::from(text)
}

fn last_event_id(request: &HttpRequest) -> Result<Option<Position>, Problem> {
    let Some(value) = request.headers().get("last-event-id") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    let position = text.parse().map(Position::new);
    let wrong = |_not_a_number| {
        Problem::new(
            Code::BadRequest,
            "Last-Event-ID: expected the id of an event of this stream",
        )
    };
    position.map(Some).map_err(wrong)
}
