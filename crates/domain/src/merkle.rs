//! The Merkle tree of a workspace's chain (RFC 6962 §2.1): its root, and proofs that need few reads.
//!
//! Leaves are the events' hashes, counted from 0: event `seq` is leaf `seq - 1`. A *node* (level, index) covers the leaves
//! from `index << level` on, `1 << level` of them; leaves are level 0. Only nodes whose leaves are all there are ever kept,
//! and only those of the levels 8, 16, 24 … ([`TreeNode`]); all others are computed from at most 128 of these.
//!
//! A tree of `n` leaves is read through its *blocks*: the up to 256 nodes of a kept level that share a parent of the next
//! kept level. Whatever a frontier or a proof needs lies in the blocks around one or two leaves, so one read a kept level
//! and leaf is enough: [`frontier_needs`], [`inclusion_needs`] and [`consistency_needs`] name the ranges, the caller fetches
//! them, and the functions beside them compute.
//!
//! No I/O: what a store keeps comes in as arguments.

mod blocks;
mod check;
mod proof;

pub use blocks::Fetch;
pub use check::{verify_consistency, verify_inclusion};
pub use proof::{consistency_needs, consistency_path, inclusion_needs, inclusion_path};
use sha2::{Digest as _, Sha256};

use crate::event::Hash;

/// Levels that the store keeps are multiples of it.
pub const LEVEL_STEP: u8 = 8;

const PREFIX_NODE: u8 = 0x01;

/// A complete inner node that the store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeNode {
    /// 8, 16, 24 …
    pub level: u8,
    /// Place among the nodes of its level, from 0.
    pub index: u64,
    /// Its hash.
    pub hash: Hash,
}

/// Why a tree cannot be rebuilt or a proof not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The question makes no sense for a tree of this size.
    #[error("a tree of {size} leaves has no leaf or earlier size {asked}")]
    OutOfRange {
        /// The leaf or the earlier size that was asked for.
        asked: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A fetched range does not hold what was needed.
    #[error("level {level} from {from} to {to}: expected {} hashes, got {got}", to - from)]
    Incomplete {
        /// Level of the range.
        level: u8,
        /// First index.
        from: u64,
        /// Index after the last.
        to: u64,
        /// How many there were.
        got: u64,
    },
}

/// A tree that can grow: its size and the roots of its complete subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// The tree of `size` leaves, from the ranges that [`frontier_needs`] named, in that order.
    pub fn rebuild(size: u64, fetched: &[Vec<Hash>]) -> Result<Frontier, TreeError> {
        let blocks = blocks::Blocks::new(frontier_needs(size), fetched)?;
        let peaks = blocks::peaks(0, size).map(|node| blocks.node(node));
        Ok(Frontier {
            size,
            peaks: peaks.collect::<Result<_, _>>()?,
        })
    }

    /// Number of leaves.
    pub const fn len(&self) -> u64 {
        self.size
    }

    /// Whether there is no leaf yet.
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Appends a leaf; nodes of kept levels that it completes are appended to `completed`, lower ones first.
    pub fn push(&mut self, leaf: Hash, completed: &mut Vec<TreeNode>) {
        let mut hash = leaf;
        let mut level = 0_u8;
        // Each complete subtree of the same size joins with the one that just got complete.
        while (self.size >> level) & 1 == 1 {
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            hash = join(&left, &hash);
            level += 1;
            if level.is_multiple_of(LEVEL_STEP) {
                completed.push(TreeNode {
                    level,
                    index: self.size >> level,
                    hash,
                });
            }
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The RFC 6962 root; that of the empty tree is `SHA-256("")`.
    pub fn root(&self) -> Hash {
        fold(self.peaks.iter().rev().copied()).unwrap_or_else(empty_root)
    }
}

/// The ranges from which the frontier of a tree of `size` leaves is rebuilt.
pub fn frontier_needs(size: u64) -> Vec<Fetch> {
    blocks::around(&[size], size)
}

/// The first leaf, counted from 0, that is still asked for when the first `removed` leaves belong to events that are gone: by
/// frontiers, by proofs of the other leaves, and by consistency proofs from sizes that are no smaller than `removed`. All of them
/// read whole blocks, and the last removed leaf is in the oldest block that any of them reads.
pub const fn first_leaf_needed(removed: u64) -> u64 {
    removed.saturating_sub(1) & !0xff
}

/// Whether all that is missing from what was fetched are leaves that are not kept any more when the first `removed` leaves belong
/// to events that are gone. Anything else that is missing was taken away by somebody else.
pub fn misses_only_removed(needs: &[Fetch], fetched: &[Vec<Hash>], removed: u64) -> bool {
    needs.iter().enumerate().all(|(place, need)| {
        let got = fetched.get(place).map_or(0, Vec::len) as u64;
        let is_old = need.level == 0 && need.from < first_leaf_needed(removed);
        got == need.to - need.from || is_old
    })
}

/// The root of a tree without leaves.
pub fn empty_root() -> Hash {
    Hash(Sha256::digest(b"").into())
}

/// The hash of a node from those of its children.
fn join(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0_u8; 65];
    bytes[0] = PREFIX_NODE;
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

/// Joins subtrees, the rightmost first: how RFC 6962 hashes a tree whose size is no power of two.
fn fold(from_right: impl Iterator<Item = Hash>) -> Option<Hash> {
    from_right.reduce(|right, left| join(&left, &right))
}

#[cfg(test)]
mod tests;
