//! An engine that does what a test says: one session, frames as JSON.

use futures_util::{SinkExt as _, StreamExt as _};
use gateway::DeviceId;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};
use uuid::Uuid;

pub(super) fn device() -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(7))
}

pub(super) struct Engine {
    listener: TcpListener,
}

pub(super) struct Session {
    socket: WebSocketStream<TcpStream>,
}

impl Engine {
    pub(super) async fn start() -> Engine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Engine { listener }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    /// Opens a session.
    pub(super) async fn accept(&self) -> Session {
        let (socket, _) = self.listener.accept().await.unwrap();
        let socket = accept_hdr_async(socket, agree).await.unwrap();
        let mut session = Session { socket };
        session.expect("hello").await;
        session
            .say(&json!({
                "kind": "welcome", "device": device(), "fence": 1, "heartbeat_seconds": 30
            }))
            .await;
        session
    }
}

#[expect(clippy::result_large_err, reason = "the library's own signature")]
fn agree(_request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = HeaderValue::from_static("trunkline.v1");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    Ok(response)
}

impl Session {
    pub(super) async fn say(&mut self, frame: &Value) {
        let text = Message::Text(frame.to_string().into());
        self.socket.send(text).await.unwrap();
    }

    pub(super) async fn expect(&mut self, kind: &str) -> Value {
        let message = self.socket.next().await.unwrap().unwrap();
        let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        assert_eq!(frame["kind"], kind, "{frame}");
        frame
    }

    pub(super) async fn expect_state(&mut self, state: &str) -> Value {
        let frame = self.expect("state").await;
        assert_eq!(frame["state"], state, "{frame}");
        frame
    }

    pub(super) async fn ack(&mut self, event: &Value) {
        self.say(&json!({ "kind": "ack", "id": event["id"], "position": 1 }))
            .await;
    }

    pub(super) async fn nack(&mut self, event: &Value) {
        let error = json!({ "code": "template_violation", "message": "no" });
        self.say(&json!({ "kind": "nack", "id": event["id"], "error": error }))
            .await;
    }

    pub(super) async fn command(&mut self, id: &str, name: &str, args: &Value) {
        self.say(&json!({
            "kind": "command", "id": id, "name": name, "args": args,
            "deadline": "2030-01-01T00:00:00Z",
        }))
        .await;
    }
}
