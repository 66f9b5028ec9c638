//! How a request and its answer are written down for another node.
//!
//! ```text
//! version: 1 byte | what it is: 1 | fields, each text with its length before it | the body, as it is, to the end
//! ```
//!
//! Numbers are big endian. Nodes of different versions may be on one bus: a form that is not known is told from one that is
//! broken. Pure.

use std::net::IpAddr;

use actix_web::http::{
    Method, StatusCode, Uri,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The one version that is spoken.
const VERSION: u8 = 1;

const REQUEST: u8 = 1;
const ANSWERED: u8 = 2;
const NOT_HERE: u8 = 3;
const BROKEN: u8 = 4;
const UNKNOWN_VERSION: u8 = 5;

/// A request that was made to another node.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrittenRequest {
    pub(super) method: Method,
    /// Path and query, as they came.
    pub(super) uri: Uri,
    /// Where the request comes from.
    pub(super) client_ip: IpAddr,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

/// What the owner's node says to a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum WrittenAnswer {
    /// The answer for the client.
    Answered(Answered),
    /// The tenant does not live here. Nothing was done.
    NotHere,
    /// It broke midway. What was done is unknown.
    Broken,
    /// The request is of a version that is not spoken here. Nothing was done.
    UnknownVersion,
}

/// An answer for the client.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

/// Headers in their order; a name may come several times.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// They are of another version.
    #[error("the other node speaks another version")]
    OtherVersion,
    /// They break the rules.
    #[error("the other node sent what cannot be read")]
    Malformed,
}

impl WrittenRequest {
    /// Writes it down.
    pub(super) fn write(&self) -> Bytes {
        let mut out = begin(REQUEST, self.body.len() + size(&self.headers));
        put(&mut out, self.method.as_str().as_bytes());
        put(&mut out, self.uri.to_string().as_bytes());
        put(&mut out, self.client_ip.to_string().as_bytes());
        put_headers(&mut out, &self.headers);
        out.put_slice(&self.body);
        out.freeze()
    }

    /// Reads what another node wrote.
    pub(super) fn read(bytes: Bytes) -> Result<WrittenRequest, Unreadable> {
        let (kind, mut bytes) = begun(bytes)?;
        if kind != REQUEST {
            return Err(Unreadable::Malformed);
        }
        let malformed = Unreadable::Malformed;
        Ok(WrittenRequest {
            method: Method::from_bytes(&take(&mut bytes)?).map_err(|_other| malformed)?,
            uri: Uri::from_maybe_shared(take(&mut bytes)?).map_err(|_other| malformed)?,
            client_ip: text(&take(&mut bytes)?)?
                .parse()
                .map_err(|_other| malformed)?,
            headers: take_headers(&mut bytes)?,
            body: bytes,
        })
    }
}

impl WrittenAnswer {
    /// Writes it down.
    pub(super) fn write(&self) -> Bytes {
        match self {
            WrittenAnswer::Answered(answered) => {
                let room = answered.body.len() + size(&answered.headers);
                let mut out = begin(ANSWERED, room);
                out.put_u16(answered.status.as_u16());
                put_headers(&mut out, &answered.headers);
                out.put_slice(&answered.body);
                out.freeze()
            }
            WrittenAnswer::NotHere => begin(NOT_HERE, 0).freeze(),
            WrittenAnswer::Broken => begin(BROKEN, 0).freeze(),
            WrittenAnswer::UnknownVersion => begin(UNKNOWN_VERSION, 0).freeze(),
        }
    }

    /// Reads what another node wrote.
    pub(super) fn read(bytes: Bytes) -> Result<WrittenAnswer, Unreadable> {
        let (kind, mut bytes) = begun(bytes)?;
        Ok(match kind {
            ANSWERED => {
                let status = bytes
                    .try_get_u16()
                    .map_err(|_short| Unreadable::Malformed)?;
                let status = StatusCode::from_u16(status).map_err(|_none| Unreadable::Malformed)?;
                WrittenAnswer::Answered(Answered {
                    status,
                    headers: take_headers(&mut bytes)?,
                    body: bytes,
                })
            }
            NOT_HERE => WrittenAnswer::NotHere,
            BROKEN => WrittenAnswer::Broken,
            UNKNOWN_VERSION => WrittenAnswer::UnknownVersion,
            _ => return Err(Unreadable::Malformed),
        })
    }
}

/// The headers of a message that mean something beyond this one connection.
pub(super) fn end_to_end(headers: &HeaderMap) -> Headers {
    let named: Vec<HeaderName> = headers
        .get_all(HeaderName::from_static("connection"))
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_kept = |name: &HeaderName| {
        let is_hop = HOP_BY_HOP.contains(&name.as_str());
        !is_hop && !named.contains(name)
    };
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Headers that belong to one connection, or that are made anew for each message.
const HOP_BY_HOP: [&str; 12] = [
    "connection",
    "content-length",
    "date",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn begin(kind: u8, room: usize) -> BytesMut {
    const TEXTS: usize = 256;
    let mut out = BytesMut::with_capacity(TEXTS + room);
    out.put_u8(VERSION);
    out.put_u8(kind);
    out
}

fn begun(mut bytes: Bytes) -> Result<(u8, Bytes), Unreadable> {
    match bytes.try_get_u8() {
        Ok(VERSION) => {}
        Ok(_) => return Err(Unreadable::OtherVersion),
        Err(_empty) => return Err(Unreadable::Malformed),
    }
    let kind = bytes.try_get_u8().map_err(|_short| Unreadable::Malformed)?;
    Ok((kind, bytes))
}

fn size(headers: &Headers) -> usize {
    const LENGTHS: usize = 8;
    let bytes = |(name, value): &(HeaderName, HeaderValue)| name.as_str().len() + value.len();
    headers.iter().map(|header| bytes(header) + LENGTHS).sum()
}

fn put(out: &mut BytesMut, text: &[u8]) {
    // What is longer was refused when it came: a header has kilobytes at most.
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text);
}

fn take(bytes: &mut Bytes) -> Result<Bytes, Unreadable> {
    let length = bytes
        .try_get_u32()
        .map_err(|_short| Unreadable::Malformed)? as usize;
    if bytes.len() < length {
        return Err(Unreadable::Malformed);
    }
    Ok(bytes.split_to(length))
}

fn put_headers(out: &mut BytesMut, headers: &Headers) {
    out.put_u16(u16::try_from(headers.len()).unwrap_or(u16::MAX));
    for (name, value) in headers.iter().take(usize::from(u16::MAX)) {
        put(out, name.as_str().as_bytes());
        put(out, value.as_bytes());
    }
}

fn take_headers(bytes: &mut Bytes) -> Result<Headers, Unreadable> {
    let number = bytes
        .try_get_u16()
        .map_err(|_short| Unreadable::Malformed)?;
    let mut headers = Vec::new();
    for _ in 0..number {
        let name = HeaderName::from_bytes(&take(bytes)?);
        let value = HeaderValue::from_maybe_shared(take(bytes)?);
        headers.push((
            name.map_err(|_other| Unreadable::Malformed)?,
            value.map_err(|_other| Unreadable::Malformed)?,
        ));
    }
    Ok(headers)
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_other| Unreadable::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn any_headers() -> impl Strategy<Value = Headers> {
        let header = ("[a-z][a-z0-9-]{0,20}", vec(0x20_u8..0x7f, 0..40));
        vec(header, 0..10).prop_map(|headers| {
            headers
                .into_iter()
                .map(|(name, value)| {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    (name, HeaderValue::from_bytes(&value).unwrap())
                })
                .collect()
        })
    }

    fn any_request() -> impl Strategy<Value = WrittenRequest> {
        let method = prop_oneof![
            Just(Method::GET),
            Just(Method::POST),
            Just(Method::PATCH),
            Just(Method::DELETE)
        ];
        let uri = "/[a-z0-9/]{0,30}(\\?[a-z]{1,5}=[a-z0-9%.]{0,10})?";
        let body = vec(any::<u8>(), 0..2_000);
        (method, uri, any::<IpAddr>(), any_headers(), body).prop_map(
            |(method, uri, client_ip, headers, body)| WrittenRequest {
                method,
                uri: uri.parse().unwrap(),
                client_ip,
                headers,
                body: body.into(),
            },
        )
    }

    fn any_answer() -> impl Strategy<Value = WrittenAnswer> {
        let answered = (200_u16..600, any_headers(), vec(any::<u8>(), 0..2_000)).prop_map(
            |(status, headers, body)| {
                WrittenAnswer::Answered(Answered {
                    status: StatusCode::from_u16(status).unwrap(),
                    headers,
                    body: body.into(),
                })
            },
        );
        prop_oneof![
            answered,
            Just(WrittenAnswer::NotHere),
            Just(WrittenAnswer::Broken),
            Just(WrittenAnswer::UnknownVersion)
        ]
    }

    proptest! {
        #[test]
        fn a_request_is_read_as_it_was_written(request in any_request()) {
            prop_assert_eq!(WrittenRequest::read(request.write()), Ok(request));
        }

        #[test]
        fn an_answer_is_read_as_it_was_written(answer in any_answer()) {
            prop_assert_eq!(WrittenAnswer::read(answer.write()), Ok(answer));
        }

        #[test]
        fn a_head_that_is_cut_off_is_no_request(request in any_request(), cut in 0_usize..100) {
            let whole = request.write();
            let head = whole.len() - request.body.len();
            let short = whole.slice(..cut.min(head.saturating_sub(1)));
            prop_assert_eq!(WrittenRequest::read(short), Err(Unreadable::Malformed));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            drop(WrittenRequest::read(bytes.clone()));
            drop(WrittenAnswer::read(bytes));
        }
    }

    #[test]
    fn another_version_is_told_from_nonsense() {
        let future = Bytes::from_static(b"\x02\x01what comes then");
        assert_eq!(
            WrittenRequest::read(future.clone()),
            Err(Unreadable::OtherVersion)
        );
        assert_eq!(WrittenAnswer::read(future), Err(Unreadable::OtherVersion));
        let unknown = Bytes::from_static(b"\x01\x63");
        assert_eq!(WrittenAnswer::read(unknown), Err(Unreadable::Malformed));
    }

    #[test]
    fn headers_of_the_connection_stay_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("authorization", "Bearer ak_x"),
            ("x-twice", "a"),
            ("x-twice", "b"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut kept: Vec<(String, Vec<u8>)> = end_to_end(&headers)
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        kept.sort();
        let expected = [
            ("authorization", "Bearer ak_x"),
            ("x-twice", "a"),
            ("x-twice", "b"),
        ];
        assert_eq!(
            kept,
            expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        );
    }
}
