//! Places in a log: `Position` in a tenant's log, `Seq` in a workspace's chain.
//!
//! Both count 1, 2, 3 … without holes; 0 means "before the first".

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Before the first.
            pub const ZERO: $name = $name(0);

            /// Wraps a number.
            pub const fn new(number: u64) -> $name {
                $name(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The place right after this one.
            #[must_use]
            pub const fn next(self) -> $name {
                $name(self.0 + 1)
            }

            /// The place right before this one; before the first stays before the first.
            #[must_use]
            pub const fn prev(self) -> $name {
                $name(self.0.saturating_sub(1))
            }

            /// This place moved on by `count`.
            #[must_use]
            pub const fn plus(self, count: u64) -> $name {
                $name(self.0 + count)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

place!(
    /// An event's place in its tenant's log.
    Position
);
place!(
    /// An event's place in its workspace's chain.
    Seq
);

/// The highest position that an event id has room for (40 bits).
pub const POSITION_MAX: Position = Position::new((1 << 40) - 1);
