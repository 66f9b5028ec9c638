//! The ceiling of the tail: writes recorded bytes to every connection, as often as it is asked to.
//!
//! The bytes are what one live reader of the engine got in one round, frames and chunk framing alike.

use std::{net::Ipv4Addr, path::Path};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::wire::read_head;

/// Written at once, as the engine does.
const CHUNK: usize = 16 * 1024;

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
const GO_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

pub(super) fn play(recording: &Path) -> anyhow::Result<()> {
    let recording = Bytes::from(std::fs::read(recording).context("read the recording")?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start the bare tail's runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("bind the bare tail")?;
        super::announce(
            listener
                .local_addr()
                .context("find the bare tail's address")?,
        )?;
        let (rounds, _) = watch::channel(0_u64);
        loop {
            let (stream, _) = listener.accept().await.context("accept at the bare tail")?;
            let (recording, rounds) = (recording.clone(), rounds.clone());
            // A reader that goes away ends its connection with an error that concerns nobody.
            tokio::spawn(async move { serve(stream, &recording, &rounds).await.ok() });
        }
    })
}

async fn serve(
    mut stream: TcpStream,
    recording: &Bytes,
    rounds: &watch::Sender<u64>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    while read_head(&request).is_none() {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    if request.starts_with(b"GET /_go ") {
        rounds.send_modify(|round| *round += 1);
        return stream.write_all(GO_ANSWER).await;
    }
    let mut round = rounds.subscribe();
    stream.write_all(STREAM_HEAD).await?;
    while round.changed().await.is_ok() {
        for chunk in recording.chunks(CHUNK) {
            stream.write_all(chunk).await?;
        }
    }
    Ok(())
}
