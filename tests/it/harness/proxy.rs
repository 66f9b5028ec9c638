//! A stretch of network between two programs, which a test may cut, hold up and mend.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 * 1024;

/// How the stretch behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Everything passes.
    Whole,
    /// Nothing passes and nobody is told: a cable that was pulled.
    Silent,
    /// Connections are closed, new ones at once: a server that went away.
    Cut,
}

/// Passes connections on to a server on this machine. Ends, with its connections, when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A whole line to a local port.
    pub(crate) async fn to(target_port: u16) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("there are free ports");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, target_port));
        let (line, seen) = watch::channel(Line::Whole);
        let accepting = tokio::spawn(async move {
            // The connections end with the proxy, because this set ends them when it is dropped.
            let mut connections = JoinSet::new();
            while let Ok((client, _peer)) = listener.accept().await {
                connections.spawn(pass_on(client, target, seen.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Proxy {
            port,
            line,
            accepting,
        }
    }

    /// Where it listens.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Closes all connections, and every new one at once.
    pub(crate) fn cut(&self) {
        self.line.send_replace(Line::Cut);
    }

    /// Lets nothing through any more, without a word to either side.
    pub(crate) fn silence(&self) {
        self.line.send_replace(Line::Silent);
    }

    /// Lets everything through again, also what was held up.
    pub(crate) fn mend(&self) {
        self.line.send_replace(Line::Whole);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass_on(mut client: TcpStream, target: SocketAddr, line: watch::Receiver<Line>) {
    if !is_open(line.clone()).await {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::join!(
        pump(from_client, to_server, line.clone()),
        pump(from_server, to_client, line),
    );
}

/// Carries one direction until its end, or until the line is cut.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            () = is_cut(&mut line) => return,
        };
        if !is_open(line.clone()).await {
            return;
        }
        match read {
            // The other direction may go on: the end is passed on like everything else.
            Ok(0) | Err(_) => {
                to.shutdown().await.ok();
                return;
            }
            Ok(length) => {
                let written = tokio::select! {
                    written = to.write_all(&piece[..length]) => written,
                    () = is_cut(&mut line) => return,
                };
                if written.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits while the line is silent; answers whether it is whole then.
async fn is_open(mut line: watch::Receiver<Line>) -> bool {
    let found = line.wait_for(|line| *line != Line::Silent).await;
    found.is_ok_and(|line| *line == Line::Whole)
}

/// Waits until the line is cut, or nobody can mend it any more.
async fn is_cut(line: &mut watch::Receiver<Line>) {
    line.wait_for(|line| *line == Line::Cut).await.ok();
}
