//! The answering side: puts requests together, hands them to the handler, and sends the answers.
//!
//! Decides only how many may be in flight, that nothing is begun which came too late, and that a handler ends when whoever asks
//! has stopped waiting.

use std::{fmt, sync::Arc, time::Duration};

use async_nats::{Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    BusError, Handler,
    assembly::{Added, Assembly, Limits},
    clock::Moment,
    frame::{self, Kind, Piece, Stamp, Unreadable},
    link::{Link, Outgoing},
    metering::Dropped,
};

/// How long a request may take, whatever whoever asks says.
const WITHIN_MAX: Duration = Duration::from_secs(120);

/// A node that answers; it takes no more requests when this is dropped. Those in flight are answered nevertheless, and
/// whoever asks meanwhile is told that nothing was done.
pub struct Serving {
    link: Arc<Link>,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

/// The loop's own state.
struct Server {
    link: Arc<Link>,
    handler: Handler,
    slots: Arc<Semaphore>,
    slots_max: u32,
    stage: Stage,
    /// By where the answer is wanted, which no two requests have in common.
    halves: Assembly<String>,
}

/// What becomes of new requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// They are carried out.
    Open,
    /// They are told to go elsewhere. To say so is better than to hear nothing: what is under way when a subscription ends
    /// is lost, and then nobody knows whether it was carried out.
    Leaving,
}

/// Begins to answer. The receiver hears when the subscription was handed to the client.
pub(super) fn start(
    link: &Arc<Link>,
    node: &str,
    in_flight_max: usize,
    handler: Handler,
) -> Result<(Serving, oneshot::Receiver<()>), BusError> {
    let subject = link.node_subject(node)?;
    let alive = link.alive_subject(node);
    let (subscribed, waiting) = oneshot::channel();
    let stop = Arc::new(Notify::new());
    let slots_max = u32::try_from(in_flight_max.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let server = Server {
        link: Arc::clone(link),
        handler,
        slots: Arc::new(Semaphore::new(slots_max as usize)),
        slots_max,
        stage: Stage::Open,
        halves: Assembly::new(Limits::default()),
    };
    let (serving_link, stopped) = (Arc::clone(link), Arc::clone(&stop));
    let task = link.runtime.spawn(async move {
        // Before the node can be asked: whoever asks it first wants to know what its clock shows.
        let probes = match serving_link.client.subscribe(alive).await {
            Ok(probes) => probes,
            Err(error) => {
                tracing::error!("probes on the bus cannot be heard: {error}");
                return;
            }
        };
        // Whoever waits for an answer is told that there is somebody, until all are answered.
        tokio::select! {
            () = server.run(subject, subscribed, &stopped) => {}
            () = answer_probes(&serving_link, probes) => {}
        }
    });
    let serving = Serving {
        link: Arc::clone(link),
        stop,
        task,
    };
    Ok((serving, waiting))
}

impl Serving {
    /// Takes no more requests, and waits until those in flight are answered. False if they are not within this time.
    pub async fn drain(mut self, within: Duration) -> bool {
        self.stop.notify_one();
        let drained = async {
            let ended = (&mut self.task).await;
            // The last answers may not have reached the server yet.
            ended.is_ok() && self.link.settle(within).await
        };
        timeout(within, drained).await.unwrap_or(false)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

impl Server {
    async fn run(mut self, subject: Subject, subscribed: oneshot::Sender<()>, stop: &Notify) {
        let mut requests = tokio::select! {
            requests = self.link.client.subscribe(subject) => match requests {
                Ok(requests) => requests,
                Err(error) => {
                    tracing::error!("requests on the bus cannot be heard: {error}");
                    return;
                }
            },
            () = stop.notified() => return,
        };
        // Whoever started it may have stopped waiting.
        subscribed.send(()).ok();
        self.take_until(&mut requests, stop).await;
        self.stage = Stage::Leaving;
        self.take_until_idle(&mut requests).await;
        // What was delivered before the server heard of the end is answered still.
        if requests.drain().await.is_ok() {
            while let Some(message) = requests.next().await {
                self.take(message);
            }
        }
    }

    async fn take_until(&mut self, requests: &mut Subscriber, stop: &Notify) {
        loop {
            let expiry = self.halves.next_expiry();
            tokio::select! {
                message = requests.next() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = stop.notified() => return,
                () = sleep_until(expiry.unwrap_or_else(Instant::now)), if expiry.is_some() => {
                    let given_up = self.halves.sweep(Instant::now());
                    self.link.metering.dropped(Dropped::Unreadable, given_up as u64);
                }
            }
        }
    }

    async fn take_until_idle(&mut self, requests: &mut Subscriber) {
        let slots = Arc::clone(&self.slots);
        let idle = slots.acquire_many(self.slots_max);
        tokio::pin!(idle);
        loop {
            tokio::select! {
                // It is never closed.
                _ = &mut idle => return,
                message = requests.next() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
            }
        }
    }

    fn take(&mut self, message: Message) {
        let Some(reply) = message.reply else {
            self.link.metering.dropped(Dropped::Unreadable, 1);
            return;
        };
        let piece = match Piece::parse(message.payload) {
            Ok(piece) if piece.kind == Kind::Request => piece,
            Err(Unreadable::OtherVersion(version)) => {
                let body = frame::refusal(version, self.link.clock.read(Instant::now()));
                let subject = reply;
                return self.link.send(Outgoing { subject, body });
            }
            Ok(_) | Err(Unreadable::Malformed) => {
                self.link.metering.dropped(Dropped::Unreadable, 1);
                return self.tell(reply, Kind::Refused);
            }
        };
        if self.stage == Stage::Leaving {
            return self.tell(reply, Kind::Leaving);
        }
        let (within, begin_by) = (piece.within.min(WITHIN_MAX), piece.moment);
        match self.halves.add(&reply.to_string(), piece, Instant::now()) {
            // Whoever asked may have told its client already that nothing came of it.
            Added::Whole(_) if self.is_past(begin_by) => self.tell(reply, Kind::Late),
            Added::Whole(body) => match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(slot) => self.carry_out(reply, body, within, slot),
                Err(_none_left) => self.tell(reply, Kind::Busy),
            },
            Added::Half => {}
            Added::Full => self.tell(reply, Kind::Busy),
            // Whoever asks hears nothing of it more than once, and soonest of the first.
            Added::Lost => self.tell(reply, Kind::Refused),
        }
    }

    fn carry_out(&self, reply: Subject, body: Bytes, within: Duration, slot: OwnedSemaphorePermit) {
        let deadline = Instant::now() + within;
        let handled = (self.handler)(body);
        let link = Arc::clone(&self.link);
        tokio::spawn(async move {
            // The error says that nobody waits for the answer any more.
            if let Ok(answer) = timeout_at(deadline, handled).await {
                timeout_at(deadline, send_answer(&link, &reply, answer))
                    .await
                    .ok();
            }
            drop(slot);
        });
    }

    fn is_past(&self, moment: Moment) -> bool {
        self.link.clock.read(Instant::now()) > moment
    }

    fn tell(&self, subject: Subject, kind: Kind) {
        tell(&self.link, subject, kind);
    }
}

fn tell(link: &Link, subject: Subject, kind: Kind) {
    let body = link.bare(kind);
    link.send(Outgoing { subject, body });
}

/// Says that there is somebody, to whoever asks. Does not end while there is a client.
async fn answer_probes(link: &Link, mut probes: Subscriber) {
    while let Some(message) = probes.next().await {
        let Some(reply) = message.reply else { continue };
        // Not behind what else is to be published: somebody waits for it before he asks.
        let body = link.bare(Kind::Answer);
        if let Err(error) = link.client.publish(reply, body).await {
            tracing::debug!("a probe was not answered: {error}");
        }
    }
}

async fn send_answer(link: &Link, reply: &Subject, answer: Bytes) {
    let stamp = Stamp {
        kind: Kind::Answer,
        within: Duration::ZERO,
        moment: link.clock.read(Instant::now()),
        share: link.share,
    };
    let Some(pieces) = frame::pieces(stamp, answer, link.client.max_payload()) else {
        return tell(link, reply.clone(), Kind::Unspeakable);
    };
    for piece in pieces {
        if let Err(error) = link.client.publish(reply.clone(), piece).await {
            tracing::debug!("an answer was not sent: {error}");
            return;
        }
    }
}
