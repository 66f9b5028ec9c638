//! The asking side: sends a request in pieces, and brings the waiting together with the answer.
//!
//! The client of NATS could wait for answers by itself, but it never forgets those that do not come.

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
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    BusError, Connection,
    assembly::{Added, Assembly, Limits},
    frame::{self, Kind, Piece, bare},
    link::Link,
    metering::Dropped,
};

/// How often a node that has not answered yet is asked whether it is there.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Requests that wait for an answer, at most.
const IN_FLIGHT_MAX: usize = 4_096;

type Outcome = Result<Bytes, BusError>;

/// Requests that wait for their answers.
pub(super) struct Asked {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
    halves: Mutex<Assembly<u64>>,
    slots: Semaphore,
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
            halves: Mutex::new(Assembly::new(Limits::default())),
            slots: Semaphore::new(IN_FLIGHT_MAX),
        }
    }
}

impl Asked {
    /// Begins to wait for the answer to a request that is about to be sent.
    pub(super) fn begin(&self) -> Waiting<'_> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(token, sender);
        Waiting {
            asked: self,
            token,
            answer,
        }
    }

    fn end(&self, token: u64, outcome: Outcome) {
        if let Some(sender) = self.waiting.lock().remove(&token) {
            // Whoever has stopped waiting does not want it.
            sender.send(outcome).ok();
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
pub(super) async fn ask(link: &Link, node: &str, body: Bytes, within: Duration) -> Outcome {
    let subject = link.node_subject(node)?;
    let deadline = Instant::now() + within;
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
    let bytes = body.len();
    let too_large = || BusError::TooLarge { bytes };
    let pieces = frame::pieces(Kind::Request, within, body, link.client.max_payload());
    let waiting = link.asked.begin();
    let reply = link.answer_subject(waiting.token());
    for piece in pieces.ok_or_else(too_large)? {
        let sending = link
            .client
            .publish_with_reply(subject.clone(), reply.clone(), piece);
        match timeout_at(deadline, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                return Err(too_large());
            }
            // A piece was not sent, so the request is not whole and will not be carried out.
            Ok(Err(_)) | Err(_) => return Err(BusError::Disconnected),
        }
    }
    // What is answered while there is no connection is lost: then there is nothing to wait for.
    let cut_off = connections.wait_for(|now| *now != connection);
    tokio::select! {
        answer = timeout_at(deadline, waiting.answer()) => answer.unwrap_or(Err(BusError::TimedOut)),
        _ = cut_off => Err(BusError::TimedOut),
        () = until_gone(link, node) => Err(BusError::TimedOut),
    }
}

/// Waits until nobody is there any more who could answer: a node that was killed answers nothing, however long one waits.
async fn until_gone(link: &Link, node: &str) {
    loop {
        sleep(PROBE_EVERY).await;
        let (subject, probe) = (link.alive_subject(node), link.asked.begin());
        let reply = link.answer_subject(probe.token());
        let probed = async {
            let sent = link
                .client
                .publish_with_reply(subject, reply, bare(Kind::Request));
            match sent.await {
                Ok(()) => probe.answer().await,
                Err(_closed) => Err(BusError::Disconnected),
            }
        };
        if let Ok(Err(BusError::NoResponder)) = timeout(PROBE_EVERY, probed).await {
            return;
        }
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
    // Nobody waits any more: the pieces would only take up room.
    if !asked.waiting.lock().contains_key(&token) {
        return;
    }
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        asked.end(token, Err(BusError::NoResponder));
        return;
    }
    let Ok(piece) = Piece::parse(message.payload) else {
        link.metering.dropped(Dropped::Unreadable, 1);
        asked.end(token, Err(BusError::AnswerLost));
        return;
    };
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
        Kind::Request | Kind::Unspeakable => asked.end(token, Err(BusError::AnswerLost)),
    }
}
