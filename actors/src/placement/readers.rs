//! Which logs are read on other nodes, so that nothing is told of a log that nobody reads there.
//!
//! Only a memory of what other nodes say of themselves. Each says it anew every few seconds and is believed for a few of
//! these times, so a lost word costs a reader what any lost news costs: it finds out from the store a little later.

use std::{collections::HashMap, time::Duration};

use domain::ids::TenantId;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How often a node says which logs are read there.
pub(crate) const SAID_EVERY: Duration = Duration::from_secs(3);
/// How long it is believed: two words may be lost.
const BELIEVED_FOR: Duration = Duration::from_secs(10);
/// Logs in one word, so that it is short enough for the wire.
pub(super) const SAID_AT_ONCE: usize = 4_096;

/// What nodes say of their readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReaderNews {
    /// Somebody reads these tenants' logs on the node that says so.
    Reads(Vec<TenantId>),
    /// A node that has just come wants to know what all others read.
    Asks,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Readers {
    known: RwLock<Known>,
}

#[derive(Debug)]
struct Known {
    until: HashMap<TenantId, Instant>,
    /// When to forget those that are not believed any more: each word would be too often.
    sweep_at: Instant,
}

impl Readers {
    /// Whether somebody reads the log on another node.
    pub(super) fn is_read(&self, tenant: TenantId, now: Instant) -> bool {
        let known = self.known.read();
        known.until.get(&tenant).is_some_and(|until| now < *until)
    }

    /// Notes what another node says. Answers those of which it was not known: their readers may have missed something
    /// between the moment when they began and this one.
    pub(super) fn note(&self, tenants: Vec<TenantId>, now: Instant) -> Vec<TenantId> {
        let mut known = self.known.write();
        if known.sweep_at <= now {
            known.until.retain(|_, until| now < *until);
            known.sweep_at = now + BELIEVED_FOR;
        }
        let is_new = |tenant: &TenantId| {
            let before = known.until.insert(*tenant, now + BELIEVED_FOR);
            before.is_none_or(|until| until <= now)
        };
        tenants.into_iter().filter(is_new).collect()
    }
}

impl Default for Readers {
    fn default() -> Readers {
        let known = Known {
            until: HashMap::new(),
            sweep_at: Instant::now(),
        };
        Readers {
            known: RwLock::new(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenants<const N: usize>(numbers: [u128; N]) -> Vec<TenantId> {
        let tenant = |number| TenantId::from_uuid(Uuid::from_u128(number));
        numbers.map(tenant).to_vec()
    }

    #[test]
    fn a_reader_is_believed_for_as_long_as_it_says_so_and_a_little_longer() {
        let (readers, now) = (Readers::default(), Instant::now());
        let log = tenants([1])[0];
        assert!(!readers.is_read(log, now));
        readers.note(tenants([1]), now);
        assert!(readers.is_read(log, now + SAID_EVERY * 3));
        readers.note(tenants([1]), now + SAID_EVERY * 3);
        assert!(readers.is_read(log, now + SAID_EVERY * 6));
        assert!(!readers.is_read(log, now + SAID_EVERY * 3 + BELIEVED_FOR));
    }

    #[test]
    fn only_those_that_were_not_known_are_new() {
        let (readers, now) = (Readers::default(), Instant::now());
        assert_eq!(readers.note(tenants([1, 2]), now), tenants([1, 2]));
        assert_eq!(readers.note(tenants([2, 3]), now), tenants([3]));
        let later = now + BELIEVED_FOR;
        assert_eq!(readers.note(tenants([1]), later), tenants([1]));
        // Not swept yet, but not believed any more either.
        let soon = Duration::from_secs(1);
        readers.note(tenants([4]), later + soon);
        readers.note(tenants([5]), later + soon * 2);
        readers.note(tenants([6]), later + BELIEVED_FOR);
        let new = readers.note(tenants([4, 6]), later + BELIEVED_FOR + soon);
        assert_eq!(new, tenants([4]));
    }

    #[test]
    fn what_is_read_no_more_is_forgotten() {
        let (readers, now) = (Readers::default(), Instant::now());
        readers.note(tenants([1, 2, 3]), now);
        readers.note(tenants([4]), now + BELIEVED_FOR);
        assert_eq!(readers.known.read().until.len(), 1);
    }
}
