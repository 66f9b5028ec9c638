//! Bytes on a socket: for requests that no HTTP client would send.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::until::soon;

/// A connection to an engine.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects.
    pub(crate) async fn open(port: u16) -> Wire {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        Wire {
            stream: stream.expect("the engine takes connections"),
        }
    }

    /// Connects with so small a receive buffer that a reader who stops reading is soon noticed.
    pub(crate) async fn open_narrow(port: u16) -> Wire {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket
            .set_recv_buffer_size(4096)
            .expect("buffers may be small");
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await;
        Wire {
            stream: stream.expect("the engine takes connections"),
        }
    }

    /// Sends bytes; `Err` if the other side has closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until `end` has come, or the other side closes; answers what was read.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let mut chunk = [0; 4096];
        while !String::from_utf8_lossy(&read).contains(end) {
            match soon("the engine answers", self.stream.read(&mut chunk)).await {
                Ok(0) | Err(_) => break,
                Ok(length) => read.extend_from_slice(&chunk[..length]),
            }
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads the status of the next answer; `None` if the other side closes without one.
    pub(crate) async fn status(&mut self) -> Option<u16> {
        let head = self.read_until("\r\n\r\n").await;
        head.split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
    }

    /// Reads until the other side closes; answers what was read.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut read = Vec::new();
        // A connection that is broken off has ended too.
        soon("the engine closes", self.stream.read_to_end(&mut read))
            .await
            .ok();
        String::from_utf8_lossy(&read).into_owned()
    }
}
