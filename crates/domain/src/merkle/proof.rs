//! Makes inclusion and consistency proofs (RFC 6962 §2.1.1 and §2.1.2) from fetched blocks.
//!
//! Both walk from the root to one leaf: at each fork the subtree that is not entered belongs to the proof. A subtree to the
//! left is always complete; one to the right may be the ragged end of the tree. Does not check proofs: that is
//! [`super::check`].

use super::{
    Fetch, Hash, TreeError,
    blocks::{self, Blocks},
};

/// The ranges that [`inclusion_path`] needs for leaf `leaf` of a tree of `size` leaves; none if there is no such proof.
pub fn inclusion_needs(leaf: u64, size: u64) -> Vec<Fetch> {
    if leaf < size {
        blocks::around(&[leaf, size], size)
    } else {
        Vec::new()
    }
}

/// The inclusion proof of leaf `leaf` in a tree of `size` leaves, from the leaf up.
pub fn inclusion_path(leaf: u64, size: u64, fetched: &[Vec<Hash>]) -> Result<Vec<Hash>, TreeError> {
    if leaf >= size {
        return Err(TreeError::OutOfRange { asked: leaf, size });
    }
    let blocks = Blocks::new(inclusion_needs(leaf, size), fetched)?;
    let (siblings, _) = descend(leaf, size, |_from, _to| false);
    hash_all(&blocks, &siblings)
}

/// The ranges that [`consistency_path`] needs for the sizes `old` and `new`; none if the proof is empty.
pub fn consistency_needs(old: u64, new: u64) -> Vec<Fetch> {
    if 0 < old && old < new {
        blocks::around(&[old - 1, new], new)
    } else {
        Vec::new()
    }
}

/// The proof that the tree of `new` leaves continues the tree of its first `old` leaves. Empty if `old` is 0 or `new`.
pub fn consistency_path(old: u64, new: u64, fetched: &[Vec<Hash>]) -> Result<Vec<Hash>, TreeError> {
    if old > new {
        return Err(TreeError::OutOfRange {
            asked: old,
            size: new,
        });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let blocks = Blocks::new(consistency_needs(old, new), fetched)?;
    // The walk goes to the last leaf of the old tree and ends at the largest complete subtree that it ends.
    let (mut siblings, (from, to)) = descend(old - 1, new, |_from, to| to == old);
    if from > 0 {
        // Otherwise it is the whole old tree, whose root the verifier knows.
        siblings.push(Range { from, to });
    }
    hash_all(&blocks, &siblings)
}

/// The leaves `from..to` of a subtree.
#[derive(Clone, Copy)]
struct Range {
    from: u64,
    to: u64,
}

/// Walks from the root of a tree of `size` leaves to `leaf` until `is_end` or the leaf itself. Answers the subtrees passed
/// by, the uppermost first, and the subtree at which the walk ended.
fn descend(leaf: u64, size: u64, is_end: impl Fn(u64, u64) -> bool) -> (Vec<Range>, (u64, u64)) {
    let (mut from, mut to) = (0, size);
    let mut passed = Vec::with_capacity(64);
    while to - from > 1 && !is_end(from, to) {
        // RFC 6962 splits at the largest power of two smaller than the number of leaves.
        let middle = from + (1 << (to - from - 1).ilog2());
        if leaf < middle {
            passed.push(Range { from: middle, to });
            to = middle;
        } else {
            passed.push(Range { from, to: middle });
            from = middle;
        }
    }
    (passed, (from, to))
}

/// The hashes of subtrees, the lowest first.
fn hash_all(blocks: &Blocks<'_>, passed: &[Range]) -> Result<Vec<Hash>, TreeError> {
    passed
        .iter()
        .rev()
        .map(|range| blocks.subtree(range.from, range.to))
        .collect()
}
