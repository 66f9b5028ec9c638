//! A receiver whose every answer is given by the test.

use std::collections::HashMap;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

/// Listens on a free port of this machine.
pub(super) struct Sink {
    pub(super) url: String,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// A request that waits for its answer.
pub(super) struct Request {
    headers: HashMap<String, String>,
    pub(super) body: String,
    answer: oneshot::Sender<String>,
}

impl Sink {
    pub(super) async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::unbounded_channel();
        actix::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                actix::spawn(serve(stream, sender.clone()));
            }
        });
        Sink { url, requests }
    }

    /// Waits for the next request.
    pub(super) async fn next(&mut self) -> Request {
        self.requests.recv().await.unwrap()
    }

    /// Waits for the next request and answers it. Says of which event it was.
    pub(super) async fn answer(&mut self, status: u16) -> u64 {
        let request = self.next().await;
        let position = request.position();
        request.answer(status);
        position
    }

    /// Waits for `count` requests and answers each with 204.
    pub(super) async fn take(&mut self, count: usize) -> Vec<u64> {
        let mut positions = Vec::new();
        for _ in 0..count {
            positions.push(self.answer(204).await);
        }
        positions
    }

    /// Whether a request waits right now.
    pub(super) fn is_quiet(&self) -> bool {
        self.requests.is_empty()
    }
}

impl Request {
    pub(super) fn header(&self, name: &str) -> &str {
        &self.headers[name]
    }

    pub(super) fn attempt(&self) -> u32 {
        self.header("x-trunkline-attempt").parse().unwrap()
    }

    pub(super) fn position(&self) -> u64 {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["position"].as_u64().unwrap()
    }

    pub(super) fn answer(self, status: u16) {
        self.answer_with(status, "");
    }

    pub(super) fn answer_with(self, status: u16, headers: &str) {
        let body = if status == 204 {
            ""
        } else {
            "content-length: 2\r\n"
        };
        let content = if status == 204 { "" } else { "no" };
        // A client that has hung up does not matter.
        let answer = format!("HTTP/1.1 {status} X\r\n{headers}{body}\r\n{content}");
        drop(self.answer.send(answer));
    }
}

async fn serve(stream: TcpStream, requests: mpsc::UnboundedSender<Request>) {
    let mut stream = BufReader::new(stream);
    loop {
        let Some((headers, body)) = read(&mut stream).await else {
            return;
        };
        let (answer, answered) = oneshot::channel();
        let request = Request {
            headers,
            body,
            answer,
        };
        if requests.send(request).is_err() {
            return;
        }
        let Ok(answer) = answered.await else { return };
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<(HashMap<String, String>, String)> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some((headers, String::from_utf8(body).ok()?))
}
