//! An engine that does what a test says, at the other end of a real connection.

use bytes::Bytes;
use domain::{
    device::{
        ByeReason, Command, CommandName,
        frame::{FromGateway, SUBPROTOCOL, ToGateway},
    },
    fence::Fence,
    ids::DeviceId,
    position::Position,
    time::Timestamp,
};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};
use uuid::Uuid;

pub(crate) fn device() -> DeviceId {
    DeviceId::from_uuid(Uuid::from_u128(7))
}

pub(crate) struct Engine {
    listener: TcpListener,
}

/// One session, seen from the engine.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
}

/// An HTTP request, and where the answer goes.
pub(crate) struct Visitor {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    socket: TcpStream,
}

impl Engine {
    pub(crate) async fn start() -> Engine {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Engine { listener }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().unwrap())
    }

    /// Takes a connection and its hello.
    pub(crate) async fn accept(&self) -> Peer {
        let (socket, _) = self.listener.accept().await.unwrap();
        let socket = accept_hdr_async(socket, check_request).await.unwrap();
        let mut peer = Peer { socket };
        let hello = peer.next().await;
        assert_eq!(
            hello,
            FromGateway::Hello {
                gateway: "test/1".into()
            }
        );
        peer
    }

    /// Takes a connection and its hello, and opens a session under this fence.
    pub(crate) async fn welcome(&self, fence: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome(fence).await;
        peer
    }

    /// Answers a connection with HTTP.
    pub(crate) async fn refuse(&self, status: &str, content_type: &str) {
        let visitor = self.visitor().await;
        visitor
            .answer(status, &format!("Content-Type: {content_type}\r\n"), BODY)
            .await;
    }

    /// Takes a connection as HTTP.
    pub(crate) async fn visitor(&self) -> Visitor {
        let (mut socket, _) = self.listener.accept().await.unwrap();
        let mut text = Vec::new();
        let end = loop {
            let mut bytes = [0; 1_024];
            let count = socket.read(&mut bytes).await.unwrap();
            assert!(count > 0, "half a request");
            text.extend_from_slice(&bytes[..count]);
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
        };
        let head = String::from_utf8(text[..end].to_vec()).unwrap();
        let mut body = text.split_off(end + 4);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let known = body.len();
        body.resize(length, 0);
        socket.read_exact(&mut body[known..]).await.unwrap();
        Visitor { head, body, socket }
    }

    pub(crate) fn has_no_visitor(&self) -> bool {
        self.listener.accept().now_or_never().is_none()
    }
}

const BODY: &[u8] = b"{\"detail\":\"because\"}";

impl Visitor {
    pub(crate) async fn answer(mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.socket.write_all(head.as_bytes()).await.unwrap();
        self.socket.write_all(body).await.unwrap();
        self.socket.shutdown().await.unwrap();
    }
}

#[expect(clippy::result_large_err, reason = "the library's own signature")]
fn check_request(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let header = |name| request.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!(
        request.uri().path(),
        format!("/v1/devices/{}/session", device())
    );
    assert_eq!(header("authorization"), "Bearer ak_test");
    assert_eq!(header("sec-websocket-protocol"), SUBPROTOCOL);
    response.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(response)
}

impl Peer {
    pub(crate) async fn send(&mut self, frame: ToGateway) {
        let text = Message::Text(frame.write().into());
        self.socket.send(text).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> FromGateway {
        let message = self.socket.next().await.unwrap().unwrap();
        let Message::Text(text) = message else {
            panic!("expected a frame, got {message}");
        };
        FromGateway::parse(&Bytes::from(text)).unwrap()
    }

    pub(crate) async fn welcome(&mut self, fence: u64) {
        self.send(ToGateway::Welcome {
            device: device(),
            fence: Fence::new(fence),
            heartbeat_seconds: 30,
        })
        .await;
    }

    /// Expects this event.
    pub(crate) async fn event(&mut self, id: &str) {
        let frame = self.next().await;
        assert_eq!(frame, FromGateway::Event(super::event(id)));
    }

    /// Expects a result, and answers its data or its code.
    pub(crate) async fn result(&mut self, id: &str) -> Result<Bytes, String> {
        let FromGateway::Result(result) = self.next().await else {
            panic!("expected a result");
        };
        assert_eq!(&*result.id, id);
        result.outcome.map_err(|error| error.code)
    }

    pub(crate) async fn ack(&mut self, id: &str, position: u64) {
        self.send(ToGateway::Ack {
            id: id.into(),
            position: Position::new(position),
        })
        .await;
    }

    pub(crate) async fn nack(&mut self, id: &str, code: &str) {
        self.send(ToGateway::Nack {
            id: Some(id.into()),
            code: code.into(),
            message: "no".to_owned(),
        })
        .await;
    }

    pub(crate) async fn command(&mut self, id: &str, name: CommandName) {
        self.send(ToGateway::Command(Command {
            id: id.into(),
            name,
            args: Bytes::from_static(b"{\"to\":\"x\"}"),
            deadline: Timestamp::from_micros(1),
        }))
        .await;
    }

    pub(crate) async fn bye(&mut self, reason: ByeReason) {
        self.send(ToGateway::Bye(reason)).await;
    }

    /// Reads to the end, and says whether the gateway closed as it should.
    pub(crate) async fn ends_with_goodbye(&mut self) -> bool {
        while let Some(message) = self.socket.next().await {
            match message {
                Ok(Message::Close(_)) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Closes the connection that the gateway has closed.
    pub(crate) async fn answer_goodbye(mut self) {
        assert!(self.socket.next().await.is_none());
    }
}
