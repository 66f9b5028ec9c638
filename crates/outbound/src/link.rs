//! One connection to a target, and one exchange on it.
//!
//! The connection is driven by whoever has the exchange, in the same task: nothing has to be woken to pass a request on or
//! an answer back. An idle one is driven by nobody, so it is asked whether it still stands before it serves again.

use std::{
    error::Error as _,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Connection, SendRequest, handshake},
};
use hyper_util::rt::TokioIo;

use crate::{post_error::PostError, stream::Stream};

/// How much of an answer's body is read. What is longer ends with its connection.
const BODY_READ_MAX: usize = 64 * 1024;
/// How much of an answer's body is kept.
const BODY_KEPT_MAX: usize = 1024;

type Driver = Pin<Box<Connection<TokioIo<Stream>, Full<Bytes>>>>;

/// See the module.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Driver,
    has_ended: bool,
}

/// What came back: the head, and the beginning of the body.
pub(crate) struct Reply {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    /// Whether the connection can serve again.
    pub(crate) is_reusable: bool,
}

impl Link {
    /// Speaks HTTP on a connection that stands.
    pub(crate) async fn new(stream: Stream) -> Result<Link, PostError> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| reset(&error))?;
        Ok(Link {
            sender,
            connection: Box::pin(connection),
            has_ended: false,
        })
    }

    /// Whether the connection can serve again, as far as can be seen from here.
    pub(crate) fn stands(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if self.has_ended || self.connection.as_mut().poll(&mut cx).is_ready() {
            self.has_ended = true;
            return false;
        }
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Sends a request and reads what comes back: its end, or as much as anybody would read.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, PostError> {
        let mut answering = pin!(self.sender.send_request(request));
        let (connection, has_ended) = (&mut self.connection, &mut self.has_ended);
        let answer = alongside(connection, has_ended, answering.as_mut()).await;
        let (head, mut incoming) = Response::into_parts(answer.map_err(|error| reset(&error))?);
        let (body, is_whole) = self.read_body(&mut incoming).await?;
        let is_reusable = is_whole && self.stands();
        Ok(Reply {
            head,
            body,
            is_reusable,
        })
    }

    /// Reads a body to its end, so that the connection can serve again, or to the limit, and keeps the beginning.
    async fn read_body(&mut self, incoming: &mut Incoming) -> Result<(Bytes, bool), PostError> {
        use hyper::body::Body as _;

        let (mut kept, mut read) = (BytesMut::new(), 0);
        while read < BODY_READ_MAX {
            if incoming.is_end_stream() {
                return Ok((kept.freeze(), true));
            }
            let (connection, has_ended) = (&mut self.connection, &mut self.has_ended);
            let Some(frame) = alongside(connection, has_ended, pin!(incoming.frame())).await else {
                return Ok((kept.freeze(), true));
            };
            if let Some(data) = frame.map_err(|error| reset(&error))?.data_ref() {
                let room = BODY_KEPT_MAX - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
                read += data.len();
            }
        }
        Ok((kept.freeze(), false))
    }
}

/// Waits for `work` and drives the connection meanwhile.
async fn alongside<F: Future>(
    connection: &mut Driver,
    has_ended: &mut bool,
    mut work: Pin<&mut F>,
) -> F::Output {
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // An error reaches the work as well, which knows what it means.
        if !*has_ended && connection.as_mut().poll(cx).is_ready() {
            *has_ended = true;
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// The exchange broke off. The outer texts say no more than that.
fn reset(error: &hyper::Error) -> PostError {
    let mut innermost = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        innermost = cause.to_string();
        next = cause.source();
    }
    PostError::Reset(innermost)
}
