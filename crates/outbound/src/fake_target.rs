//! Targets and names that behave as badly as a test wants.
//!
//! Real sockets on free ports of this machine; what happens on them is written out byte by byte.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::ids::TenantId;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use url::Url;

use crate::resolver::Lookup;

/// What a target does with each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// Sends these bytes and keeps the connection.
    Answer(&'static str),
    /// Sends these bytes and then nothing more, with the connection open.
    StopAfter(&'static str),
    /// Sends the head and then a byte of the body now and then, for ever.
    Drip,
    /// Sends a body until nobody takes it any more.
    Endless,
    /// Closes in the orderly way after these bytes.
    CloseAfter(&'static str),
    /// Breaks the connection.
    Reset,
}

/// A target on a free port.
pub(crate) struct FakeTarget {
    addr: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    closed: mpsc::UnboundedReceiver<()>,
}

impl FakeTarget {
    pub(crate) async fn start(behaviour: Behaviour) -> FakeTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests_out, requests) = mpsc::unbounded_channel();
        let (closed_out, closed) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (requests, closed) = (requests_out.clone(), closed_out.clone());
                tokio::spawn(async move {
                    // An error is the client's way of closing; the test hears of it either way.
                    serve(stream, behaviour, &requests).await.ok();
                    closed.send(()).ok();
                });
            }
        });
        FakeTarget {
            addr,
            requests,
            closed,
        }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/hook", self.addr).parse().unwrap()
    }

    /// The URL by which the client must ask a resolver.
    pub(crate) fn url_by_name(&self, name: &str) -> Url {
        format!("http://{name}:{}/hook", self.addr.port())
            .parse()
            .unwrap()
    }

    /// Waits for the next request, head and body.
    pub(crate) async fn request(&mut self) -> String {
        self.requests.recv().await.unwrap()
    }

    /// Waits until a connection has ended.
    pub(crate) async fn connection_closed(&mut self) {
        self.closed.recv().await.unwrap();
    }

    pub(crate) fn requests_so_far(&mut self) -> usize {
        std::iter::from_fn(|| self.requests.try_recv().ok()).count()
    }
}

async fn serve(
    mut stream: TcpStream,
    behaviour: Behaviour,
    requests: &mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    while let Some(request) = read_request(&mut stream).await? {
        requests.send(request).ok();
        match behaviour {
            Behaviour::Answer(answer) => stream.write_all(answer.as_bytes()).await?,
            Behaviour::StopAfter(start) => {
                stream.write_all(start.as_bytes()).await?;
                while stream.read(&mut [0; 64]).await? > 0 {}
            }
            Behaviour::Drip => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                    .await?;
                let mut pace = tokio::time::interval(Duration::from_millis(5));
                loop {
                    pace.tick().await;
                    stream.write_all(b"x").await?;
                }
            }
            Behaviour::Endless => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
                    .await?;
                loop {
                    stream.write_all(&[b'x'; 8192]).await?;
                }
            }
            Behaviour::CloseAfter(start) => return stream.write_all(start.as_bytes()).await,
            Behaviour::Reset => return stream.set_zero_linger(),
        }
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut request = String::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() == length {
                return Ok(Some(request));
            }
        }
        match stream.read(&mut chunk).await? {
            0 => return Ok(None),
            length => request.push_str(std::str::from_utf8(&chunk[..length]).unwrap()),
        }
    }
}

/// Names with the addresses that a test gives them.
pub(crate) struct Names(Mutex<HashMap<String, Vec<IpAddr>>>);

impl Names {
    pub(crate) fn new(names: &[(&str, &[&str])]) -> Names {
        let made = Names(Mutex::default());
        for (name, addrs) in names {
            made.set(name, addrs);
        }
        made
    }

    pub(crate) fn set(&self, name: &str, addrs: &[&str]) {
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        self.0.lock().insert(name.to_owned(), addrs);
    }
}

impl Lookup for Names {
    fn lookup(&self, name: Arc<str>) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let found = self.0.lock().get(&*name).cloned();
        let unknown = || io::Error::other("nobody has heard of this name");
        std::future::ready(found.ok_or_else(unknown)).boxed()
    }
}

pub(crate) fn tenant(number: u32) -> TenantId {
    format!("ten_{number:032x}").parse().unwrap()
}
