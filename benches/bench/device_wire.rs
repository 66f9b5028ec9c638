//! Minimal clients of devices' protocols: ready-made bytes out, what matters of the answers in.
//!
//! They understand what the engine sends and no more, and mask with zeros, so that twenty thousand of them fit beside it.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wire::read_head;

const OPENING_LENGTH_MAX: usize = 16 * 1024;
/// A final text frame.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// Lengths that say that the length follows, in two or in eight bytes.
const LENGTH_IN_TWO: usize = 126;
const LENGTH_IN_EIGHT: u8 = 127;

/// A gateway's connection, welcomed.
#[derive(Debug)]
pub(crate) struct GatewayWire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl GatewayWire {
    /// Connects a device and waits for its welcome.
    pub(crate) async fn open(to: SocketAddr, key: &str, device: &str) -> Result<GatewayWire> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let upgrade = format!(
            "GET /v1/devices/{device}/session HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: YmVuY2htYXJrLWRldmljZQ==\r\n\
             sec-websocket-protocol: trunkline.v1\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await?;
        let mut buffer = Vec::new();
        let head = loop {
            if let Some(head) = read_head(&buffer) {
                break head;
            }
            if buffer.len() > OPENING_LENGTH_MAX || stream.read_buf(&mut buffer).await? == 0 {
                return Err(broken("the upgrade was not answered", &buffer));
            }
        };
        if !buffer.starts_with(b"HTTP/1.1 101") {
            return Err(broken("the upgrade was refused", &buffer));
        }
        buffer.drain(..head.length);
        let mut wire = GatewayWire { stream, buffer };
        wire.send(br#"{"kind":"hello","gateway":"bench/1"}"#)
            .await?;
        let welcome = wire.receive().await?;
        if !welcome.starts_with(br#"{"kind":"welcome""#) {
            return Err(broken("the gateway was not welcomed", &welcome));
        }
        wire.send(br#"{"kind":"state","state":"connected"}"#)
            .await?;
        Ok(wire)
    }

    /// Sends one frame.
    pub(crate) async fn send(&mut self, frame: &[u8]) -> Result<()> {
        let mut bytes = Vec::with_capacity(frame.len() + 8);
        bytes.push(TEXT);
        match u8::try_from(frame.len()) {
            Ok(length) if usize::from(length) < LENGTH_IN_TWO => bytes.push(MASKED | length),
            Ok(_) | Err(_) => {
                let length = u16::try_from(frame.len())
                    .map_err(|_long| broken("the frame is too long", &[]))?;
                bytes.push(MASKED | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(frame);
        self.stream.write_all(&bytes).await
    }

    /// The next text frame. Control frames are passed over.
    pub(crate) async fn receive(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some((opcode, start, end)) = frame_in(&self.buffer)? {
                let payload = self.buffer[start..end].to_vec();
                self.buffer.drain(..end);
                match opcode {
                    0x1 => return Ok(payload),
                    0x8 => return Err(broken("the engine closed the session", &payload)),
                    _ => continue,
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The first whole frame: its opcode, and where its payload begins and ends.
fn frame_in(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (start, length) = match *second {
        LENGTH_IN_EIGHT => {
            return Err(broken("a frame is longer than any that was asked for", &[]));
        }
        126 => match rest {
            [high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    let end = start + length;
    Ok((bytes.len() >= end).then_some((first & 0x0f, start, end)))
}

/// Connects a device by MQTT 3.1.1 and waits until it is accepted.
pub(crate) async fn open_mqtt(to: SocketAddr, key: &str, device: &str) -> Result<TcpStream> {
    const PROTOCOL: &[u8] = b"\x00\x04MQTT\x04";
    /// A clean session, with a user name and a password.
    const FLAGS: u8 = 0b1100_0010;
    const NO_KEEP_ALIVE: [u8; 2] = [0, 0];
    let mut body = PROTOCOL.to_vec();
    body.push(FLAGS);
    body.extend_from_slice(&NO_KEEP_ALIVE);
    for text in [device, "bench", key] {
        let length =
            u16::try_from(text.len()).map_err(|_long| broken("a text is too long", &[]))?;
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let mut packet = vec![0x10];
    let mut rest = body.len();
    while rest >= 128 {
        packet.push(0x80 | u8::try_from(rest % 128).unwrap_or(0));
        rest /= 128;
    }
    packet.push(u8::try_from(rest).unwrap_or(0));
    packet.extend_from_slice(&body);
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&packet).await?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await?;
    if answer == [0x20, 2, 0, 0] {
        Ok(stream)
    } else {
        Err(broken("the device was not accepted", &answer))
    }
}

fn broken(what: &str, seen: &[u8]) -> Error {
    let seen = String::from_utf8_lossy(seen);
    Error::new(ErrorKind::InvalidData, format!("{what}: {seen:?}"))
}

#[cfg(test)]
mod tests {
    use super::frame_in;

    #[test]
    fn a_frame_is_read_when_it_is_whole() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x8a, 0];
        assert_eq!(frame_in(&bytes).unwrap(), Some((1, 2, 5)));
        assert_eq!(frame_in(&bytes[5..]).unwrap(), Some((10, 2, 2)));
        assert_eq!(frame_in(&bytes[..4]).unwrap(), None);
        bytes = vec![0x81, 126, 0, 200];
        assert_eq!(frame_in(&bytes).unwrap(), None);
        bytes.extend_from_slice(&[7; 200]);
        assert_eq!(frame_in(&bytes).unwrap(), Some((1, 4, 204)));
    }
}
