//! One filter over one feed, shared by all tails that have it: evaluated once per event, encoded once per chunk.
//!
//! Tails that stand at the same place get the same bytes. Knows nothing of connections.

use std::{collections::VecDeque, sync::Arc};

use bytes::{Bytes, BytesMut};
use domain::{filter::EventFilter, position::Position};
use parking_lot::Mutex;

use super::{Feed, Read};

/// How much a chunk holds at most, unless a single frame is larger.
const CHUNK_BYTES: usize = 16 * 1024;
/// How many events one chunk looks at.
const CHUNK_EVENTS: usize = 256;
/// How many chunks are kept for tails that are a little behind.
const CHUNKS_KEPT: usize = 8;

/// See the module.
pub struct TailView {
    feed: Arc<Feed>,
    filter: EventFilter,
    chunks: Mutex<VecDeque<Chunk>>,
}

/// Encoded frames, and where the reader stands after them.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The cursor that the chunk follows.
    pub after: Position,
    /// The cursor after it. May have moved although `bytes` is empty: nothing there matched.
    pub to: Position,
    /// Server-sent events.
    pub bytes: Bytes,
}

/// What a view has for a reader.
#[derive(Debug)]
pub enum Next {
    /// Something to send, or at least to move on to.
    Chunk(Chunk),
    /// The reader has seen the head.
    AtHead,
    /// Ask the store.
    Behind,
}

impl TailView {
    pub(super) fn new(feed: Arc<Feed>, filter: EventFilter) -> TailView {
        TailView {
            feed,
            filter,
            chunks: Mutex::default(),
        }
    }

    /// The feed below.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The filter.
    pub fn filter(&self) -> &EventFilter {
        &self.filter
    }

    /// What follows `cursor`.
    pub fn next(&self, cursor: Position) -> Next {
        let mut chunks = self.chunks.lock();
        if let Some(chunk) = chunks.iter().rev().find(|chunk| chunk.after == cursor) {
            return Next::Chunk(chunk.clone());
        }
        let frames = match self.feed.read(cursor, CHUNK_EVENTS) {
            Read::Behind => return Next::Behind,
            Read::Frames(frames) if frames.is_empty() => return Next::AtHead,
            Read::Frames(frames) => frames,
        };
        let mut bytes = BytesMut::new();
        let mut to = cursor;
        for frame in frames {
            if self.filter.matches(&frame.event) {
                let sse = frame.sse();
                if !bytes.is_empty() && bytes.len() + sse.len() > CHUNK_BYTES {
                    break;
                }
                bytes.extend_from_slice(sse);
            }
            to = frame.event.position;
        }
        let chunk = Chunk {
            after: cursor,
            to,
            bytes: bytes.freeze(),
        };
        if chunks.len() == CHUNKS_KEPT {
            chunks.pop_front();
        }
        chunks.push_back(chunk.clone());
        Next::Chunk(chunk)
    }
}
