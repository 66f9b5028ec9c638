//! What stands before the bytes of every request and answer on the bus, so that long ones can go in pieces.
//!
//! ```text
//! version: 1 byte | kind: 1 | within, in ms: 4 | offset: 4 | length of the whole: 4 | bytes of the piece
//! ```
//!
//! Numbers are big endian. Pure: sends nothing and puts nothing together.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The one version that is spoken.
const VERSION: u8 = 1;
/// Bytes before those of the piece.
pub(super) const HEAD_BYTES: usize = 14;
/// Bytes of one piece, at most: less than any server takes by default, so that short messages need not wait for long ones.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a whole message, at most.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something is asked.
    Request,
    /// The answer.
    Answer,
    /// Nothing was done, because too much is being done already.
    Busy,
    /// Nothing was done, because the request is not understood here.
    Refused,
    /// It was done, but the answer is too large to be told.
    Unspeakable,
    /// Nothing was done, because the node is about to end.
    Leaving,
}

/// One piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// How long whoever asks waits.
    pub(super) within: Duration,
    /// Where the piece begins within the whole.
    pub(super) offset: usize,
    /// Bytes of the whole.
    pub(super) total: usize,
    pub(super) body: Bytes,
}

/// Why bytes are no piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// They are of a version that is not spoken here.
    OtherVersion,
    /// They break the rules.
    Malformed,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::Request,
        Kind::Answer,
        Kind::Busy,
        Kind::Refused,
        Kind::Unspeakable,
        Kind::Leaving,
    ];

    fn code(self) -> u8 {
        match self {
            Kind::Request => 1,
            Kind::Answer => 2,
            Kind::Busy => 3,
            Kind::Refused => 4,
            Kind::Unspeakable => 5,
            Kind::Leaving => 6,
        }
    }
}

impl Piece {
    /// Reads what came.
    pub(super) fn parse(mut bytes: Bytes) -> Result<Piece, Unreadable> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(_) => return Err(Unreadable::OtherVersion),
            None => return Err(Unreadable::Malformed),
        }
        if bytes.len() < HEAD_BYTES {
            return Err(Unreadable::Malformed);
        }
        let head = bytes.split_to(HEAD_BYTES);
        let kind = Kind::ALL.into_iter().find(|kind| kind.code() == head[1]);
        let number = |at: usize| {
            let digits = head[at..at + 4].try_into().unwrap_or_default();
            u32::from_be_bytes(digits)
        };
        let (offset, total) = (number(6) as usize, number(10) as usize);
        if offset + bytes.len() > total || (bytes.is_empty() && total > 0) {
            return Err(Unreadable::Malformed);
        }
        Ok(Piece {
            kind: kind.ok_or(Unreadable::Malformed)?,
            within: Duration::from_millis(number(2).into()),
            offset,
            total,
            body: bytes,
        })
    }

    /// Whether it is a whole message.
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.body.len() == self.total
    }
}

/// A message without a body.
pub(super) fn bare(kind: Kind) -> Bytes {
    framed(kind, Duration::ZERO, 0, 0, &[])
}

/// The pieces of a message, for a server that takes `payload_bytes_max` at once. None if it is too large.
pub(super) fn pieces(
    kind: Kind,
    within: Duration,
    body: Bytes,
    payload_bytes_max: usize,
) -> Option<impl Iterator<Item = Bytes>> {
    let total = body.len();
    let size = payload_bytes_max.saturating_sub(HEAD_BYTES);
    let size = size.min(PIECE_BYTES_MAX);
    if total > MESSAGE_BYTES_MAX || size == 0 {
        return None;
    }
    let offsets = (0..total.max(1)).step_by(size);
    Some(offsets.map(move |offset| {
        let end = total.min(offset + size);
        framed(kind, within, offset, total, &body[offset..end])
    }))
}

fn framed(kind: Kind, within: Duration, offset: usize, total: usize, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD_BYTES + body.len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind.code());
    bytes.put_u32(u32::try_from(within.as_millis()).unwrap_or(u32::MAX));
    // Both are at most MESSAGE_BYTES_MAX.
    bytes.put_u32(u32::try_from(offset).unwrap_or(u32::MAX));
    bytes.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
    bytes.put_slice(body);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_millis(1_500);

    fn cut(length: usize, payload_bytes_max: usize) -> Vec<Bytes> {
        let body = Bytes::from(vec![7; length]);
        pieces(Kind::Request, WITHIN, body, payload_bytes_max)
            .unwrap()
            .collect()
    }

    #[test]
    fn pieces_fit_the_server_and_make_up_the_whole() {
        for length in [0, 1, 85, 86, 87, 1_000] {
            let mut read = 0;
            for bytes in cut(length, 100) {
                assert!(bytes.len() <= 100);
                let piece = Piece::parse(bytes).unwrap();
                assert_eq!((piece.kind, piece.within), (Kind::Request, WITHIN));
                assert_eq!((piece.offset, piece.total), (read, length));
                read += piece.body.len();
            }
            assert_eq!(read, length);
        }
        assert_eq!(cut(86, 100).len(), 1);
        assert_eq!(cut(87, 100).len(), 2);
    }

    #[test]
    fn nothing_larger_than_the_bound_is_cut() {
        let body = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        assert!(pieces(Kind::Answer, WITHIN, body, 1 << 20).is_none());
        assert!(pieces(Kind::Answer, WITHIN, Bytes::new(), HEAD_BYTES).is_none());
    }

    #[test]
    fn a_message_without_a_body_keeps_its_kind() {
        for kind in Kind::ALL {
            let piece = Piece::parse(bare(kind)).unwrap();
            assert_eq!(piece.kind, kind);
            assert!(piece.is_whole());
        }
    }

    #[test]
    fn other_versions_are_told_from_nonsense() {
        let mut bytes = bare(Kind::Answer).to_vec();
        bytes[0] = 2;
        assert_eq!(Piece::parse(bytes.into()), Err(Unreadable::OtherVersion));
        let mut bytes = bare(Kind::Answer).to_vec();
        bytes[1] = 99;
        assert_eq!(Piece::parse(bytes.into()), Err(Unreadable::Malformed));
        for bytes in [
            &b""[..],
            b"\x01\x01",
            b"\x01\x01\0\0\0\0\0\0\0\x09\0\0\0\x09z",
        ] {
            assert_eq!(
                Piece::parse(Bytes::copy_from_slice(bytes)),
                Err(Unreadable::Malformed)
            );
        }
    }
}
