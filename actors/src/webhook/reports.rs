//! Where attempts report, and when the actor wants to hear of it.
//!
//! While a write is on its way the actor could do nothing with an outcome, because its slot is free only when it is on disk.
//! So it is not woken then: outcomes gather here, and one wake-up takes them all. There are never more of them than slots.
//! Also otherwise it is better to write many outcomes than few: for a moment after a batch was sent, the actor is woken only
//! when as many attempts have ended as make a good write, and at least as many as are still going on.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::Stream;
use parking_lot::Mutex;

/// See the module. Clones are the same.
#[derive(Debug)]
pub(super) struct Reports<T> {
    state: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
struct State<T> {
    finished: Vec<T>,
    /// Attempts that have not reported.
    going_on: usize,
    /// Outcomes that make a good write.
    enough: usize,
    is_listening: bool,
    /// Whether outcomes wait for each other.
    is_patient: bool,
    waker: Option<Waker>,
}

impl<T> Clone for Reports<T> {
    fn clone(&self) -> Reports<T> {
        Reports {
            state: Arc::clone(&self.state),
        }
    }
}

impl<T> State<T> {
    /// Whether the actor is to take what there is.
    fn is_due(&self) -> bool {
        self.is_listening
            && !self.finished.is_empty()
            && (!self.is_patient || self.finished.len() >= self.going_on.max(self.enough))
    }
}

impl<T> Reports<T> {
    /// Nothing is reported, and the actor listens.
    pub(super) fn new() -> Reports<T> {
        Reports {
            state: Arc::new(Mutex::new(State {
                finished: Vec::new(),
                going_on: 0,
                enough: 0,
                is_listening: true,
                is_patient: false,
                waker: None,
            })),
        }
    }

    /// Notes that attempts begin. Each of them will report.
    pub(super) fn begin(&self, attempts: usize) {
        self.state.lock().going_on += attempts;
    }

    /// From now on outcomes wait for each other until there are `enough` of them. Answers whether [`Reports::hurry`] must be
    /// called to end that.
    pub(super) fn gather(&self, enough: usize) -> bool {
        let mut state = self.state.lock();
        state.enough = enough;
        !std::mem::replace(&mut state.is_patient, true)
    }

    /// Reports one outcome.
    pub(super) fn push(&self, one: T) {
        let mut state = self.state.lock();
        state.finished.push(one);
        state.going_on = state.going_on.saturating_sub(1);
        Self::wake(state);
    }

    /// From now on no outcome waits for another, until attempts begin again.
    pub(super) fn hurry(&self) {
        let mut state = self.state.lock();
        state.is_patient = false;
        Self::wake(state);
    }

    fn wake(mut state: parking_lot::MutexGuard<'_, State<T>>) {
        let waker = if state.is_due() {
            state.waker.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// From now on the actor is not woken.
    pub(super) fn stop_listening(&self) {
        self.state.lock().is_listening = false;
    }

    /// Answers what was reported meanwhile. From now on the actor is woken again.
    pub(super) fn listen(&self) -> Vec<T> {
        let mut state = self.state.lock();
        state.is_listening = true;
        std::mem::take(&mut state.finished)
    }
}

/// Never ends.
impl<T> Stream for Reports<T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut state = self.state.lock();
        if state.is_due() {
            return Poll::Ready(Some(std::mem::take(&mut state.finished)));
        }
        if state
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    #[tokio::test]
    async fn the_listener_is_woken_by_the_first_outcome_and_gets_all_that_are_there() {
        let reports = Reports::new();
        let mut stream = reports.clone();
        assert_eq!(stream.next().now_or_never(), None);
        let other = reports.clone();
        let pushing = async {
            other.push(1);
            other.push(2);
        };
        let (heard, ()) = tokio::join!(stream.next(), pushing);
        assert_eq!(heard, Some(vec![1, 2]));
    }

    #[tokio::test]
    async fn what_comes_while_nobody_listens_is_there_afterwards() {
        let reports = Reports::new();
        let mut stream = reports.clone();
        reports.stop_listening();
        reports.push(1);
        assert_eq!(stream.next().now_or_never(), None);
        assert_eq!(reports.listen(), [1]);
        reports.push(2);
        assert_eq!(stream.next().now_or_never(), Some(Some(vec![2])));
    }

    #[tokio::test]
    async fn outcomes_of_one_batch_wait_until_they_are_enough_or_until_patience_ends() {
        let reports = Reports::new();
        let mut stream = reports.clone();
        reports.begin(4);
        assert!(reports.gather(2));
        reports.push(1);
        assert_eq!(stream.next().now_or_never(), None);
        reports.push(2);
        assert_eq!(stream.next().now_or_never(), Some(Some(vec![1, 2])));
        reports.begin(2);
        assert!(!reports.gather(2), "somebody hurries already");
        reports.push(3);
        assert_eq!(stream.next().now_or_never(), None);
        reports.hurry();
        assert_eq!(stream.next().now_or_never(), Some(Some(vec![3])));
    }
}
