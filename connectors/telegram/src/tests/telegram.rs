//! A Bot API that does what a test says, one call at a time.

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

pub(super) struct Telegram {
    listener: TcpListener,
}

/// One call that waits for its answer.
pub(super) struct Call {
    pub(super) body: Value,
    socket: TcpStream,
}

impl Telegram {
    pub(super) async fn start() -> Telegram {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Telegram { listener }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.listener.local_addr().unwrap())
    }

    pub(super) fn has_no_call(&self) -> bool {
        self.listener.accept().now_or_never().is_none()
    }

    /// Takes the next call, which must be of this method.
    pub(super) async fn expect(&self, method: &str) -> Call {
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
        assert!(
            head.starts_with(&format!("POST /bot1:token/{method} ")),
            "expected {method}, got {head}"
        );
        let mut body = text.split_off(end + 4);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let known = body.len();
        body.resize(length, 0);
        socket.read_exact(&mut body[known..]).await.unwrap();
        Call {
            body: serde_json::from_slice(&body).unwrap(),
            socket,
        }
    }

    /// Answers who the bot is.
    pub(super) async fn greet(&self) {
        let me = json!({ "id": 666, "username": "bot" });
        self.expect("getMe").await.answer(&me).await;
    }
}

impl Call {
    pub(super) async fn answer(self, result: &Value) {
        self.end("200 OK", &json!({ "ok": true, "result": result }))
            .await;
    }

    pub(super) async fn refuse(self, code: u16) {
        let answer = json!({ "ok": false, "error_code": code, "description": "no" });
        self.end(&format!("{code} No"), &answer).await;
    }

    async fn end(mut self, status: &str, body: &Value) {
        let body = body.to_string();
        let text = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.write_all(text.as_bytes()).await.unwrap();
        self.socket.shutdown().await.unwrap();
    }
}
