//! How many devices are connected to this node, and how their goodbyes are spread when it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rand::RngExt as _;

/// What each connected device adds to the time within which all are told to go elsewhere.
const SPREAD_FOR_EACH: Duration = Duration::from_millis(1);
/// Most of that time.
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// The devices that are connected to this node. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<AtomicU32>);

/// One of them. Dropping it says that it is gone.
#[derive(Debug)]
pub(crate) struct Counted(Sessions);

impl Sessions {
    /// Counts one more.
    pub(crate) fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Counted {
    /// When this one is told that the node ends, from the beginning of the end: not all at the same moment, because all
    /// come back elsewhere at once. It takes a part of the time that there is.
    pub(crate) fn leaves_after(&self, within: Duration) -> Duration {
        let count = self.0.0.load(Ordering::Relaxed);
        let spread = (SPREAD_FOR_EACH * count).min(SPREAD_MAX).min(within / 4);
        let millis = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(rand::rng().random_range(0..=millis))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_devices_leave_at_once_and_many_within_their_share_of_the_time() {
        let sessions = Sessions::default();
        let few: Vec<Counted> = (0..10).map(|_| sessions.enter()).collect();
        let within = Duration::from_secs(8);
        for one in &few {
            assert!(one.leaves_after(within) <= Duration::from_millis(10));
        }
        let many: Vec<Counted> = (0..20_000).map(|_| sessions.enter()).collect();
        for one in &many {
            assert!(one.leaves_after(within) <= within / 4);
        }
        drop((few, many));
        assert_eq!(sessions.0.load(Ordering::Relaxed), 0);
    }
}
