//! A receiver of webhooks on a free port, which remembers what it got and answers as a test wants.
//!
//! Written on bare sockets, so that it can misbehave byte by byte.

mod answer;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};

use super::until::until;

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Answers this status.
    Answer(u16),
    /// Answers this status with one more header and a body.
    AnswerWith(u16, (&'static str, String), String),
    /// Answers this status after a while.
    After(Duration, u16),
    /// Never answers.
    Hang,
    /// Sends the head and then a byte of the body now and then, for ever.
    Drip,
    /// Answers 200 with 10 MB.
    Huge,
    /// Breaks the connection.
    Reset,
}

type Script = Arc<dyn Fn(&Received, usize) -> Behaviour + Send + Sync>;

/// A receiver. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<Script>,
    connections: AtomicU64,
    peers: Mutex<Vec<SocketAddr>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// When it was there as a whole.
    pub(crate) at: Instant,
    /// The number of the connection that it came on, from 0.
    pub(crate) connection: u64,
    /// Its method.
    pub(crate) method: String,
    /// Its path.
    pub(crate) path: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Sink {
    /// A receiver that answers 200.
    pub(crate) async fn start() -> Sink {
        Sink::with(|_, _| Behaviour::Answer(200)).await
    }

    /// A receiver that does the same with every request.
    pub(crate) async fn that(behaviour: Behaviour) -> Sink {
        Sink::with(move |_, _| behaviour.clone()).await
    }

    /// A receiver that decides for each request, which it sees with its number, from 0.
    pub(crate) async fn with(
        script: impl Fn(&Received, usize) -> Behaviour + Send + Sync + 'static,
    ) -> Sink {
        let listener = TcpListener::bind((own_host(), 0))
            .await
            .expect("there are free ports");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            script: Mutex::new(Arc::new(script)),
            connections: AtomicU64::new(0),
            peers: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            // The connections end with the receiver, because this set ends them when it is dropped.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, peer)) = listener.accept().await {
                serving.peers.lock().expect("not poisoned").push(peer);
                let number = serving.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(serve(stream, number, Arc::clone(&serving)));
                while connections.try_join_next().is_some() {}
            }
        });
        Sink {
            addr,
            shared,
            accepting,
        }
    }

    /// From now on every request is treated like this.
    pub(crate) fn now(&self, behaviour: Behaviour) {
        *self.shared.script.lock().expect("not poisoned") = Arc::new(move |_, _| behaviour.clone());
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// The same port under `https`: no handshake will ever succeed.
    pub(crate) fn https_url(&self) -> String {
        format!("https://{}/hook", self.addr)
    }

    /// How many requests have come.
    pub(crate) fn count(&self) -> usize {
        self.shared.received.lock().expect("not poisoned").len()
    }

    /// How many connections have been opened.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// What has come.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("not poisoned").clone()
    }

    /// Opens a connection of the test's own; answers its number. Connections are taken in the order in which they were
    /// opened, so whatever had one before this has a lower number.
    pub(crate) async fn mark(&self) -> u64 {
        // An earlier connection may have had the port that this one will have.
        let earlier = self.shared.peers.lock().expect("not poisoned").len();
        let stream = TcpStream::connect(self.addr)
            .await
            .expect("the receiver listens");
        let own = stream
            .local_addr()
            .expect("a connected socket has an address");
        let what = "the receiver has taken the mark";
        let number = until(what, async || {
            let peers = self.shared.peers.lock().expect("not poisoned");
            let later = peers.iter().skip(earlier).position(|peer| *peer == own);
            later.map(|index| earlier + index)
        })
        .await;
        u64::try_from(number).expect("a count fits")
    }

    /// What has come since this was last asked.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.shared.received.lock().expect("not poisoned"))
    }

    /// Waits for so many requests and answers them.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} requests have come");
        until(&what, async || (self.count() >= count).then_some(())).await;
        self.received()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared(…)")
    }
}

impl Received {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("bodies are JSON")
    }

    /// The id of the event.
    pub(crate) fn event_id(&self) -> &str {
        self.header("webhook-id")
            .expect("every delivery has a webhook-id")
    }

    /// Which attempt it is.
    pub(crate) fn attempt(&self) -> u32 {
        let attempt = self
            .header("x-trunkline-attempt")
            .expect("every delivery has a number");
        attempt.parse().expect("a number")
    }

    /// Checks the signature with a library that is not ours.
    #[track_caller]
    pub(crate) fn verify(&self, secret: &str) {
        if let Err(error) = self.try_verify(secret) {
            panic!("{error}: {self:?}");
        }
    }

    /// Says whether the signature is right.
    pub(crate) fn try_verify(&self, secret: &str) -> Result<(), standardwebhooks::WebhookError> {
        standardwebhooks::Webhook::new(secret)?.verify(&self.body, &self.headers)
    }
}

/// An address of this machine that no other receiver of the test has, because limits per host tell receivers apart by it.
fn own_host() -> Ipv4Addr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let [high, low] = TAKEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

async fn serve(mut stream: TcpStream, number: u64, shared: Arc<Shared>) {
    stream.set_nodelay(true).ok();
    let mut unread = BytesMut::new();
    // An error is the client's way of closing.
    while let Ok(Some(mut received)) = read_request(&mut stream, &mut unread).await {
        received.connection = number;
        let script = Arc::clone(&shared.script.lock().expect("not poisoned"));
        let behaviour = {
            let mut all = shared.received.lock().expect("not poisoned");
            let behaviour = script(&received, all.len());
            all.push(received);
            behaviour
        };
        if answer::answer(&mut stream, behaviour).await.is_err() {
            return;
        }
    }
}

async fn read_request(
    stream: &mut TcpStream,
    unread: &mut BytesMut,
) -> io::Result<Option<Received>> {
    loop {
        if let Some(received) = parse(unread) {
            return Ok(Some(received));
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

/// Takes one whole request off the front.
fn parse(unread: &mut BytesMut) -> Option<Received> {
    let end = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&unread[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).expect("header names are names");
        let value = HeaderValue::from_str(value.trim()).expect("header values are text");
        headers.append(name, value);
    }
    let length = headers
        .get("content-length")
        .and_then(|value| value.to_str().ok());
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    let whole = end + 4 + length;
    if unread.len() < whole {
        return None;
    }
    let body = unread.split_to(whole).freeze().slice(end + 4..);
    Some(Received {
        at: Instant::now(),
        connection: 0,
        method,
        path,
        headers,
        body,
    })
}
