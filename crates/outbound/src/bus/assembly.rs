//! Puts messages together from their pieces: bounded in number, in bytes and in time.
//!
//! Pure: the time comes in as an argument. Pieces of one message come in order, because one connection sent them and
//! another one brought them; a message whose pieces do not is given up.

use std::{collections::HashMap, hash::Hash, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::frame::{MESSAGE_BYTES_MAX, Piece};

/// Half assembled messages, at most.
const MESSAGES_MAX: usize = 256;
/// Bytes that half assembled messages may grow to, all together.
const BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// How long the pieces of one message may take.
const WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Assembly<K> {
    halves: HashMap<K, Half>,
    /// What all halves will have when they are whole.
    bytes: usize,
    limits: Limits,
}

/// What an assembly may hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
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
    buffer: BytesMut,
    total: usize,
    expires_at: Instant,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            messages_max: MESSAGES_MAX,
            bytes_max: BYTES_MAX,
            within: WITHIN,
        }
    }
}

impl<K: Eq + Hash + Clone> Assembly<K> {
    /// An assembly with nothing in it.
    pub(super) fn new(limits: Limits) -> Assembly<K> {
        Assembly {
            halves: HashMap::new(),
            bytes: 0,
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
        if self.halves.len() >= self.limits.messages_max
            || self.bytes + piece.total > self.limits.bytes_max
        {
            self.sweep(now);
        }
        if self.halves.len() >= self.limits.messages_max
            || self.bytes + piece.total > self.limits.bytes_max
        {
            return Added::Full;
        }
        self.bytes += piece.total;
        let half = Half {
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
        self.bytes -= half.total;
        Some(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::frame::Kind;

    fn piece(offset: usize, total: usize, body: &'static [u8]) -> Piece {
        Piece {
            kind: Kind::Request,
            within: Duration::ZERO,
            offset,
            total,
            body: Bytes::from_static(body),
        }
    }

    fn small() -> Assembly<u8> {
        Assembly::new(Limits {
            messages_max: 2,
            bytes_max: 10,
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
        assert_eq!(assembly.bytes, 0);
        assert!(assembly.next_expiry().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_out_of_order_gives_its_message_up() {
        let (mut assembly, now) = (small(), Instant::now());
        assert_eq!(assembly.add(&1, piece(2, 4, b"cd"), now), Added::Lost);
        assert_eq!(assembly.add(&1, piece(0, 6, b"ab"), now), Added::Half);
        assert_eq!(assembly.add(&1, piece(4, 6, b"ef"), now), Added::Lost);
        assert_eq!(assembly.add(&1, piece(2, 6, b"cd"), now), Added::Lost);
        assert_eq!(assembly.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_so_many_messages_and_bytes() {
        let (mut assembly, now) = (small(), Instant::now());
        assert_eq!(assembly.add(&1, piece(0, 6, b"a"), now), Added::Half);
        assert_eq!(assembly.add(&2, piece(0, 5, b"a"), now), Added::Full);
        assert_eq!(assembly.add(&2, piece(0, 4, b"a"), now), Added::Half);
        assert_eq!(assembly.add(&3, piece(0, 2, b"a"), now), Added::Full);
        assembly.give_up(&1);
        assert_eq!(assembly.add(&3, piece(0, 2, b"a"), now), Added::Half);
        // What is whole needs no room.
        assert!(matches!(
            assembly.add(&4, piece(0, 1, b"a"), now),
            Added::Whole(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_takes_too_long_makes_room() {
        let (mut assembly, start) = (small(), Instant::now());
        assert_eq!(assembly.add(&1, piece(0, 9, b"a"), start), Added::Half);
        let late = assembly.next_expiry().unwrap();
        assert_eq!(assembly.add(&2, piece(0, 9, b"a"), late), Added::Half);
        assert_eq!(assembly.add(&1, piece(1, 9, b"a"), late), Added::Lost);
        assert_eq!(assembly.sweep(late), 0);
        assert_eq!(assembly.sweep(late + Duration::from_secs(1)), 1);
    }
}
