//! Reads the body of a request: whole, as it came, up to a limit and within a deadline.
//!
//! Nothing is unpacked and nothing is parsed. How large a body may be depends on the route, which says so with
//! [`BatchBody`] or [`BodyLimit`] among its data.

use std::{future::Future, pin::Pin, time::Duration};

use actix_web::{
    FromRequest, HttpRequest, dev::Payload, error::PayloadError, http::header::CONTENT_LENGTH,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::problem::{Code, Problem};

/// What is read at once, at most, before more memory is asked for than has come.
const RESERVE_MAX: usize = 256 * 1024;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct RawBody(pub(crate) Bytes);

/// How large the bodies of a route may be, in bytes. Without it the default of the configuration holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// Marks a route whose bodies may be batches of events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchBody;

/// What holds for every body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyRules {
    /// The limit where a route names none.
    pub(crate) limit: BodyLimit,
    /// The limit of batches of events.
    pub(crate) batch_limit: BodyLimit,
    /// How long a client may take to send it.
    pub(crate) within: Duration,
}

impl FromRequest for RawBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<RawBody, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let rules = request.app_data::<BodyRules>().copied();
        let limit = request.app_data::<BodyLimit>().copied();
        let is_batch = request.app_data::<BatchBody>().is_some();
        let announced = announced_length(request);
        let payload = payload.take();
        Box::pin(async move {
            let rules = rules.ok_or_else(|| Problem::internal(&"the server has no body rules"))?;
            let by_default = if is_batch {
                rules.batch_limit
            } else {
                rules.limit
            };
            let BodyLimit(bytes_max) = limit.unwrap_or(by_default);
            let announced = announced?.unwrap_or(0);
            if announced > bytes_max {
                return Err(too_large(bytes_max));
            }
            match timeout(rules.within, read(payload, announced, bytes_max)).await {
                Ok(body) => body.map(RawBody),
                Err(_elapsed) => {
                    let detail = format!("the body was not there within {:?}", rules.within);
                    Err(Problem::new(Code::RequestTimeout, detail))
                }
            }
        })
    }
}

fn announced_length(request: &HttpRequest) -> Result<Option<usize>, Problem> {
    let Some(header) = request.headers().get(CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = header.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || {
        Problem::new(
            Code::BadRequest,
            "Content-Length: expected a number of bytes",
        )
    };
    length.map(Some).ok_or_else(wrong)
}

/// Most bodies come in one piece, which is then handed on as it is.
async fn read(mut payload: Payload, announced: usize, bytes_max: usize) -> Result<Bytes, Problem> {
    let Some(first) = payload.next().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(|error| unreadable(&error))?;
    if first.len() > bytes_max {
        return Err(too_large(bytes_max));
    }
    if first.len() == announced {
        return Ok(first);
    }
    let mut body = BytesMut::with_capacity(announced.min(RESERVE_MAX).max(first.len()));
    body.extend_from_slice(&first);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| unreadable(&error))?;
        if body.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("the body is too large: expected at most {bytes_max} bytes");
    Problem::new(Code::PayloadTooLarge, detail)
}

fn unreadable(error: &PayloadError) -> Problem {
    Problem::new(Code::BadRequest, format!("the body broke off: {error}"))
}

#[cfg(test)]
mod tests {
    use actix_web::{error::Error, test::TestRequest, web};
    use futures_util::stream::{self, Stream};

    use super::*;

    const RULES: BodyRules = BodyRules {
        limit: BodyLimit(10),
        batch_limit: BodyLimit(12),
        within: Duration::from_secs(30),
    };

    async fn body_of(request: TestRequest) -> Result<Bytes, Problem> {
        let (request, mut payload) = request.app_data(RULES).to_http_parts();
        RawBody::from_request(&request, &mut payload)
            .await
            .map(|body| body.0)
    }

    fn streamed(pieces: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> Payload {
        Payload::Stream {
            payload: Box::pin(pieces),
        }
    }

    fn in_pieces(pieces: &'static [&'static [u8]]) -> Payload {
        streamed(stream::iter(
            pieces.iter().map(|piece| Ok(Bytes::from_static(piece))),
        ))
    }

    async fn read_pieces(mut payload: Payload) -> Result<Bytes, Problem> {
        let request = TestRequest::post().app_data(RULES).to_http_request();
        RawBody::from_request(&request, &mut payload)
            .await
            .map(|body| body.0)
    }

    #[actix_web::test]
    async fn a_body_up_to_the_limit_is_read_as_it_is() {
        let body = body_of(TestRequest::post().set_payload("0123456789")).await;
        assert_eq!(body.unwrap(), "0123456789");
        assert_eq!(body_of(TestRequest::post()).await.unwrap(), "");
        assert_eq!(
            read_pieces(in_pieces(&[b"01234", b"56789"])).await.unwrap(),
            "0123456789"
        );
    }

    #[actix_web::test]
    async fn a_body_above_the_limit_is_refused_while_it_is_read() {
        let body = body_of(TestRequest::post().set_payload("0123456789x")).await;
        assert_eq!(body.unwrap_err().code(), Code::PayloadTooLarge);
        let body = read_pieces(in_pieces(&[b"01234", b"567890"])).await;
        assert_eq!(body.unwrap_err().code(), Code::PayloadTooLarge);
    }

    #[actix_web::test]
    async fn a_length_above_the_limit_is_refused_unread() {
        let request = TestRequest::post().insert_header((CONTENT_LENGTH, "11"));
        assert_eq!(
            body_of(request).await.unwrap_err().code(),
            Code::PayloadTooLarge
        );
        let request = TestRequest::post().insert_header((CONTENT_LENGTH, "-1"));
        assert_eq!(body_of(request).await.unwrap_err().code(), Code::BadRequest);
    }

    #[actix_web::test]
    async fn a_route_may_have_a_limit_of_its_own() {
        let request = TestRequest::post()
            .app_data(BodyLimit(11))
            .set_payload("0123456789x");
        assert_eq!(body_of(request).await.unwrap().len(), 11);
    }

    #[actix_web::test]
    async fn a_batch_may_be_larger_than_other_bodies() {
        let batch = |body| TestRequest::post().app_data(BatchBody).set_payload(body);
        assert_eq!(body_of(batch("0123456789xy")).await.unwrap().len(), 12);
        let body = body_of(batch("0123456789xyz")).await;
        assert_eq!(body.unwrap_err().code(), Code::PayloadTooLarge);
    }

    #[actix_web::test]
    async fn a_body_that_drips_ends_at_the_deadline() {
        tokio::time::pause();
        assert_eq!(
            read_pieces(streamed(stream::pending()))
                .await
                .unwrap_err()
                .code(),
            Code::RequestTimeout
        );
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_the_callers_error() {
        let broken = stream::once(async { Err(PayloadError::Incomplete(None)) });
        assert_eq!(
            read_pieces(streamed(broken)).await.unwrap_err().code(),
            Code::BadRequest
        );
    }

    #[test]
    fn a_body_can_be_extracted_by_handlers() {
        async fn handler(body: RawBody) -> Result<String, Error> {
            Ok(body.0.len().to_string())
        }
        drop(web::post().to(handler));
    }
}
