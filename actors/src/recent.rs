//! A memory of what was looked up a short while ago: bounded in entries and in time.
//!
//! Pure: the moment comes in as an argument. What has run out is not given any more, and goes at the next sweep, so that
//! whoever is idle costs nothing.

use std::{collections::HashMap, hash::Hash, time::Duration};

use domain::time::Timestamp;

/// Room for so many entries is never given back: it would only be asked for again.
const ROOM_MIN: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Recent<K, V> {
    entries: HashMap<K, (V, Timestamp)>,
    keep_for: Duration,
    entries_max: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Nothing yet.
    pub fn new(keep_for: Duration, entries_max: usize) -> Recent<K, V> {
        Recent {
            entries: HashMap::new(),
            keep_for,
            entries_max,
        }
    }

    /// What was remembered, unless its time is over.
    pub fn get(&self, key: &K, now: Timestamp) -> Option<&V> {
        let (value, until) = self.entries.get(key)?;
        (now < *until).then_some(value)
    }

    /// Remembers. When there is no room, although what has run out was forgotten, the newcomer is not remembered.
    pub fn insert(&mut self, key: K, value: V, now: Timestamp) {
        if self.entries.len() >= self.entries_max {
            self.sweep(now);
        }
        if self.entries.len() < self.entries_max || self.entries.contains_key(&key) {
            self.entries.insert(key, (value, now.plus(self.keep_for)));
        }
    }

    /// Forgets what has run out, and gives its room back.
    pub fn sweep(&mut self, now: Timestamp) {
        self.retain(|_, until| now < until);
    }

    /// Forgets what is not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&V, Timestamp) -> bool) {
        self.entries.retain(|_, (value, until)| keep(value, *until));
        give_room_back(&mut self.entries);
    }

    /// Everything that is remembered, what has run out and was not swept yet included.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|(value, _)| value)
    }

    /// How much is remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Shrinks a map that once held much more than it does now.
pub(crate) fn give_room_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > ROOM_MIN.max(map.len().saturating_mul(4)) {
        map.shrink_to(map.len().saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_FOR: Duration = Duration::from_micros(10);

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn what_has_run_out_is_not_given_and_goes_at_the_next_sweep() {
        let mut recent = Recent::new(KEEP_FOR, 8);
        recent.insert("a", 1, at(0));
        recent.insert("b", 2, at(5));
        assert_eq!(recent.get(&"a", at(9)), Some(&1));
        assert_eq!(recent.get(&"a", at(10)), None);
        recent.sweep(at(10));
        assert_eq!((recent.len(), recent.get(&"b", at(10))), (1, Some(&2)));
    }

    #[test]
    fn a_full_memory_takes_nobody_in_until_something_has_run_out() {
        let mut recent = Recent::new(KEEP_FOR, 2);
        for key in 0..3 {
            recent.insert(key, key, at(0));
        }
        assert_eq!(recent.len(), 2);
        recent.insert(0, 7, at(1));
        assert_eq!(recent.get(&0, at(1)), Some(&7));
        recent.insert(2, 2, at(12));
        assert_eq!((recent.len(), recent.get(&2, at(12))), (1, Some(&2)));
    }

    #[test]
    fn an_idle_memory_gives_its_room_back() {
        let mut recent = Recent::new(KEEP_FOR, 10_000);
        for key in 0..10_000 {
            recent.insert(key, key, at(0));
        }
        recent.sweep(at(10));
        assert!(recent.is_empty());
        assert!(recent.entries.capacity() <= ROOM_MIN);
    }
}
