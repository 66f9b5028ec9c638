//! A minimal HTTP/1.1 client on one kept connection: ready-made bytes out, status and body in.
//!
//! It understands answers with a `Content-Length` only and keeps one request in flight, so that the client costs little of
//! the machine that it shares with what it measures.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
    ops::Range,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The largest answer that is read.
const ANSWER_LENGTH_MAX: usize = 8 * 1024 * 1024;

/// One kept connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    body: Range<usize>,
}

/// What the head of a message says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes up to and with the empty line.
    pub(crate) length: usize,
    /// `Content-Length`, if there is one.
    pub(crate) body_length: Option<usize>,
}

impl Wire {
    /// Connects.
    pub(crate) async fn open(to: SocketAddr) -> Result<Wire> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream,
            buffer: Vec::with_capacity(4_096),
            body: 0..0,
        })
    }

    /// Sends one request and reads its whole answer; answers the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(head) = read_head(&self.buffer) {
                break head;
            }
        };
        let status = read_status(&self.buffer)?;
        let body_length = head
            .body_length
            .ok_or_else(|| broken("the answer has no Content-Length"))?;
        let end = head.length + body_length;
        while self.buffer.len() < end {
            self.read_more().await?;
        }
        self.body = head.length..end;
        Ok(status)
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Sends one request and reads the head of an endless answer; hands over the connection and what came after the head.
    pub(crate) async fn into_stream(mut self, request: &[u8]) -> Result<(TcpStream, Vec<u8>)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(head) = read_head(&self.buffer) {
                break head;
            }
        };
        match read_status(&self.buffer)? {
            200 => Ok((self.stream, self.buffer.split_off(head.length))),
            status => Err(broken(&format!("the stream was answered {status}"))),
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        if self.buffer.len() > ANSWER_LENGTH_MAX {
            return Err(broken("the answer is too long"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Reads the head of a request or answer, if it is complete.
pub(crate) fn read_head(bytes: &[u8]) -> Option<Head> {
    const NAME: &[u8] = b"content-length:";
    let mut body_length = None;
    let mut line_start = 0;
    loop {
        let line_length = bytes[line_start..].iter().position(|byte| *byte == b'\n')?;
        let line = bytes[line_start..line_start + line_length].trim_ascii();
        line_start += line_length + 1;
        if line.is_empty() {
            return Some(Head {
                length: line_start,
                body_length,
            });
        }
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            let digits = std::str::from_utf8(line[NAME.len()..].trim_ascii()).ok()?;
            body_length = digits.parse().ok();
        }
    }
}

fn read_status(bytes: &[u8]) -> Result<u16> {
    bytes
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .ok_or_else(|| broken("the answer has no status"))
}

fn broken(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// The bytes of a POST with a JSON body.
pub(crate) fn post(path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The bytes of a GET.
pub(crate) fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nx: y\r\n\r\nbody";
        let head = Head {
            length: whole.len() - 4,
            body_length: Some(12),
        };
        assert_eq!(read_head(whole), Some(head));
        assert_eq!(read_head(&whole[..40]), None);
    }

    #[test]
    fn a_head_may_name_no_length() {
        let head = Head {
            length: 19,
            body_length: None,
        };
        assert_eq!(read_head(b"HTTP/1.1 200 OK\r\n\r\n"), Some(head));
    }
}
