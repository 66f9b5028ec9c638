//! The number that tells an owner from one who was owner before.
//!
//! Only the number and its order. Who gives it out is the lease's business, who checks it the store's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Grows with every change of a lease's owner. A write that carries a lower one than the store has seen is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// The first one that a lease gives out, and the only one where nobody else can be owner.
    pub const FIRST: Fence = Fence(1);

    /// Wraps a number.
    pub const fn new(number: u64) -> Fence {
        Fence(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next owner's.
    #[must_use]
    pub const fn next(self) -> Fence {
        Fence(self.0 + 1)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence({})", self.0)
    }
}
