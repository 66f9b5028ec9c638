//! Which parts of a kept tree a computation reads, and how a node is computed from them.
//!
//! Does not read them, and does not know what a proof is.

use super::{Hash, LEVEL_STEP, TreeError, fold, join};

/// A range of a kept level that must be fetched: at most 256 hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// 0 for leaves, else a kept level: 8, 16, 24 …
    pub level: u8,
    /// First index, from 0.
    pub from: u64,
    /// The index after the last one.
    pub to: u64,
}

/// Names a node whose leaves are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) level: u8,
    pub(super) index: u64,
}

/// Fetched blocks, with the ranges that they cover.
pub(super) struct Blocks<'a> {
    fetches: Vec<Fetch>,
    hashes: &'a [Vec<Hash>],
}

/// The blocks around each of `leaves` on every kept level of a tree of `size` leaves, without duplicates.
pub(super) fn around(leaves: &[u64], size: u64) -> Vec<Fetch> {
    let mut fetches = Vec::new();
    for level in (0..64).step_by(usize::from(LEVEL_STEP)) {
        let complete = size >> level;
        for leaf in leaves {
            let from = (leaf >> level) & !0xff;
            let fetch = Fetch {
                level,
                from,
                to: complete.min(from.saturating_add(256)),
            };
            if fetch.from < fetch.to && !fetches.contains(&fetch) {
                fetches.push(fetch);
            }
        }
    }
    fetches
}

/// The complete subtrees of which the leaves `from..to` consist, the largest first. `from` must be a multiple of a power of
/// two that is no smaller than the range.
pub(super) fn peaks(from: u64, to: u64) -> impl DoubleEndedIterator<Item = Node> {
    let length = to - from;
    (0..64_u8)
        .rev()
        .filter(move |level| (length >> level) & 1 == 1)
        .map(move |level| Node {
            level,
            index: (from >> level) + (length >> level) - 1,
        })
}

impl<'a> Blocks<'a> {
    /// Pairs what was asked for with what came.
    pub(super) fn new(
        fetches: Vec<Fetch>,
        hashes: &'a [Vec<Hash>],
    ) -> Result<Blocks<'a>, TreeError> {
        for (place, fetch) in fetches.iter().enumerate() {
            let got = hashes.get(place).map_or(0, Vec::len) as u64;
            if got != fetch.to - fetch.from {
                return Err(TreeError::Incomplete {
                    level: fetch.level,
                    from: fetch.from,
                    to: fetch.to,
                    got,
                });
            }
        }
        Ok(Blocks { fetches, hashes })
    }

    /// The hash of a node, from its descendants on the kept level at or below it.
    pub(super) fn node(&self, node: Node) -> Result<Hash, TreeError> {
        let height = node.level % LEVEL_STEP;
        let level = node.level - height;
        let (from, to) = (node.index << height, (node.index + 1) << height);
        let found = self
            .fetches
            .iter()
            .zip(self.hashes)
            .find(|(fetch, _)| fetch.level == level && fetch.from <= from && to <= fetch.to);
        let Some((fetch, hashes)) = found else {
            let got = 0;
            return Err(TreeError::Incomplete {
                level,
                from,
                to,
                got,
            });
        };
        let within = |index: u64| usize::try_from(index - fetch.from).expect("at most 256");
        Ok(complete_root(&hashes[within(from)..within(to)]))
    }

    /// The hash of the leaves `from..to` as one subtree, complete or the ragged end of the tree.
    pub(super) fn subtree(&self, from: u64, to: u64) -> Result<Hash, TreeError> {
        let hashes = peaks(from, to)
            .rev()
            .map(|node| self.node(node))
            .collect::<Result<Vec<Hash>, _>>()?;
        Ok(fold(hashes.into_iter()).expect("a subtree has leaves"))
    }
}

/// The root over a power of two of hashes.
fn complete_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        several => {
            let (left, right) = several.split_at(several.len() / 2);
            join(&complete_root(left), &complete_root(right))
        }
    }
}
