//! The receiver of webhooks: one thread that counts requests and answers 200, as cheaply as sockets allow.
//!
//! Checks no signature: receivers do, but not at the engine's cost. Paths that begin with `/_` are the bench's own questions.

use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    rc::Rc,
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::LocalSet,
    time::timeout,
};

use crate::{
    bodies, clock,
    stats::Latencies,
    wire::{Head, read_head},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How long the sink waits for deliveries that do not come.
const WAIT_MAX: Duration = Duration::from_secs(180);

/// What the sink knows of the times between sending and arriving.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Latency {
    /// Requests since the last reset.
    pub(crate) count: u64,
    /// Bytes of their bodies.
    pub(crate) body_bytes: u64,
    /// Of the stamped ones, in microseconds.
    pub(crate) p50_us: Option<u32>,
    /// Of the stamped ones, in microseconds.
    pub(crate) p99_us: Option<u32>,
}

/// What has arrived since the last reset.
#[derive(Debug, Default)]
struct Arrivals {
    count: Cell<u64>,
    body_bytes: Cell<u64>,
    /// Whether bodies are searched for a stamp.
    reads_stamps: Cell<bool>,
    latencies: RefCell<Latencies>,
    /// The count that somebody waits for.
    awaited: Cell<u64>,
    reached: Notify,
}

pub(super) fn play() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the sink's runtime")?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("bind the sink")?;
        super::announce(listener.local_addr().context("find the sink's address")?)?;
        let arrivals = Rc::new(Arrivals::default());
        loop {
            let (stream, _) = listener.accept().await.context("accept at the sink")?;
            // A sender that goes away ends its connection with an error that concerns nobody.
            let arrivals = Rc::clone(&arrivals);
            tokio::task::spawn_local(async move { serve(stream, &arrivals).await.ok() });
        }
    })
}

async fn serve(mut stream: TcpStream, arrivals: &Arrivals) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut answers = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        while let Some(head) = read_head(&buffer[used..]) {
            let length = request_length(&head);
            let Some(request) = buffer.get(used..used + length) else {
                break;
            };
            if is_question(request) {
                answers.extend_from_slice(&answer(request, arrivals).await);
            } else {
                arrivals.note(&request[head.length..]);
                answers.extend_from_slice(OK);
            }
            used += length;
        }
        buffer.drain(..used);
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
    }
}

fn request_length(head: &Head) -> usize {
    head.length + head.body_length.unwrap_or(0)
}

impl Arrivals {
    fn note(&self, body: &[u8]) {
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.body_bytes.set(self.body_bytes.get() + length);
        if self.reads_stamps.get()
            && let Some(sent_at) = bodies::read_stamp(body)
        {
            let micros = u32::try_from(clock::now().micros() - sent_at).unwrap_or(0);
            self.latencies.borrow_mut().add_micros(micros);
        }
        self.count.set(self.count.get() + 1);
        if self.count.get() == self.awaited.get() {
            self.reached.notify_one();
        }
    }

    fn reset(&self, reads_stamps: bool) {
        self.count.set(0);
        self.body_bytes.set(0);
        self.awaited.set(0);
        self.reads_stamps.set(reads_stamps);
        self.latencies.borrow_mut().clear();
    }

    fn latency(&self) -> Latency {
        let mut latencies = self.latencies.borrow_mut();
        Latency {
            count: self.count.get(),
            body_bytes: self.body_bytes.get(),
            p50_us: latencies.quantile(500),
            p99_us: latencies.quantile(990),
        }
    }
}

fn is_question(request: &[u8]) -> bool {
    request.starts_with(b"GET /_")
}

/// Answers one of the bench's own questions: `/_reset`, `/_reset-stamped`, `/_latency`, or `/_wait-COUNT`, which is
/// answered when so many requests have arrived (or far too long have not).
async fn answer(request: &[u8], arrivals: &Arrivals) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or(b"");
    let line = String::from_utf8_lossy(line);
    match line.split(' ').nth(1).unwrap_or("") {
        "/_reset" => arrivals.reset(false),
        "/_reset-stamped" => arrivals.reset(true),
        other => {
            if let Some(count) = other.strip_prefix("/_wait-") {
                wait(count.parse().unwrap_or(0), arrivals).await;
            }
        }
    }
    let body = serde_json::to_string(&arrivals.latency()).unwrap_or_default();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn wait(count: u64, arrivals: &Arrivals) {
    arrivals.awaited.set(count);
    let all_arrived = async {
        while arrivals.count.get() < count {
            arrivals.reached.notified().await;
        }
    };
    // Whether the wait succeeded shows in the count of the answer.
    timeout(WAIT_MAX, all_arrived).await.ok();
}
