//! An engine under the test's control: sessions of one device, its credentials, and acks that can be held back.

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};

/// The device of all tests.
pub(crate) const DEVICE: &str = "dev_01890a5d-ac96-774b-bcce-b302099a8057";

/// See the module.
pub(crate) struct Engine {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Counts what has changed.
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    fence: u64,
    credentials: Option<Vec<u8>>,
    /// All frames of gateways, with repetitions.
    frames: Vec<Value>,
    /// Events that are durable, each once.
    events: Vec<Value>,
    holds_acks: bool,
    /// Where frames for the gateway go.
    gateway: Option<mpsc::UnboundedSender<Value>>,
}

impl Engine {
    pub(crate) async fn start() -> Engine {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: watch::Sender::new(0),
        });
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&shared)));
                }
            }
        });
        Engine { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits for a frame, which may have come already.
    pub(crate) async fn frame(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.until(|state| state.frames.iter().find(|frame| is_it(frame)).cloned())
            .await
    }

    /// Waits for an event of this type that is durable.
    pub(crate) async fn event(&self, kind: &str) -> Value {
        self.until(|state| {
            state
                .events
                .iter()
                .find(|event| event["type"] == kind)
                .cloned()
        })
        .await
    }

    /// Waits for the n-th report (from 1) of this state.
    pub(crate) async fn state(&self, name: &str, nth: usize) -> Value {
        self.until(|state| {
            let is_it = |frame: &&Value| frame["kind"] == "state" && frame["state"] == name;
            state.frames.iter().filter(is_it).nth(nth - 1).cloned()
        })
        .await
    }

    /// Waits until so many event frames of a type have come, repetitions among them.
    pub(crate) async fn frames(&self, kind: &str, count: usize) -> Vec<Value> {
        self.until(|state| {
            let is_it = |frame: &&Value| frame["kind"] == "event" && frame["type"] == kind;
            let frames: Vec<Value> = state.frames.iter().filter(is_it).cloned().collect();
            (frames.len() >= count).then_some(frames)
        })
        .await
    }

    /// All durable events of a type.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let state = self.shared.state();
        let events = state.events.iter().filter(|event| event["type"] == kind);
        events.cloned().collect()
    }

    /// Whether the device's gateway has kept anything here.
    pub(crate) fn has_credentials(&self) -> bool {
        self.shared.state().credentials.is_some()
    }

    /// From now on no event is durable, until they are taken again.
    pub(crate) fn hold_acks(&self) {
        self.shared.state().holds_acks = true;
    }

    /// Takes events again, those that were held back first.
    pub(crate) fn take_events(&self) {
        let mut state = self.shared.state();
        state.holds_acks = false;
        let frames = state.frames.clone();
        for frame in frames.iter().filter(|frame| frame["kind"] == "event") {
            state.take(frame);
        }
        drop(state);
        self.shared.tell();
    }

    /// Has the gateway do something, and answers its result.
    pub(crate) async fn command(&self, id: &str, name: &str, args: &Value) -> Value {
        self.say(json!({
            "kind": "command", "id": id, "name": name, "args": args,
            "deadline": "2100-01-01T00:00:00Z",
        }));
        self.frame(|frame| frame["kind"] == "result" && frame["id"] == id)
            .await
    }

    /// Sends a frame to the gateway.
    pub(crate) fn say(&self, frame: Value) {
        if let Some(gateway) = &self.shared.state().gateway {
            gateway.send(frame).ok();
        }
    }

    /// Ends the session without a word. The gateway comes again, with a new fence.
    pub(crate) fn cut(&self) {
        self.shared.state().gateway = None;
    }

    async fn until<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        let mut news = self.shared.news.subscribe();
        loop {
            if let Some(found) = found(&self.shared.state()) {
                return found;
            }
            news.changed().await.expect("the engine is there");
        }
    }

    /// How many sessions there were.
    pub(crate) async fn sessions(&self, count: u64) {
        self.until(|state| (state.fence >= count).then_some(()))
            .await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test has panicked with it")
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }
}

impl State {
    fn say(&self, frame: Value) {
        if let Some(gateway) = &self.gateway {
            gateway.send(frame).ok();
        }
    }

    /// Makes an event durable, once, and acknowledges it. A message is known by its key, all else by its frame.
    fn take(&mut self, frame: &Value) {
        let name = |event: &Value| match event["type"].as_str() {
            Some("message.received") => event["key"].clone(),
            _ => event.clone(),
        };
        let known = self
            .events
            .iter()
            .position(|event| name(event) == name(frame));
        let position = known.unwrap_or_else(|| {
            self.events.push(frame.clone());
            self.events.len() - 1
        });
        self.say(json!({"kind": "ack", "id": frame["id"], "position": position + 1}));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut seen = [0; 4096];
    let Ok(count) = stream.peek(&mut seen).await else {
        return;
    };
    let request = String::from_utf8_lossy(&seen[..count]);
    if request
        .lines()
        .next()
        .is_some_and(|line| line.contains("/session"))
    {
        session(stream, &shared).await;
    } else {
        // A gateway that goes away in the middle has ended the exchange itself.
        credentials(&mut stream, &shared).await.ok();
        stream.shutdown().await.ok();
    }
}

#[expect(
    clippy::result_large_err,
    clippy::unnecessary_wraps,
    reason = "the library's signature"
)]
fn with_protocol(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let name = HeaderValue::from_static("trunkline.v1");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", name);
    Ok(response)
}

async fn session(stream: TcpStream, shared: &Shared) {
    let Ok(mut socket) = accept_hdr_async(stream, with_protocol).await else {
        return;
    };
    let (sender, mut outgoing) = mpsc::unbounded_channel::<Value>();
    let mut sender = Some(sender);
    loop {
        tokio::select! {
            frame = outgoing.recv() => {
                let Some(frame) = frame else { return };
                if socket.send(Message::Text(frame.to_string().into())).await.is_err() {
                    return;
                }
            }
            message = socket.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let frame = serde_json::from_str(&text).expect("gateways speak JSON");
                heard(frame, &mut sender, shared);
                shared.tell();
            }
        }
    }
}

fn heard(frame: Value, sender: &mut Option<mpsc::UnboundedSender<Value>>, shared: &Shared) {
    let mut state = shared.state();
    match frame["kind"].as_str() {
        Some("hello") => {
            state.fence += 1;
            state.gateway = sender.take();
            state.say(json!({
                "kind": "welcome", "device": DEVICE, "fence": state.fence, "heartbeat_seconds": 30,
            }));
        }
        Some("event") if !state.holds_acks => state.take(&frame),
        Some("ping") => state.say(json!({"kind": "pong"})),
        _ => {}
    }
    state.frames.push(frame);
}

/// Answers one request for credentials.
async fn credentials(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head_length = loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&some[..count]);
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..head_length]).to_lowercase();
    let header = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let length = header("content-length:").map_or(0, |text| text.parse().expect("a number"));
    let mut body = request.split_off(head_length);
    let known = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[known..]).await?;
    let (status, body) = {
        let mut state = shared.state();
        let is_present =
            header("if-match:").is_some_and(|tag| tag.trim_matches('"') == state.fence.to_string());
        match (head.starts_with("put"), is_present) {
            (true, true) => {
                state.credentials = Some(body);
                ("204 No Content", Vec::new())
            }
            (true, false) => ("412 Precondition Failed", Vec::new()),
            (false, _) => match &state.credentials {
                Some(kept) => ("200 OK", kept.clone()),
                None => ("204 No Content", Vec::new()),
            },
        }
    };
    shared.tell();
    let fence = shared.state().fence;
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{fence}\"\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await
}
