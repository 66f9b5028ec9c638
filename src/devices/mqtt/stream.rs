//! A device's socket, with TLS or without, and what happens on it in both directions at once.
//!
//! Keeps no buffer of its own: an idle device costs no more than its socket does.

use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

/// Bytes that are read at a time.
const READ_BYTES: usize = 8 * 1024;
/// How long the last words may take.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);
/// Bytes that are still read, and not looked at, so that the last words arrive.
const UNSEEN_BYTES_MAX: usize = 1024 * 1024;

/// See the module.
pub(super) enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What happened on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something was read.
    Read,
    /// Something was written.
    Wrote,
    /// The other side will send no more.
    Closed,
}

impl Stream {
    /// Writes what is in `outbox`, and reads into `inbox` if there is one, until one of them has moved. May be dropped and
    /// called again.
    pub(super) async fn step(
        &mut self,
        outbox: &mut BytesMut,
        mut inbox: Option<&mut BytesMut>,
    ) -> io::Result<Step> {
        poll_fn(|cx| {
            let wrote = self.poll_out(cx, outbox)?;
            if let Some(inbox) = &mut inbox
                && let Poll::Ready(read) = self.poll_in(cx, inbox)?
            {
                let step = if read == 0 { Step::Closed } else { Step::Read };
                return Poll::Ready(Ok(step));
            }
            if wrote {
                return Poll::Ready(Ok(Step::Wrote));
            }
            Poll::Pending
        })
        .await
    }

    /// Says the last words and closes. The other side gets them even if it is in the middle of sending something.
    pub(super) async fn close(mut self, mut outbox: BytesMut) {
        let words = async {
            self.write_all_buf(&mut outbox).await?;
            self.flush().await?;
            self.shutdown().await?;
            let mut unseen = BytesMut::new();
            let mut count = 0;
            while count < UNSEEN_BYTES_MAX {
                let read = poll_fn(|cx| self.poll_in(cx, &mut unseen)).await?;
                if read == 0 {
                    break;
                }
                count += read;
                unseen.clear();
            }
            io::Result::Ok(())
        };
        // A device that does not listen has lost nothing that it would have heard.
        drop(timeout(LAST_WORDS_WITHIN, words).await);
    }

    fn poll_in(&mut self, cx: &mut Context<'_>, inbox: &mut BytesMut) -> Poll<io::Result<usize>> {
        // On the stack, and so only while something is read.
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut space);
        match Pin::new(self).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => {
                inbox.extend_from_slice(read.filled());
                Poll::Ready(Ok(read.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes as much as goes at once, and says whether anything did.
    fn poll_out(&mut self, cx: &mut Context<'_>, outbox: &mut BytesMut) -> io::Result<bool> {
        let mut wrote = false;
        while !outbox.is_empty() {
            match Pin::new(&mut *self).poll_write(cx, outbox) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    outbox.advance(count);
                    wrote = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(wrote),
            }
        }
        // What TLS still holds back goes out as soon as it can.
        if let Poll::Ready(flushed) = Pin::new(self).poll_flush(cx) {
            flushed?;
        }
        Ok(wrote)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
