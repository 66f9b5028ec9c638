//! A queue that never makes anybody wait: when it is full, the oldest goes.
//!
//! For messages that may be lost: whoever misses one finds the truth in the stores.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// See the module. One task takes from it.
pub(super) struct Backlog<T> {
    state: Mutex<State<T>>,
    taker: AtomicWaker,
    limits: Limits,
}

/// What a backlog may hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages_max: usize,
    pub(super) bytes_max: usize,
}

/// What has a size.
pub(super) trait Weigh {
    /// How many bytes it holds on to.
    fn bytes(&self) -> usize;
}

struct State<T> {
    queue: VecDeque<T>,
    bytes: usize,
    is_closed: bool,
}

impl Weigh for Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl<T: Weigh> Backlog<T> {
    /// An empty one.
    pub(super) fn new(limits: Limits) -> Backlog<T> {
        Backlog {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                bytes: 0,
                is_closed: false,
            }),
            taker: AtomicWaker::new(),
            limits,
        }
    }

    /// Adds one, and says how many had to go for it. The newest always stays.
    pub(super) fn push(&self, message: T) -> u64 {
        let mut state = self.state.lock();
        state.bytes += message.bytes();
        state.queue.push_back(message);
        let mut dropped = 0;
        while state.queue.len() > 1
            && (state.queue.len() > self.limits.messages_max || state.bytes > self.limits.bytes_max)
        {
            if let Some(oldest) = state.queue.pop_front() {
                state.bytes -= oldest.bytes();
                dropped += 1;
            }
        }
        drop(state);
        self.taker.wake();
        dropped
    }

    /// Says that nothing comes any more. What is there can still be taken.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.taker.wake();
    }

    /// Takes the oldest; `None` after the end.
    pub(super) fn poll_take(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.taker.register(context.waker());
        let mut state = self.state.lock();
        match state.queue.pop_front() {
            Some(message) => {
                state.bytes -= message.bytes();
                Poll::Ready(Some(message))
            }
            None if state.is_closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn small() -> Backlog<Bytes> {
        Backlog::new(Limits {
            messages_max: 3,
            bytes_max: 8,
        })
    }

    async fn rest(backlog: &Backlog<Bytes>) -> Vec<Bytes> {
        backlog.close();
        let mut rest = Vec::new();
        while let Some(message) = poll_fn(|context| backlog.poll_take(context)).await {
            rest.push(message);
        }
        rest
    }

    #[tokio::test]
    async fn the_oldest_goes_when_there_are_too_many() {
        let backlog = small();
        let dropped: u64 = ["a", "b", "c", "d", "e"]
            .map(|text| backlog.push(text.into()))
            .iter()
            .sum();
        assert_eq!(dropped, 2);
        assert_eq!(rest(&backlog).await, ["c", "d", "e"]);
    }

    #[tokio::test]
    async fn the_oldest_go_when_they_are_too_long_and_the_newest_stays() {
        let backlog = small();
        assert_eq!(backlog.push("1234".into()), 0);
        assert_eq!(backlog.push("5678".into()), 0);
        assert_eq!(backlog.push("9".into()), 1);
        assert_eq!(backlog.push("longer than all".into()), 2);
        assert_eq!(rest(&backlog).await, ["longer than all"]);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_a_message_and_by_the_end() {
        let backlog = std::sync::Arc::new(small());
        let taker = tokio::spawn({
            let backlog = std::sync::Arc::clone(&backlog);
            async move {
                let first = poll_fn(|context| backlog.poll_take(context)).await;
                (first, poll_fn(|context| backlog.poll_take(context)).await)
            }
        });
        tokio::task::yield_now().await;
        backlog.push("x".into());
        tokio::task::yield_now().await;
        backlog.close();
        assert_eq!(taker.await.unwrap(), (Some("x".into()), None));
    }
}
