//! Who did last what is done to devices all the time, as far as this node knows.
//!
//! A memory of bounded size: what is forgotten is noted once more. Decides not what is written of it.

use std::{collections::HashMap, hash::Hash};

use super::DeviceKey;
use crate::engine::{Habit, Keeper};

/// Devices of which it is remembered who did it last, for each habit by itself.
const DEVICES_MAX: usize = 65_536;

/// See the module.
#[derive(Default)]
pub(super) struct Habits {
    kept: Recent<DeviceKey, UnderFence>,
    read: Recent<DeviceKey, UnderFence>,
    connected: Recent<DeviceKey, Keeper>,
}

/// Somebody who did something under a fence.
#[derive(Clone, Copy, PartialEq, Eq)]
struct UnderFence {
    fence: u64,
    by: Keeper,
}

/// What was so last of each of so many things at most.
struct Recent<K, V>(HashMap<K, V>);

impl Habits {
    /// Whether somebody else did this last, as far as is remembered. From now on it is `by` who did.
    pub(super) fn is_news(&mut self, key: DeviceKey, what: Habit, by: Keeper) -> bool {
        match what {
            Habit::Keep { fence } => self.kept.is_news(key, UnderFence { fence, by }),
            Habit::Read { fence } => self.read.is_news(key, UnderFence { fence, by }),
            Habit::Connect => self.connected.is_news(key, by),
        }
    }
}

impl<K: Copy + Eq + Hash, V: Copy + PartialEq> Recent<K, V> {
    fn is_news(&mut self, key: K, value: V) -> bool {
        // Any one of them goes, and not all at once: above the bound, a note more for each would come in bursts.
        if self.0.len() >= DEVICES_MAX
            && !self.0.contains_key(&key)
            && let Some(any) = self.0.keys().next().copied()
        {
            self.0.remove(&any);
        }
        self.0.insert(key, value) != Some(value)
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_too_many_has_one_other_forgotten() {
        let mut recent = Recent::default();
        for device in 0..DEVICES_MAX {
            assert!(recent.is_news(device, ()));
        }
        assert!(!recent.is_news(0, ()), "what is known needs no room");
        assert!(recent.is_news(DEVICES_MAX, ()));
        assert!(!recent.is_news(DEVICES_MAX, ()));
        assert_eq!(recent.0.len(), DEVICES_MAX);
    }
}
