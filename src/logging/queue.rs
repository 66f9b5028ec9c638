//! The bounded queue between those who log and the thread that writes.
//!
//! One buffer, in bytes: a line costs a copy and no allocation. The writer takes the whole buffer at once, and lets a few
//! milliseconds pass first, so that a busy process writes seldom and much.

use std::{
    io::Write,
    mem,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::metrics::LOG_LINES_DROPPED;

/// How long lines may gather before they are written.
const GATHER_FOR: Duration = Duration::from_millis(5);
/// What a buffer may keep of its memory when it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    has_lines: Condvar,
    has_closed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    is_closed: bool,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    ended: mpsc::Receiver<()>,
}

impl Queue {
    /// A queue that holds this many bytes.
    pub(super) fn new(bytes_max: usize) -> Queue {
        Queue {
            bytes_max,
            state: Mutex::default(),
            has_lines: Condvar::new(),
            has_closed: Condvar::new(),
        }
    }

    /// Adds a line, or drops and counts it if there is no room.
    pub(super) fn push(&self, line: &str) {
        let mut state = self.state.lock();
        if state.is_closed || state.lines.len() + line.len() > self.bytes_max {
            drop(state);
            metrics::counter!(LOG_LINES_DROPPED).increment(1);
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(line.as_bytes());
        drop(state);
        if was_empty {
            self.has_lines.notify_one();
        }
    }

    /// Takes all lines into `taken`, which must be empty. False if there are none and never will be.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        while state.lines.is_empty() && !state.is_closed {
            self.has_lines.wait(&mut state);
        }
        if !state.is_closed {
            self.has_closed.wait_for(&mut state, GATHER_FOR);
        }
        mem::swap(&mut state.lines, taken);
        !taken.is_empty()
    }

    fn close(&self) {
        self.state.lock().is_closed = true;
        self.has_lines.notify_one();
        self.has_closed.notify_one();
    }
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        queue: Arc<Queue>,
        mut out: impl Write + Send + 'static,
    ) -> std::io::Result<Writer> {
        let (end, ended) = mpsc::channel();
        let of_thread = Arc::clone(&queue);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let mut lines = Vec::new();
                while of_thread.take(&mut lines) {
                    // Where should it be said that the log cannot be written?
                    out.write_all(&lines).and_then(|()| out.flush()).ok();
                    lines.clear();
                    lines.shrink_to(KEPT_BYTES_MAX);
                }
                drop(end);
            })?;
        Ok(Writer { queue, ended })
    }

    /// Closes the queue and waits until all of it is written, or until `within` is over.
    pub(super) fn finish(self, within: Duration) {
        self.queue.close();
        // The thread drops its end when it is done, which counts as an answer.
        self.ended.recv_timeout(within).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_every_thread_is_written_before_the_end() {
        let queue = Arc::new(Queue::new(1 << 20));
        let written = Shared::default();
        let writer = Writer::start(Arc::clone(&queue), written.clone()).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || (0..1_000).for_each(|_| queue.push("a line\n")))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        writer.finish(Duration::from_secs(60));
        assert_eq!(written.0.lock().len(), 4_000 * "a line\n".len());
    }

    #[test]
    fn a_line_without_room_is_dropped_and_others_stay() {
        let queue = Queue::new(10);
        queue.push("12345678\n");
        queue.push("too much\n");
        let mut taken = Vec::new();
        queue.close();
        assert!(queue.take(&mut taken));
        assert_eq!(taken, b"12345678\n");
        taken.clear();
        assert!(!queue.take(&mut taken));
    }
}
