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
    /// Dropped as soon as it has ended: a request that it never took hears of the end by that alone.
    connection: Option<Driver>,
}

/// What came back: the head, and the beginning of the body.
pub(crate) struct Reply {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    /// Whether the connection can serve again.
    pub(crate) is_reusable: bool,
}

/// Why nothing came back.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: PostError,
    /// The request, if not a byte of it was sent: then it may go another way.
    pub(crate) unsent: Option<Request<Full<Bytes>>>,
}

impl Broken {
    fn midway(error: &hyper::Error) -> Broken {
        Broken {
            error: reset(error),
            unsent: None,
        }
    }
}

impl Link {
    /// Speaks HTTP on a connection that stands.
    pub(crate) async fn new(stream: Stream) -> Result<Link, PostError> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| reset(&error))?;
        Ok(Link {
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    /// Whether the connection can serve again, as far as can be seen from here.
    pub(crate) fn stands(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let Some(connection) = &mut self.connection else {
            return false;
        };
        if connection.as_mut().poll(&mut cx).is_ready() {
            self.connection = None;
            return false;
        }
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Sends a request and reads what comes back: its end, or as much as anybody would read.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, Broken> {
        let answering = pin!(self.sender.try_send_request(request));
        let answer = alongside(&mut self.connection, answering).await;
        let answer = answer.map_err(|mut failed| {
            let unsent = failed.take_message();
            Broken {
                error: reset(failed.error()),
                unsent,
            }
        })?;
        let (head, mut incoming) = Response::into_parts(answer);
        let body = self.read_body(&mut incoming).await;
        let (body, is_whole) = body.map_err(|error| Broken::midway(&error))?;
        let is_reusable = is_whole && self.stands();
        Ok(Reply {
            head,
            body,
            is_reusable,
        })
    }

    /// Reads a body to its end, so that the connection can serve again, or to the limit, and keeps the beginning.
    async fn read_body(&mut self, incoming: &mut Incoming) -> hyper::Result<(Bytes, bool)> {
        use hyper::body::Body as _;

        let (mut kept, mut read) = (BytesMut::new(), 0);
        while read < BODY_READ_MAX {
            if incoming.is_end_stream() {
                return Ok((kept.freeze(), true));
            }
            let Some(frame) = alongside(&mut self.connection, pin!(incoming.frame())).await else {
                return Ok((kept.freeze(), true));
            };
            if let Some(data) = frame?.data_ref() {
                let room = BODY_KEPT_MAX - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
                read += data.len();
            }
        }
        Ok((kept.freeze(), false))
    }
}

/// Waits for `work` and drives the connection meanwhile.
async fn alongside<F: Future>(connection: &mut Option<Driver>, mut work: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // An error reaches the work as well, which knows what it means. An orderly end does not until the connection is gone.
        if let Some(driver) = connection
            && driver.as_mut().poll(cx).is_ready()
        {
            *connection = None;
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    fn request() -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from_static(b"{}")));
        *request.method_mut() = http::Method::POST;
        request
    }

    /// A connection that has served once, and its other end.
    async fn used() -> (Link, TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let mut link = Link::new(Stream::Plain(stream.unwrap())).await.unwrap();
        let (mut target, _) = accepted.unwrap();
        let answering = async {
            target.read_buf(&mut Vec::new()).await.unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
            target.write_all(answer).await.unwrap();
        };
        let (reply, ()) = tokio::join!(link.exchange(request()), answering);
        assert!(reply.unwrap().is_reusable);
        (link, target, listener)
    }

    /// Lets the runtime look at its sockets: nobody is accepted before it has.
    async fn look(listener: &TcpListener) {
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn a_request_on_a_connection_that_has_just_ended_comes_back_unsent() {
        let (mut link, target, listener) = used().await;
        drop(target);
        look(&listener).await;
        let Err(broken) = link.exchange(request()).await else {
            panic!("nobody is there to answer");
        };
        assert!(broken.unsent.is_some(), "{:?}", broken.error);
        assert!(!link.stands());
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_no_answer_to_the_next_request() {
        let (mut link, mut target, listener) = used().await;
        let smuggled = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        target.write_all(smuggled).await.unwrap();
        look(&listener).await;
        let Err(broken) = link.exchange(request()).await else {
            panic!("an answer that came before the request was taken for its answer");
        };
        assert!(broken.unsent.is_some(), "{:?}", broken.error);
    }
}
