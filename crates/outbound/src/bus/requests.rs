//! The asking side: sends a request in pieces, and brings the waiting together with the answer.
//!
//! The client of NATS could wait for answers by itself, but it never forgets those that do not come. What it was given while
//! there was no connection it keeps and sends later, and a server keeps what a node does not read: so a request says by when it
//! has to be begun, and whoever asks waits at least until then before it says that no answer came.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Message, StatusCode, client::PublishErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::{
    BusError, Connection,
    assembly::{Added, Assembly, Limits},
    clock::Moment,
    frame::{self, Kind, MESSAGE_BYTES_MAX, Piece, Share, Stamp, Unreadable},
    link::Link,
    metering::Dropped,
};

/// How often a node that has not answered yet is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long a request may be on its way, and for how many bytes of it there is another second.
pub(super) const WAY_MAX: Duration = Duration::from_secs(2);
const WAY_BYTES_PER_SECOND: usize = 4 * 1024 * 1024;
/// Requests that wait for an answer, at most.
const IN_FLIGHT_MAX: usize = 4_096;

type Outcome = Result<Bytes, BusError>;

/// What a node is asked.
pub(super) struct Request<'a> {
    pub(super) node: &'a str,
    /// On whose account.
    pub(super) share: Share,
    pub(super) body: Bytes,
    /// How long the answer is waited for.
    pub(super) within: Duration,
}

/// Requests that wait for their answers.
pub(super) struct Asked {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiter>>,
    halves: Mutex<Assembly<u64>>,
    slots: Semaphore,
}

/// Where an answer goes.
struct Waiter {
    answer: oneshot::Sender<Outcome>,
    from: Answerer,
}

/// Whose answer it is.
#[derive(Clone)]
enum Answerer {
    /// This process's own: it only wants to know that it comes.
    Itself,
    /// A node's, on this account.
    Node(Arc<str>, Share),
}

/// One that waits; it is forgotten when this is dropped.
pub(super) struct Waiting<'a> {
    asked: &'a Asked,
    token: u64,
    answer: oneshot::Receiver<Outcome>,
}

impl Default for Asked {
    fn default() -> Asked {
        Asked {
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
            halves: Mutex::new(Assembly::new(Limits::of_answers())),
            slots: Semaphore::new(IN_FLIGHT_MAX),
        }
    }
}

impl Asked {
    /// Begins to wait for something that this process is about to send to itself.
    pub(super) fn begin(&self) -> Waiting<'_> {
        self.begin_from(Answerer::Itself)
    }

    /// Begins to wait for the answer to a request that is about to be sent.
    fn begin_from(&self, from: Answerer) -> Waiting<'_> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer_sender, answer) = oneshot::channel();
        let waiter = Waiter {
            answer: answer_sender,
            from,
        };
        self.waiting.lock().insert(token, waiter);
        Waiting {
            asked: self,
            token,
            answer,
        }
    }

    fn end(&self, token: u64, outcome: Outcome) {
        if let Some(waiter) = self.waiting.lock().remove(&token) {
            // Whoever has stopped waiting does not want it.
            waiter.answer.send(outcome).ok();
        }
    }
}

impl Waiting<'_> {
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    pub(super) async fn answer(mut self) -> Outcome {
        let answer = (&mut self.answer).await;
        answer.unwrap_or(Err(BusError::Disconnected))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.asked.waiting.lock().remove(&self.token);
        self.asked.halves.lock().give_up(&self.token);
    }
}

/// Sends a request and waits for its answer.
pub(super) async fn ask(link: &Link, request: Request<'_>) -> Outcome {
    let subject = link.node_subject(request.node)?;
    let bytes = request.body.len();
    let too_large = || BusError::TooLarge { bytes };
    let deadline = Instant::now() + request.within;
    let begin_by = (Instant::now() + way_max(bytes)).min(deadline);
    let mut connections = link.connections();
    let connection = *connections.borrow_and_update();
    if connection == Connection::Away {
        return Err(BusError::Disconnected);
    }
    let _slot = link
        .asked
        .slots
        .try_acquire()
        .map_err(|_none_left| BusError::Busy)?;
    if bytes > MESSAGE_BYTES_MAX {
        return Err(too_large());
    }
    let node: Arc<str> = request.node.into();
    let moment = tokio::select! {
        moment = moment_there(link, &node, begin_by) => moment?,
        _ = connections.wait_for(|now| *now != connection) => return Err(BusError::Disconnected),
    };
    let stamp = Stamp {
        kind: Kind::Request,
        within: deadline.saturating_duration_since(Instant::now()),
        moment,
        share: request.share,
    };
    let pieces = frame::pieces(stamp, request.body, link.client.max_payload());
    let from = Answerer::Node(Arc::clone(&node), request.share);
    let waiting = link.asked.begin_from(from);
    let reply = link.answer_subject(waiting.token());
    for piece in pieces.ok_or_else(too_large)? {
        let sending = link
            .client
            .publish_with_reply(subject.clone(), reply.clone(), piece);
        match timeout_at(begin_by, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                return Err(too_large());
            }
            // A piece was not sent, so the request is not whole and will not be carried out.
            Ok(Err(_)) | Err(_) => return Err(BusError::Disconnected),
        }
    }
    // What is answered while there is no connection is lost: then there is nothing to wait for.
    let nobody_answers = async {
        tokio::select! {
            _ = connections.wait_for(|now| *now != connection) => {}
            () = until_gone(link, &node) => {}
        }
        // But the request may be somewhere on its way still: whoever hears that no answer came must not see it begun later.
        sleep_until(begin_by).await;
    };
    tokio::select! {
        answer = timeout_at(deadline, waiting.answer()) => answer.unwrap_or(Err(BusError::TimedOut)),
        () = nobody_answers => Err(BusError::TimedOut),
    }
}

/// How long a request of so many bytes may be on its way.
fn way_max(bytes: usize) -> Duration {
    let seconds = bytes / WAY_BYTES_PER_SECOND;
    WAY_MAX + Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX))
}

/// What the node's clock shows at `begin_by` at the earliest. A node that was not heard of lately is asked first.
async fn moment_there(link: &Link, node: &Arc<str>, begin_by: Instant) -> Result<Moment, BusError> {
    let known = || link.clocks.at(node, begin_by, Instant::now());
    if let Some(moment) = known() {
        return Ok(moment);
    }
    match timeout_at(begin_by, probe(link, node)).await {
        Ok(answered) => answered?,
        Err(_elapsed) => return Err(BusError::Late),
    }
    known().ok_or(BusError::Late)
}

/// Waits until nobody is there any more who could answer: a node that was killed answers nothing, however long one waits.
async fn until_gone(link: &Link, node: &Arc<str>) {
    loop {
        sleep(PROBE_EVERY).await;
        let probed = timeout(PROBE_EVERY, probe(link, node)).await;
        if let Ok(Err(BusError::NoResponder)) = probed {
            return;
        }
    }
}

/// Asks a node whether it is there, and hears what its clock shows.
async fn probe(link: &Link, node: &Arc<str>) -> Result<(), BusError> {
    let from = Answerer::Node(Arc::clone(node), link.share);
    let (subject, probe) = (link.alive_subject(node), link.asked.begin_from(from));
    let reply = link.answer_subject(probe.token());
    let body = link.bare(Kind::Request);
    match link.client.publish_with_reply(subject, reply, body).await {
        Ok(()) => probe.answer().await.map(drop),
        Err(_closed) => Err(BusError::Disconnected),
    }
}

/// Takes answers in until it is aborted.
pub(super) async fn take_answers(link: Arc<Link>) {
    let subscribed = link.client.subscribe(link.answers_subject()).await;
    let mut answers = match subscribed {
        Ok(answers) => answers,
        Err(error) => {
            tracing::error!("answers on the bus cannot be heard: {error}");
            return;
        }
    };
    while let Some(message) = answers.next().await {
        take(&link, message);
    }
}

fn take(link: &Link, message: Message) {
    let token = message.subject.rsplit('.').next();
    let Some(token) = token.and_then(|token| token.parse().ok()) else {
        link.metering.dropped(Dropped::Unreadable, 1);
        return;
    };
    let asked = &link.asked;
    let from = asked.waiting.lock().get(&token).map(|w| w.from.clone());
    // If nobody waits any more, the pieces would only take up room.
    let Some(from) = from else { return };
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        asked.end(token, Err(BusError::NoResponder));
        return;
    }
    let mut piece = match Piece::parse(message.payload) {
        Ok(piece) => piece,
        // A node that speaks another version has not understood what it was asked either.
        Err(Unreadable::OtherVersion(_)) => return asked.end(token, Err(BusError::Refused)),
        Err(Unreadable::Malformed) => {
            link.metering.dropped(Dropped::Unreadable, 1);
            return asked.end(token, Err(BusError::AnswerLost));
        }
    };
    if let Answerer::Node(node, share) = from {
        link.clocks.hear(&node, piece.moment, Instant::now());
        piece.share = share;
    }
    match piece.kind {
        Kind::Answer => {
            let added = asked.halves.lock().add(&token, piece, Instant::now());
            match added {
                Added::Whole(body) => asked.end(token, Ok(body)),
                Added::Half => {}
                Added::Full | Added::Lost => asked.end(token, Err(BusError::AnswerLost)),
            }
        }
        Kind::Leaving => asked.end(token, Err(BusError::NoResponder)),
        Kind::Busy => asked.end(token, Err(BusError::Busy)),
        Kind::Refused => asked.end(token, Err(BusError::Refused)),
        Kind::Late => asked.end(token, Err(BusError::Late)),
        Kind::Request | Kind::Unspeakable => asked.end(token, Err(BusError::AnswerLost)),
    }
}
