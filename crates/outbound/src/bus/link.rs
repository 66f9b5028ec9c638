//! The one connection, and the tasks around it: who watches it, who sends what was published, who takes answers in.
//!
//! Does not decide what is sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, Server, Subject, connection::State};
use bytes::Bytes;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinHandle},
    time::{Instant, timeout},
};

use super::{
    BusError, BusOptions, Connection, Topic,
    address::Address,
    backlog::{self, Backlog, Weigh},
    clock::{Clock, Clocks},
    frame::{self, Kind, Share},
    metering::{Dropped, Metering},
    requests::{self, Asked},
};

/// What waits to be published, at most.
const OUTBOX: backlog::Limits = backlog::Limits {
    messages_max: 4_096,
    bytes_max: 16 * 1024 * 1024,
};
/// Messages that the client takes before it makes the sender wait.
const CLIENT_CAPACITY: usize = 256;
/// Messages of one subscription that the client keeps until they are taken over, which happens at once.
const SUBSCRIPTION_CAPACITY: usize = 1_024;
/// How often a silent connection is tried: it is dead when three tries are unanswered.
const PING_EVERY: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Pauses between tries to connect: they begin with the first and double up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the connection is looked at even if nothing was heard of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a new connection may take to bring the first message back.
const ECHO_WITHIN: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) asked: Asked,
    pub(super) metering: Arc<Metering>,
    pub(super) runtime: tokio::runtime::Handle,
    /// Read out in everything that this node answers.
    pub(super) clock: Clock,
    pub(super) clocks: Clocks,
    /// For what this node asks on nobody's behalf.
    pub(super) share: Share,
    trouble: Arc<Trouble>,
    prefix: String,
    /// What the subjects of answers to this process begin with.
    inbox: String,
    outbox: Backlog<Outgoing>,
    connection: watch::Sender<Connection>,
    /// The number of the last connection whose subscriptions were in force.
    connects: AtomicU64,
}

/// A message that is to be published.
pub(super) struct Outgoing {
    pub(super) subject: Subject,
    pub(super) body: Bytes,
}

impl Weigh for Outgoing {
    fn bytes(&self) -> usize {
        self.body.len() + self.subject.len()
    }
}

/// Why there is no connection. Said once, not at each try.
#[derive(Default)]
struct Trouble {
    told: Mutex<Option<String>>,
}

impl Trouble {
    /// Says what is new of why servers cannot be reached.
    async fn note(&self, servers: &[Server]) {
        let mut reasons = Vec::new();
        for server in servers {
            if let Some(reason) = reason(server).await {
                reasons.push(format!("{}: {reason}", server.addr.as_url_str()));
            }
        }
        let reasons = reasons.join("; ");
        let mut told = self.told.lock();
        if !reasons.is_empty() && told.as_ref() != Some(&reasons) {
            tracing::warn!("the bus cannot be reached: {reasons}");
            *told = Some(reasons);
        }
    }

    fn is_over(&self) {
        *self.told.lock() = None;
    }
}

/// Why a server was not reached. Of one whose name stands for no address the client keeps no word: it is asked for here.
async fn reason(server: &Server) -> Option<String> {
    if let Some(reason) = &server.last_error {
        return Some(reason.clone());
    }
    match timeout(CONNECT_WITHIN, server.addr.socket_addrs()).await {
        Ok(Ok(mut addresses)) => match addresses.next() {
            Some(_) => None,
            None => Some("its name stands for no address".to_owned()),
        },
        Ok(Err(error)) => Some(format!("its name cannot be resolved: {error}")),
        Err(_elapsed) => Some("its name cannot be resolved in time".to_owned()),
    }
}

/// Starts everything. The tasks go on until they are aborted.
pub(super) fn start(options: BusOptions) -> Result<(Arc<Link>, Vec<AbortHandle>), BusError> {
    if !is_name(&options.prefix) {
        return Err(BusError::Name(options.prefix));
    }
    let address = Address::parse(&options.url)?;
    let metering = Arc::new(Metering::default());
    let noticed = Arc::new(Notify::new());
    let trouble = Arc::new(Trouble::default());
    let authorities = options.authorities.as_deref();
    let connecting = tuned(address.options(authorities)?, &metering, &noticed, &trouble)
        .name(&options.name)
        .connect(address.servers);
    // The client starts tasks of its own.
    let entered = options.runtime.enter();
    // It comes at once, because it connects later. Nothing but a server's name that is none can keep it from that.
    let client = connecting.now_or_never().and_then(Result::ok);
    let client = client.ok_or(BusError::Address("the client of the bus cannot start"))?;
    drop(entered);
    let link = Arc::new(Link {
        client,
        asked: Asked::default(),
        metering,
        clock: Clock::begin(Instant::now()),
        clocks: Clocks::default(),
        share: Share::fresh(),
        trouble,
        inbox: format!("{}.answers.{:032x}", options.prefix, rand::random::<u128>()),
        prefix: options.prefix,
        outbox: Backlog::new(OUTBOX),
        connection: watch::Sender::new(Connection::Away),
        connects: AtomicU64::new(0),
        runtime: options.runtime,
    });
    let runtime = &link.runtime;
    let tasks = [
        runtime.spawn(Arc::clone(&link).watch(noticed)),
        runtime.spawn(Arc::clone(&link).publish_all()),
        runtime.spawn(requests::take_answers(Arc::clone(&link))),
    ];
    let tasks = tasks.iter().map(JoinHandle::abort_handle).collect();
    Ok((link, tasks))
}

fn tuned(
    options: ConnectOptions,
    metering: &Arc<Metering>,
    noticed: &Arc<Notify>,
    trouble: &Arc<Trouble>,
) -> ConnectOptions {
    let (metering, noticed) = (Arc::clone(metering), Arc::clone(noticed));
    let trouble = Arc::clone(trouble);
    options
        // Chooses nothing. It is the one place where the client tells why the tries before have failed.
        .reconnect_to_server_callback(move |servers, _| {
            let trouble = Arc::clone(&trouble);
            async move {
                trouble.note(&servers).await;
                None
            }
        })
        .retry_on_initial_connect()
        .max_reconnects(None)
        .connection_timeout(CONNECT_WITHIN)
        .ping_interval(PING_EVERY)
        .client_capacity(CLIENT_CAPACITY)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            match event {
                Event::SlowConsumer(_) => metering.dropped(Dropped::Incoming, 1),
                Event::ServerError(error) => tracing::warn!("the bus refuses something: {error}"),
                Event::Connected
                | Event::Disconnected
                | Event::LameDuckMode
                | Event::Draining
                | Event::Closed
                | Event::ClientError(_) => noticed.notify_one(),
            }
            std::future::ready(())
        })
}

/// Between half and all of a time that doubles with each try, so that nodes do not come back all at once.
fn pause(tries: usize) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = PAUSE_MIN
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(PAUSE_MAX);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

/// Whether a text may stand in a subject, as one part of it.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(is_plain)
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        matches!(*self.connection.borrow(), Connection::Up(_))
    }

    pub(super) fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    pub(super) fn connections(&self) -> watch::Receiver<Connection> {
        self.connection.subscribe()
    }

    pub(super) fn node_subject(&self, node: &str) -> Result<Subject, BusError> {
        if is_name(node) {
            Ok(format!("{}.node.{node}", self.prefix).into())
        } else {
            Err(BusError::Name(node.to_owned()))
        }
    }

    /// Where a node is asked whether it is there. The name is one that [`Link::node_subject`] took.
    pub(super) fn alive_subject(&self, node: &str) -> Subject {
        format!("{}.alive.{node}", self.prefix).into()
    }

    pub(super) fn topic_subject(&self, topic: &Topic) -> Subject {
        let prefix = &self.prefix;
        match topic {
            Topic::Changes => format!("{prefix}.changes").into(),
            Topic::Nodes => format!("{prefix}.nodes").into(),
            Topic::Readers => format!("{prefix}.readers").into(),
            Topic::Log(tenant) => format!("{prefix}.log.{tenant}").into(),
        }
    }

    /// Where the answer to the request with this number is sent.
    pub(super) fn answer_subject(&self, token: u64) -> Subject {
        format!("{}.{token}", self.inbox).into()
    }

    /// Where all answers are sent.
    pub(super) fn answers_subject(&self) -> Subject {
        format!("{}.*", self.inbox).into()
    }

    /// A message of this node's without a body.
    pub(super) fn bare(&self, kind: Kind) -> Bytes {
        frame::bare(kind, self.clock.read(Instant::now()))
    }

    /// Why there was no connection when one was tried last.
    #[cfg(test)]
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.told.lock().clone()
    }

    /// Leaves a message to be published. Never waits.
    pub(super) fn send(&self, message: Outgoing) {
        let dropped = self.outbox.push(message);
        self.metering.dropped(Dropped::Outgoing, dropped);
    }

    /// Sends itself a message behind everything that was left to be published, and waits for it. When it is back, the
    /// server knows of it all, and of every subscription that was begun before.
    pub(super) async fn settle(&self, within: Duration) -> bool {
        let echo = self.asked.begin();
        self.send(Outgoing {
            subject: self.answer_subject(echo.token()),
            body: self.bare(Kind::Answer),
        });
        matches!(timeout(within, echo.answer()).await, Ok(Ok(_)))
    }

    /// Keeps what is known of the connection right.
    async fn watch(self: Arc<Link>, noticed: Arc<Notify>) {
        self.metering.connected(false);
        let statistics = self.client.statistics();
        loop {
            let number = statistics.connects.load(Ordering::Relaxed);
            let is_alive = self.client.connection_state() == State::Connected;
            let known = *self.connection.borrow();
            if !is_alive {
                self.note(Connection::Away);
            } else if known != Connection::Up(number) {
                self.note(Connection::Away);
                let is_settled = self.settle(ECHO_WITHIN).await;
                if is_settled && statistics.connects.load(Ordering::Relaxed) == number {
                    self.connects.store(number, Ordering::Relaxed);
                    self.note(Connection::Up(number));
                    continue;
                }
            }
            // Hearing nothing is the rule, so that the error means nothing.
            timeout(LOOK_EVERY, noticed.notified()).await.ok();
        }
    }

    fn note(&self, now: Connection) {
        let before = self.connection.send_replace(now);
        let is_up = matches!(now, Connection::Up(_));
        self.metering.connected(is_up);
        match (before, now) {
            (Connection::Up(_), Connection::Away) => {
                tracing::warn!("the connection to the bus is lost: trying again");
            }
            (Connection::Away, Connection::Up(_)) => {
                self.trouble.is_over();
                tracing::info!("connected to the bus");
            }
            (Connection::Away, Connection::Away) | (Connection::Up(_), Connection::Up(_)) => {}
        }
    }

    async fn publish_all(self: Arc<Link>) {
        let next = || std::future::poll_fn(|context| self.outbox.poll_take(context));
        while let Some(Outgoing { subject, body }) = next().await {
            if let Err(error) = self.client.publish(subject, body).await {
                self.metering.dropped(Dropped::Outgoing, 1);
                tracing::debug!("a message was not published: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_differ() {
        for tries in [0, 1, 2, 5, 60, usize::MAX] {
            let pause = pause(tries);
            assert!(pause >= PAUSE_MIN / 2 && pause <= PAUSE_MAX, "{pause:?}");
        }
        assert!(pause(1) <= PAUSE_MIN);
        assert!(pause(100) >= PAUSE_MAX / 2);
    }

    #[test]
    fn what_would_break_a_subject_is_no_name() {
        assert!(is_name("0198c7a0-0000-7000-8000-00000000000a"));
        for text in ["", "a.b", "a b", "*", ">", "ä"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
