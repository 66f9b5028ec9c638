//! A limit on how much goes on at once for each key.
//!
//! Holds a key only while something goes on or waits for it, so the number of keys is bounded by the callers' own
//! limits. Who waits is served first come, first served; how long to wait is the caller's decision.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Slots for every key, equally many. Clones share them.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    per_key_max: usize,
    keys: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

/// One slot of one key, free again when this is dropped; or a place in the queue for one.
#[derive(Debug)]
pub(crate) struct Slot<K: Eq + Hash> {
    key: K,
    keys: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
    /// Both are taken when the slot is dropped, in an order that lets the last holder see that it is the last.
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    /// Slots of which each key has `per_key_max`, at least one.
    pub(crate) fn new(per_key_max: usize) -> Slots<K> {
        Slots {
            per_key_max: per_key_max.clamp(1, Semaphore::MAX_PERMITS),
            keys: Arc::default(),
        }
    }

    /// Waits for a slot of `key`. A caller that stops waiting leaves nothing behind.
    pub(crate) async fn acquire(&self, key: K) -> Slot<K> {
        let semaphore = Arc::clone(
            self.keys
                .lock()
                .entry(key)
                .or_insert_with(|| Arc::new(Semaphore::new(self.per_key_max))),
        );
        let mut slot = Slot {
            key,
            keys: Arc::clone(&self.keys),
            semaphore: Some(Arc::clone(&semaphore)),
            permit: None,
        };
        let permit = semaphore.acquire_owned().await;
        slot.permit = Some(permit.expect("nobody closes the semaphores"));
        slot
    }

    #[cfg(test)]
    pub(crate) fn keys_held(&self) -> usize {
        self.keys.lock().len()
    }
}

impl<K> Clone for Slots<K> {
    fn clone(&self) -> Slots<K> {
        Slots {
            per_key_max: self.per_key_max,
            keys: Arc::clone(&self.keys),
        }
    }
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut keys = self.keys.lock();
        // Given up under the lock, under which alone it is shared: of two that end together, the second sees one left.
        drop(self.semaphore.take());
        let is_idle = |semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) == 1;
        if keys.get(&self.key).is_some_and(is_idle) {
            keys.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_key_makes_the_next_wait_and_another_key_does_not() {
        let slots = Slots::new(1);
        let first = slots.acquire("a").await;
        let mut second = Box::pin(slots.acquire("a"));
        assert!((&mut second).now_or_never().is_none());
        assert!(slots.acquire("b").now_or_never().is_some());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[tokio::test]
    async fn idle_keys_are_forgotten_also_after_a_wait_that_was_given_up() {
        let slots = Slots::new(1);
        let first = slots.acquire("a").await;
        let mut given_up = Box::pin(slots.acquire("a"));
        assert!((&mut given_up).now_or_never().is_none());
        drop(first);
        assert_eq!(slots.keys_held(), 1);
        drop(given_up);
        assert_eq!(slots.keys_held(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_key_stays_and_no_limit_breaks_under_contention() {
        let slots = Slots::new(2);
        let busy = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let tasks = (0..64).map(|n: u32| {
            let (slots, busy) = (slots.clone(), Arc::clone(&busy));
            tokio::spawn(async move {
                for _ in 0..100 {
                    let _slot = slots.acquire(0_u8).await;
                    let others = busy.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert!(others < 2, "task {n} found {others} others");
                    tokio::task::yield_now().await;
                    busy.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            })
        });
        for joined in futures_util::future::join_all(tasks).await {
            joined.unwrap();
        }
        assert_eq!(slots.keys_held(), 0);
    }
}
