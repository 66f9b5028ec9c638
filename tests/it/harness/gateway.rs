//! A gateway that says exactly what a test wants: the gateway protocol over a WebSocket, frame by frame.
//!
//! Knows nothing of our own types, so that it reads what any gateway would read.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};

use super::{
    client::{number, text},
    until::{soon, until},
};

/// An open session of a device.
#[derive(Debug)]
pub(crate) struct Gateway {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The session's number.
    pub(crate) fence: u64,
    /// What came while something else was waited for.
    passed_over: VecDeque<Value>,
    sent: u64,
}

/// What a gateway says to a command.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Done; this is the result.
    Done(Value),
    /// Not done: code and message.
    Refused(&'static str, &'static str),
    /// Nothing at all.
    Silence,
}

/// A gateway that answers commands in the background until it is dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    commands: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Gateway {
    /// Connects and says hello. `base` is the engine's address.
    pub(crate) async fn connect(base: &str, key: &str, device: &str) -> Gateway {
        match Gateway::try_connect(base, key, device).await {
            Ok(gateway) => gateway,
            Err(status) => panic!("the session of {device} was refused with {status}"),
        }
    }

    /// The same; `Err` is the status with which the upgrade is refused.
    pub(crate) async fn try_connect(base: &str, key: &str, device: &str) -> Result<Gateway, u16> {
        let mut gateway = Gateway::try_open(base, key, device).await?;
        gateway.greet(device).await;
        Ok(gateway)
    }

    /// Opens the WebSocket and says nothing yet.
    pub(crate) async fn try_open(base: &str, key: &str, device: &str) -> Result<Gateway, u16> {
        let url = base.replacen("http", "ws", 1);
        let url = format!("{url}/v1/devices/{device}/session");
        let mut request = url.into_client_request().expect("a URL");
        let headers = request.headers_mut();
        let bearer = format!("Bearer {key}");
        headers.insert("authorization", bearer.parse().expect("a header"));
        headers.insert(
            "sec-websocket-protocol",
            "trunkline.v1".parse().expect("a header"),
        );
        let socket = match soon("the upgrade is answered", Box::pin(connect_async(request))).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("the engine cannot be reached: {error}"),
        };
        Ok(Gateway {
            socket,
            fence: 0,
            passed_over: VecDeque::new(),
            sent: 0,
        })
    }

    /// Says hello and waits for the welcome.
    pub(crate) async fn greet(&mut self, device: &str) {
        self.say(&json!({ "kind": "hello", "gateway": "test/1" }))
            .await;
        let welcome = self.expect("welcome").await;
        assert_eq!(text(&welcome, "device"), device);
        self.fence = number(&welcome, "fence");
    }

    /// Connects and is connected to its network.
    pub(crate) async fn connected(base: &str, key: &str, device: &str) -> Gateway {
        let mut gateway = Gateway::connect(base, key, device).await;
        gateway
            .say(&json!({ "kind": "state", "state": "connected" }))
            .await;
        gateway
    }

    /// Sends a frame.
    pub(crate) async fn say(&mut self, frame: &Value) {
        let message = Message::text(frame.to_string());
        self.socket
            .send(message)
            .await
            .expect("the session is open");
    }

    /// Sends whatever a WebSocket can send; `false` if the connection is gone.
    pub(crate) async fn send(&mut self, message: Message) -> bool {
        self.socket.send(message).await.is_ok()
    }

    /// What comes next on the WebSocket itself; `None` when it has ended.
    pub(crate) async fn receive(&mut self) -> Option<Message> {
        soon("something comes", self.socket.next()).await?.ok()
    }

    /// Reads until the engine closes the connection, and answers the code that it gives.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        loop {
            if let Message::Close(frame) = self.receive().await? {
                return frame.map(|frame| u16::from(frame.code));
            }
        }
    }

    /// Sends an event and answers the position under which it was acknowledged. Its frame id is its number if it has none.
    pub(crate) async fn event(&mut self, event: Value) -> u64 {
        self.sent += 1;
        let mut frame = json!({ "kind": "event", "id": self.sent.to_string() });
        let members = frame.as_object_mut().expect("an object");
        members.extend(event.as_object().expect("an object").clone());
        let id = frame["id"].clone();
        self.say(&frame).await;
        loop {
            let frame = self.next().await.expect("the session is open");
            match (text(&frame, "kind"), frame["id"] == id) {
                ("ack", true) => return number(&frame, "position"),
                ("nack", _) => panic!("the event was refused: {frame}"),
                _ => self.passed_over.push_back(frame),
            }
        }
    }

    /// The next frame of this kind; what comes before it is kept for later.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let kept = self
            .passed_over
            .iter()
            .position(|frame| frame["kind"] == kind);
        if let Some(frame) = kept.and_then(|index| self.passed_over.remove(index)) {
            return frame;
        }
        loop {
            let Some(frame) = self.next().await else {
                panic!(
                    "the session ended instead of saying {kind}: {:?}",
                    self.passed_over
                );
            };
            if frame["kind"] == kind {
                return frame;
            }
            self.passed_over.push_back(frame);
        }
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match soon("a frame comes", self.socket.next()).await? {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("frames are JSON"));
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Answers every command from now on, in the background.
    pub(crate) fn serve(
        mut self,
        mut answer: impl FnMut(&Value) -> Reply + Send + 'static,
    ) -> Serving {
        let commands = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&commands);
        let task = tokio::spawn(async move {
            loop {
                let frame = match self.passed_over.pop_front() {
                    Some(frame) => frame,
                    None => match self.socket.next().await {
                        Some(Ok(Message::Text(text))) => {
                            serde_json::from_str(&text).expect("frames are JSON")
                        }
                        Some(Ok(_)) => continue,
                        Some(Err(_)) | None => return,
                    },
                };
                if frame["kind"] != "command" {
                    continue;
                }
                let reply = result(&frame["id"], answer(&frame));
                seen.lock()
                    .expect("nobody panics while holding it")
                    .push(frame);
                if let Some(reply) = reply {
                    self.say(&reply).await;
                }
            }
        });
        Serving { commands, task }
    }
}

impl Serving {
    /// Every command that came.
    pub(crate) fn commands(&self) -> Vec<Value> {
        let commands = self.commands.lock();
        commands.expect("nobody panics while holding it").clone()
    }

    /// Waits until so many commands have come.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Value> {
        until("the commands have come", async || {
            let commands = self.commands();
            (commands.len() >= count).then_some(commands)
        })
        .await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn result(id: &Value, reply: Reply) -> Option<Value> {
    match reply {
        Reply::Done(data) => Some(json!({ "kind": "result", "id": id, "ok": true, "data": data })),
        Reply::Refused(code, message) => {
            let error = json!({ "code": code, "message": message });
            Some(json!({ "kind": "result", "id": id, "ok": false, "error": error }))
        }
        Reply::Silence => None,
    }
}
