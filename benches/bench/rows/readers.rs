//! Many live readers that count what they get.
//!
//! A frame is counted by its `data:` line without parsing anything: no other place of a stream has a colon after a bare `a`,
//! because JSON names end in a quote, chunk sizes in a line break, and times in digits.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::{Mutex, Notify},
    task::JoinSet,
    time::timeout,
};

use crate::wire::Wire;

/// How long a round may take.
const WAIT_MAX: Duration = Duration::from_secs(180);
/// Streams that are opened at the same time.
const OPENING_AT_ONCE: usize = 50;
const READ_BUFFER: usize = 32 * 1024;

/// Open streams. Dropping them closes all.
pub(super) struct Readers {
    seen: Arc<Seen>,
    count: u64,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: AtomicU64,
    bytes: AtomicU64,
    /// Frames that somebody waits for.
    goal: AtomicU64,
    reached: Notify,
    is_recording: AtomicBool,
    recording: Mutex<Vec<u8>>,
}

impl Readers {
    /// Opens `count` streams with the same request.
    pub(super) async fn open(
        to: SocketAddr,
        request: &[u8],
        count: usize,
    ) -> anyhow::Result<Readers> {
        let seen = Arc::new(Seen::default());
        let mut tasks = JoinSet::new();
        for first in (0..count).step_by(OPENING_AT_ONCE) {
            let last = (first + OPENING_AT_ONCE).min(count);
            let opening = (first..last).map(|_| open_stream(to, request));
            let streams = futures_util::future::try_join_all(opening).await?;
            for ((stream, early), number) in streams.into_iter().zip(first..) {
                let seen = Arc::clone(&seen);
                tasks.spawn(read_all(stream, early, seen, number == 0));
            }
        }
        Ok(Readers {
            seen,
            count: u64::try_from(count)?,
            _tasks: tasks,
        })
    }

    /// Keeps what the first reader gets from now on.
    pub(super) fn start_recording(&self) {
        self.seen.is_recording.store(true, Ordering::Relaxed);
    }

    /// What the first reader has got since the start of the recording.
    pub(super) fn take_recording(&self) -> Vec<u8> {
        self.seen.is_recording.store(false, Ordering::Relaxed);
        match self.seen.recording.try_lock() {
            Ok(mut recording) => std::mem::take(&mut *recording),
            Err(_being_written) => Vec::new(),
        }
    }

    /// Bytes that all readers have got.
    pub(super) fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// The count of frames at which every reader has got `events` more.
    pub(super) fn goal(&self, events: u64) -> u64 {
        let goal = self.seen.frames.load(Ordering::Relaxed) + events * self.count;
        self.seen.goal.store(goal, Ordering::Relaxed);
        goal
    }

    /// Waits until the readers together have got so many frames, and checks that they did not get more.
    pub(super) async fn wait_for(&self, goal: u64) -> anyhow::Result<()> {
        let all_there = async {
            while self.seen.frames.load(Ordering::Relaxed) < goal {
                self.seen.reached.notified().await;
            }
        };
        let waited = timeout(WAIT_MAX, all_there).await;
        let frames = self.seen.frames.load(Ordering::Relaxed);
        waited.with_context(|| format!("only {frames} of {goal} frames arrived"))?;
        ensure!(frames == goal, "{frames} frames arrived instead of {goal}");
        Ok(())
    }
}

async fn open_stream(to: SocketAddr, request: &[u8]) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let wire = Wire::open(to).await.context("connect a reader")?;
    wire.into_stream(request).await.context("open a stream")
}

async fn read_all(mut stream: TcpStream, early: Vec<u8>, seen: Arc<Seen>, is_first: bool) {
    let mut buffer = vec![0; READ_BUFFER];
    let mut last = seen.note(&early, 0);
    // A stream that ends shows as frames that do not arrive.
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let bytes = &buffer[..length];
        if is_first && seen.is_recording.load(Ordering::Relaxed) {
            seen.recording.lock().await.extend_from_slice(bytes);
        }
        last = seen.note(bytes, last);
    }
}

impl Seen {
    /// Counts what came; `last` is the byte before it. Answers the last byte.
    fn note(&self, bytes: &[u8], last: u8) -> u8 {
        let Some(new_last) = bytes.last() else {
            return last;
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let new_frames = count_frames(bytes, last);
        let before = self.frames.fetch_add(new_frames, Ordering::Relaxed);
        if before + new_frames >= self.goal.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
        *new_last
    }
}

fn count_frames(bytes: &[u8], last: u8) -> u64 {
    let across = u64::from(last == b'a' && bytes.first() == Some(&b':'));
    let within = bytes
        .iter()
        .zip(bytes.iter().skip(1))
        .filter(|&pair| pair == (&b'a', &b':'))
        .count();
    across + u64::try_from(within).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_line_is_one_frame() {
        let stream = b"1da\r\nretry: 2000\n\nid: 1\nevent: a.b\ndata: {\"data\":{\"a\":1}}\n\n\r\n";
        assert_eq!(count_frames(stream, 0), 1);
        for at in 0..stream.len() {
            let (left, right) = stream.split_at(at);
            let last = left.last().copied().unwrap_or(0);
            assert_eq!(count_frames(left, 0) + count_frames(right, last), 1);
        }
    }
}
