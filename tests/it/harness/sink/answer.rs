//! How a receiver answers, well or badly.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::Behaviour;

/// Ten megabytes, as the issue wants them.
const HUGE_BYTES: usize = 10 * 1024 * 1024;
/// How often a dripping receiver sends a byte.
const DRIP_PACE: Duration = Duration::from_millis(50);

/// Answers one request. `Err` ends the connection.
pub(super) async fn answer(stream: &mut TcpStream, behaviour: Behaviour) -> io::Result<()> {
    match behaviour {
        Behaviour::Answer(status) => write(stream, status, "", "").await,
        Behaviour::AnswerWith(status, (name, value), body) => {
            write(stream, status, &format!("{name}: {value}\r\n"), &body).await
        }
        Behaviour::After(pause, status) => {
            sleep(pause).await;
            write(stream, status, "", "").await
        }
        Behaviour::Hang => {
            // The other side gives up some time; until then nothing is said.
            while stream.read(&mut [0; 64]).await? > 0 {}
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Behaviour::Drip => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                .await?;
            loop {
                sleep(DRIP_PACE).await;
                stream.write_all(b"x").await?;
            }
        }
        Behaviour::Huge => {
            // Whatever the kernel takes ahead of the reader costs this process time that a real receiver has of its own.
            SockRef::from(&*stream).set_send_buffer_size(32 * 1024)?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {HUGE_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let piece = vec![b'x'; 16 * 1024];
            for _ in 0..HUGE_BYTES / piece.len() {
                stream.write_all(&piece).await?;
            }
            Ok(())
        }
        Behaviour::Reset => {
            stream.set_zero_linger()?;
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
}

async fn write(stream: &mut TcpStream, status: u16, header: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status} Whatever\r\n{header}content-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}
