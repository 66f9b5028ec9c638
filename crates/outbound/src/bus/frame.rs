//! What stands before the bytes of every request and answer on the bus, so that long ones can go in pieces.
//!
//! ```text
//! version: 1 byte | kind: 1 | within, in ms: 4 | moment, in µs: 8 | share: 8 | offset: 4 | length of the whole: 4 | bytes
//! ```
//!
//! Numbers are big endian. Pure: sends nothing and puts nothing together.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use domain::ids::TenantId;

use super::clock::Moment;

/// The one version that is spoken.
const VERSION: u8 = 2;
/// The version before, of which no more is known than how to refuse it.
const VERSION_BEFORE: u8 = 1;
/// What stands before the bytes of a piece there: version, kind, within, offset and length.
const HEAD_BYTES_BEFORE: usize = 14;
/// Bytes before those of the piece.
pub(super) const HEAD_BYTES: usize = 30;
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
    /// Nothing was done, because the request came too late.
    Late,
}

/// Whoever takes up room for messages that are not whole yet: a tenant, or a node that asks for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Share(u64);

/// One piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// How long whoever asks waits.
    pub(super) within: Duration,
    /// In a request, by when it has to be begun, by the clock of the node that is asked. In everything else, what the clock
    /// of the node that answers showed.
    pub(super) moment: Moment,
    /// On whose account the message takes up room until it is whole.
    pub(super) share: Share,
    /// Where the piece begins within the whole.
    pub(super) offset: usize,
    /// Bytes of the whole.
    pub(super) total: usize,
    pub(super) body: Bytes,
}

/// Why bytes are no piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// They are of this version, which is not spoken here.
    OtherVersion(u8),
    /// They break the rules.
    Malformed,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Request,
        Kind::Answer,
        Kind::Busy,
        Kind::Refused,
        Kind::Unspeakable,
        Kind::Leaving,
        Kind::Late,
    ];

    fn code(self) -> u8 {
        match self {
            Kind::Request => 1,
            Kind::Answer => 2,
            Kind::Busy => 3,
            Kind::Refused => 4,
            Kind::Unspeakable => 5,
            Kind::Leaving => 6,
            Kind::Late => 7,
        }
    }
}

impl Share {
    /// Of a message without a body, which takes up no room.
    pub(super) const NONE: Share = Share(0);

    /// One that nobody else has.
    pub(super) fn fresh() -> Share {
        Share(rand::random())
    }

    /// A tenant's, the same on every node.
    pub(super) fn of(tenant: TenantId) -> Share {
        let (high, low) = tenant.uuid().as_u64_pair();
        Share(high ^ low)
    }
}

impl Piece {
    /// Reads what came.
    pub(super) fn parse(mut bytes: Bytes) -> Result<Piece, Unreadable> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(Unreadable::OtherVersion(version)),
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
        let long = |at: usize| (u64::from(number(at)) << 32) | u64::from(number(at + 4));
        let (offset, total) = (number(22) as usize, number(26) as usize);
        if offset + bytes.len() > total || (bytes.is_empty() && total > 0) {
            return Err(Unreadable::Malformed);
        }
        Ok(Piece {
            kind: kind.ok_or(Unreadable::Malformed)?,
            within: Duration::from_millis(number(2).into()),
            moment: Moment::from_micros(long(6)),
            share: Share(long(14)),
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
pub(super) fn bare(kind: Kind, moment: Moment) -> Bytes {
    let stamp = Stamp {
        kind,
        within: Duration::ZERO,
        moment,
        share: Share::NONE,
    };
    stamp.framed(0, 0, &[])
}

/// Says to whoever asked in another version that nothing was done: in that version if it is the one before. While nodes are
/// replaced one by one, those that are left must not take a refusal for an answer that they cannot read.
pub(super) fn refusal(version: u8, moment: Moment) -> Bytes {
    if version != VERSION_BEFORE {
        return bare(Kind::Refused, moment);
    }
    let mut bytes = BytesMut::zeroed(HEAD_BYTES_BEFORE);
    // Everything else is zero in a message without a body.
    bytes[0] = VERSION_BEFORE;
    bytes[1] = Kind::Refused.code();
    bytes.freeze()
}

/// What all pieces of one message have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) kind: Kind,
    /// As in [`Piece`].
    pub(super) within: Duration,
    /// As in [`Piece`].
    pub(super) moment: Moment,
    /// As in [`Piece`].
    pub(super) share: Share,
}

/// The pieces of a message, for a server that takes `payload_bytes_max` at once. None if it is too large.
pub(super) fn pieces(
    stamp: Stamp,
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
        stamp.framed(offset, total, &body[offset..end])
    }))
}

impl Stamp {
    fn framed(&self, offset: usize, total: usize, body: &[u8]) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + body.len());
        bytes.put_u8(VERSION);
        bytes.put_u8(self.kind.code());
        bytes.put_u32(u32::try_from(self.within.as_millis()).unwrap_or(u32::MAX));
        bytes.put_u64(self.moment.micros());
        bytes.put_u64(self.share.0);
        // Both are at most MESSAGE_BYTES_MAX.
        bytes.put_u32(u32::try_from(offset).unwrap_or(u32::MAX));
        bytes.put_u32(u32::try_from(total).unwrap_or(u32::MAX));
        bytes.put_slice(body);
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_millis(1_500);

    fn stamp() -> Stamp {
        Stamp {
            kind: Kind::Request,
            within: WITHIN,
            moment: Moment::from_micros(u64::MAX / 3),
            share: Share(u64::MAX / 7),
        }
    }

    fn cut(length: usize, payload_bytes_max: usize) -> Vec<Bytes> {
        let body = Bytes::from(vec![7; length]);
        pieces(stamp(), body, payload_bytes_max).unwrap().collect()
    }

    #[test]
    fn pieces_fit_the_server_and_make_up_the_whole() {
        for length in [0, 1, 69, 70, 71, 1_000] {
            let mut read = 0;
            for bytes in cut(length, 100) {
                assert!(bytes.len() <= 100);
                let piece = Piece::parse(bytes).unwrap();
                assert_eq!((piece.kind, piece.within), (Kind::Request, WITHIN));
                assert_eq!((piece.moment, piece.share), (stamp().moment, stamp().share));
                assert_eq!((piece.offset, piece.total), (read, length));
                read += piece.body.len();
            }
            assert_eq!(read, length);
        }
        assert_eq!(cut(70, 100).len(), 1);
        assert_eq!(cut(71, 100).len(), 2);
    }

    #[test]
    fn nothing_larger_than_the_bound_is_cut() {
        let body = Bytes::from(vec![0; MESSAGE_BYTES_MAX + 1]);
        assert!(pieces(stamp(), body, 1 << 20).is_none());
        assert!(pieces(stamp(), Bytes::new(), HEAD_BYTES).is_none());
    }

    #[test]
    fn a_message_without_a_body_keeps_its_kind() {
        for kind in Kind::ALL {
            let piece = Piece::parse(bare(kind, Moment::from_micros(7))).unwrap();
            assert_eq!(piece.kind, kind);
            assert!(piece.is_whole());
        }
    }

    #[test]
    fn the_version_before_is_refused_in_its_own_words() {
        let moment = Moment::from_micros(7);
        let before = refusal(1, moment);
        assert_eq!(&before[..], b"\x01\x04\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(refusal(3, moment), bare(Kind::Refused, moment));
    }

    #[test]
    fn other_versions_are_told_from_nonsense() {
        let mut bytes = bare(Kind::Answer, Moment::from_micros(7)).to_vec();
        bytes[0] = 1;
        assert_eq!(Piece::parse(bytes.into()), Err(Unreadable::OtherVersion(1)));
        let mut bytes = bare(Kind::Answer, Moment::from_micros(7)).to_vec();
        bytes[1] = 99;
        assert_eq!(Piece::parse(bytes.into()), Err(Unreadable::Malformed));
        for bytes in [
            &b""[..],
            b"\x02\x01",
            b"\x02\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\0\0\x09z",
        ] {
            assert_eq!(
                Piece::parse(Bytes::copy_from_slice(bytes)),
                Err(Unreadable::Malformed)
            );
        }
    }
}
