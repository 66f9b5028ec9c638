//! Puts messages together from their pieces: bounded in number, in bytes and in time, for all and for each share.
//!
//! Pure: the time comes in as an argument. Pieces of one message come in order, because one connection sent them and
//! another one brought them; a message whose pieces do not is given up.

use std::{collections::HashMap, hash::Hash, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::frame::{MESSAGE_BYTES_MAX, Piece, Share};

/// Half assembled messages, at most.
const MESSAGES_MAX: usize = 256;
/// Bytes that half assembled messages may grow to, all together.
const BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// One share may have a part of all this in so many, so that whoever sends much of it leaves room for others. Any one message
/// fits into it.
const SHARES: usize = 4;
/// The same of answers. For them it is more: a request that finds no room was not carried out and can go again, but an answer
/// that finds none is lost after everything was done.
const ANSWER_SHARES: usize = 2;
/// How long the pieces of one message may take.
const WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Assembly<K> {
    halves: HashMap<K, Half>,
    /// What they take up together.
    used: Used,
    by_share: HashMap<Share, Used>,
    limits: Limits,
}

/// How many messages there are, and how many bytes these will have when they are whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    messages: usize,
    bytes: usize,
}

/// What an assembly may hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
    /// One share may have a part in so many of both.
    pub(super) shares: usize,
    pub(super) within: Duration,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It was the last one.
    Whole(Bytes),
    /// More are to come.
    Half,
    /// There is no room for another message.
    Full,
    /// It does not follow those that came before; its message is given up.
    Lost,
}

struct Half {
    share: Share,
    buffer: BytesMut,
    total: usize,
    expires_at: Instant,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            messages_max: MESSAGES_MAX,
            bytes_max: BYTES_MAX,
            shares: SHARES,
            within: WITHIN,
        }
    }
}

impl Limits {
    /// For whoever asks.
    pub(super) fn of_answers() -> Limits {
        Limits {
            shares: ANSWER_SHARES,
            ..Limits::default()
        }
    }

    fn of_share(self) -> Limits {
        Limits {
            messages_max: self.messages_max.div_ceil(self.shares),
            bytes_max: self.bytes_max / self.shares,
            ..self
        }
    }
}

impl<K: Eq + Hash + Clone> Assembly<K> {
    /// An assembly with nothing in it.
    pub(super) fn new(limits: Limits) -> Assembly<K> {
        Assembly {
            halves: HashMap::new(),
            used: Used::default(),
            by_share: HashMap::new(),
            limits,
        }
    }

    /// Adds a piece of the message `key`.
    pub(super) fn add(&mut self, key: &K, piece: Piece, now: Instant) -> Added {
        if piece.is_whole() {
            return Added::Whole(piece.body);
        }
        if piece.offset == 0 {
            return self.begin(key, &piece, now);
        }
        let Some(half) = self.halves.get_mut(key) else {
            return Added::Lost;
        };
        if half.buffer.len() != piece.offset || half.total != piece.total {
            self.forget(key);
            return Added::Lost;
        }
        half.buffer.extend_from_slice(&piece.body);
        if half.buffer.len() < half.total {
            return Added::Half;
        }
        match self.forget(key) {
            Some(half) => Added::Whole(half.buffer.freeze()),
            None => Added::Lost,
        }
    }

    /// Gives up the message `key`, of which no more will come.
    pub(super) fn give_up(&mut self, key: &K) {
        self.forget(key);
    }

    /// Gives up the messages that took too long, and says how many these were.
    pub(super) fn sweep(&mut self, now: Instant) -> usize {
        let late: Vec<K> = self
            .halves
            .iter()
            .filter(|(_, half)| half.expires_at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &late {
            self.forget(key);
        }
        late.len()
    }

    /// When there is something to sweep.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.halves.values().map(|half| half.expires_at).min()
    }

    fn begin(&mut self, key: &K, piece: &Piece, now: Instant) -> Added {
        self.forget(key);
        if piece.total > MESSAGE_BYTES_MAX {
            return Added::Lost;
        }
        if !self.has_room(piece) {
            self.sweep(now);
        }
        if !self.has_room(piece) {
            return Added::Full;
        }
        self.used.add(piece.total);
        let of_share = self.by_share.entry(piece.share).or_default();
        of_share.add(piece.total);
        let half = Half {
            share: piece.share,
            // Memory follows what came, not what was announced.
            buffer: BytesMut::from(&*piece.body),
            total: piece.total,
            expires_at: now + self.limits.within,
        };
        self.halves.insert(key.clone(), half);
        Added::Half
    }

    fn forget(&mut self, key: &K) -> Option<Half> {
        let half = self.halves.remove(key)?;
        self.used.take(half.total);
        if let Some(of_share) = self.by_share.get_mut(&half.share) {
            of_share.take(half.total);
            if of_share.messages == 0 {
                self.by_share.remove(&half.share);
            }
        }
        Some(half)
    }

    fn has_room(&self, piece: &Piece) -> bool {
        let of_share = self.by_share.get(&piece.share).copied();
        self.used.has_room(piece.total, self.limits)
            && of_share
                .unwrap_or_default()
                .has_room(piece.total, self.limits.of_share())
    }
}

impl Used {
    fn has_room(self, bytes: usize, limits: Limits) -> bool {
        self.messages < limits.messages_max && self.bytes + bytes <= limits.bytes_max
    }

    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{clock::Moment, frame::Kind};

    /// A piece of a share of its own.
    fn piece(offset: usize, total: usize, body: &'static [u8]) -> Piece {
        piece_of(Share::fresh(), offset, total, body)
    }

    fn piece_of(share: Share, offset: usize, total: usize, body: &'static [u8]) -> Piece {
        Piece {
            kind: Kind::Request,
            within: Duration::ZERO,
            moment: Moment::from_micros(0),
            share,
            offset,
            total,
            body: Bytes::from_static(body),
        }
    }

    fn small() -> Assembly<u8> {
        sized(2, 40)
    }

    fn sized(messages_max: usize, bytes_max: usize) -> Assembly<u8> {
        Assembly::new(Limits {
            messages_max,
            bytes_max,
            shares: SHARES,
            within: Duration::from_secs(1),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn messages_whose_pieces_alternate_are_told_apart() {
        let (mut assembly, now) = (small(), Instant::now());
        assert_eq!(assembly.add(&1, piece(0, 4, b"ab"), now), Added::Half);
        assert_eq!(assembly.add(&2, piece(0, 3, b"xy"), now), Added::Half);
        assert_eq!(
            assembly.add(&1, piece(2, 4, b"cd"), now),
            Added::Whole(Bytes::from_static(b"abcd"))
        );
        assert_eq!(
            assembly.add(&2, piece(2, 3, b"z"), now),
            Added::Whole(Bytes::from_static(b"xyz"))
        );
        assert_eq!(assembly.used, Used::default());
        assert!(assembly.by_share.is_empty());
        assert!(assembly.next_expiry().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_out_of_order_gives_its_message_up() {
        let (mut assembly, now) = (small(), Instant::now());
        assert_eq!(assembly.add(&1, piece(2, 4, b"cd"), now), Added::Lost);
        assert_eq!(assembly.add(&1, piece(0, 6, b"ab"), now), Added::Half);
        assert_eq!(assembly.add(&1, piece(4, 6, b"ef"), now), Added::Lost);
        assert_eq!(assembly.add(&1, piece(2, 6, b"cd"), now), Added::Lost);
        assert_eq!(assembly.used, Used::default());
        assert!(assembly.by_share.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many_messages_and_bytes() {
        let (mut assembly, now) = (sized(5, 40), Instant::now());
        for key in 0..4 {
            assert_eq!(assembly.add(&key, piece(0, 9, b"a"), now), Added::Half);
        }
        assert_eq!(assembly.add(&4, piece(0, 5, b"a"), now), Added::Full);
        assert_eq!(assembly.add(&4, piece(0, 4, b"a"), now), Added::Half);
        assembly.give_up(&0);
        assert_eq!(assembly.add(&5, piece(0, 2, b"a"), now), Added::Half);
        assert_eq!(assembly.add(&6, piece(0, 2, b"a"), now), Added::Full);
        // What is whole needs no room.
        assert!(matches!(
            assembly.add(&6, piece(0, 1, b"a"), now),
            Added::Whole(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_fills_its_share_leaves_room_for_others() {
        let (mut assembly, now) = (sized(8, 40), Instant::now());
        let (greedy, other) = (Share::fresh(), Share::fresh());
        let long = |share| piece_of(share, 0, 10, b"a");
        assert_eq!(assembly.add(&1, long(greedy), now), Added::Half);
        let short = piece_of(greedy, 0, 2, b"a");
        assert_eq!(assembly.add(&2, short.clone(), now), Added::Full);
        assert_eq!(assembly.add(&3, long(other), now), Added::Half);
        assembly.give_up(&1);
        // Nor may it have too many that are short.
        assert_eq!(assembly.add(&4, short.clone(), now), Added::Half);
        assert_eq!(assembly.add(&5, short.clone(), now), Added::Half);
        assert_eq!(assembly.add(&6, short.clone(), now), Added::Full);
        // What took too long counts no more.
        let late = now + Duration::from_secs(1);
        assert_eq!(assembly.add(&6, short, late), Added::Half);
    }

    #[test]
    fn any_message_fits_into_a_share() {
        for limits in [Limits::default(), Limits::of_answers()] {
            assert!(limits.of_share().bytes_max >= MESSAGE_BYTES_MAX);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_much_has_room_for_half_of_all_answers() {
        let (mut assembly, now) = (Assembly::new(Limits::of_answers()), Instant::now());
        let (greedy, other) = (Share::fresh(), Share::fresh());
        let long = |share| piece_of(share, 0, MESSAGE_BYTES_MAX / 2, b"a");
        for key in 0..4 {
            assert_eq!(assembly.add(&key, long(greedy), now), Added::Half);
        }
        assert_eq!(assembly.add(&4, long(greedy), now), Added::Full);
        assert_eq!(assembly.add(&5, long(other), now), Added::Half);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_takes_too_long_makes_room() {
        let (mut assembly, start) = (small(), Instant::now());
        let share = Share::fresh();
        let long = || piece_of(share, 0, 9, b"a");
        assert_eq!(assembly.add(&1, long(), start), Added::Half);
        let late = assembly.next_expiry().unwrap();
        assert_eq!(assembly.add(&2, long(), late), Added::Half);
        assert_eq!(assembly.add(&1, piece(1, 9, b"a"), late), Added::Lost);
        assert_eq!(assembly.sweep(late), 0);
        assert_eq!(assembly.sweep(late + Duration::from_secs(1)), 1);
    }
}
