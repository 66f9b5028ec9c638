//! A naive RFC 6962 tree, and the tree that is compared with it.

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

/// MTH of RFC 6962 §2.1, word for word.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [one] => *one,
        several => {
            let (left, right) = several.split_at(split(several.len()));
            join(&mth(left), &mth(right))
        }
    }
}

/// PATH of §2.1.1.
fn path(leaf: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut below, beside) = if leaf < middle {
        (path(leaf, left), mth(right))
    } else {
        (path(leaf - middle, right), mth(left))
    };
    below.push(beside);
    below
}

/// SUBPROOF of §2.1.2.
fn subproof(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if is_known {
            Vec::new()
        } else {
            vec![mth(leaves)]
        };
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut below, beside) = if old <= middle {
        (subproof(old, left, is_known), mth(right))
    } else {
        (subproof(old - middle, right, false), mth(left))
    };
    below.push(beside);
    below
}

fn split(count: usize) -> usize {
    1 << (count - 1).ilog2()
}

fn leaf(index: u64) -> Hash {
    Hash(Sha256::digest(index.to_le_bytes()).into())
}

/// What a store keeps, and how it answers.
struct Kept {
    leaves: Vec<Hash>,
    nodes: Vec<TreeNode>,
    frontier: Frontier,
}

impl Kept {
    fn of(size: u64) -> Kept {
        let mut kept = Kept {
            leaves: Vec::new(),
            nodes: Vec::new(),
            frontier: Frontier::new(),
        };
        for index in 0..size {
            kept.leaves.push(leaf(index));
            kept.frontier.push(leaf(index), &mut kept.nodes);
        }
        kept
    }

    fn fetch(&self, needs: &[Fetch]) -> Vec<Vec<Hash>> {
        let one = |need: &Fetch| {
            assert!(need.to - need.from <= 256 && need.from < need.to);
            let range = need.from..need.to;
            range.map(|index| self.at(need.level, index)).collect()
        };
        needs.iter().map(one).collect()
    }

    fn at(&self, level: u8, index: u64) -> Hash {
        if level == 0 {
            return self.leaves[usize::try_from(index).unwrap()];
        }
        let is_it = |node: &&TreeNode| (node.level, node.index) == (level, index);
        self.nodes.iter().find(is_it).unwrap().hash
    }

    fn included(&self, leaf: u64, size: u64) -> Vec<Hash> {
        inclusion_path(leaf, size, &self.fetch(&inclusion_needs(leaf, size))).unwrap()
    }

    fn consistent(&self, old: u64, new: u64) -> Vec<Hash> {
        consistency_path(old, new, &self.fetch(&consistency_needs(old, new))).unwrap()
    }

    fn root(&self, size: u64) -> Hash {
        let fetched = self.fetch(&frontier_needs(size));
        Frontier::rebuild(size, &fetched).unwrap().root()
    }
}

fn first(leaves: &[Hash], count: u64) -> &[Hash] {
    &leaves[..usize::try_from(count).unwrap()]
}

#[test]
fn the_roots_of_the_certificate_transparency_vectors() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::new();
    assert_eq!(
        frontier.root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (input, root) in inputs.iter().zip(roots) {
        let mut leaf = vec![0_u8];
        leaf.extend(hex::decode(input).unwrap());
        frontier.push(Hash(Sha256::digest(leaf).into()), &mut Vec::new());
        assert_eq!(frontier.root().to_string(), root);
    }
}

#[test]
fn small_trees_agree_with_the_rfc_in_every_proof() {
    let kept = Kept::of(40);
    for new in 1..=40 {
        let leaves = first(&kept.leaves, new);
        let root = mth(leaves);
        assert_eq!(kept.root(new), root);
        for old in 0..new {
            let included = kept.included(old, new);
            assert_eq!(included, path(usize::try_from(old).unwrap(), leaves));
            assert!(verify_inclusion(&leaf(old), old, new, &included, &root));
            let consistent = kept.consistent(old, new);
            if old > 0 {
                assert_eq!(
                    consistent,
                    subproof(usize::try_from(old).unwrap(), leaves, true)
                );
            }
            let old_root = mth(first(leaves, old));
            assert!(verify_consistency(old, &old_root, new, &root, &consistent));
        }
    }
}

#[test]
fn proofs_agree_with_the_rfc_where_kept_levels_begin() {
    let kept = Kept::of(66_100);
    let sizes = [
        255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 66_100,
    ];
    for new in sizes {
        let leaves = first(&kept.leaves, new);
        let root = mth(leaves);
        assert_eq!(kept.root(new), root);
        for old in [
            1, 2, 254, 255, 256, 257, 300, 65_535, 65_536, 65_537, 65_800,
        ] {
            if old >= new {
                continue;
            }
            let place = usize::try_from(old).unwrap();
            assert_eq!(kept.included(old, new), path(place, leaves));
            assert_eq!(kept.consistent(old, new), subproof(place, leaves, true));
        }
    }
}

#[test]
fn a_rebuilt_frontier_grows_like_the_one_that_was_lost() {
    let all = Kept::of(1_030);
    for size in [0, 1, 255, 256, 257, 1_000] {
        let before = Kept::of(size);
        let fetched = before.fetch(&frontier_needs(size));
        let mut frontier = Frontier::rebuild(size, &fetched).unwrap();
        assert_eq!(frontier, before.frontier);
        let mut nodes = before.nodes;
        for index in size..1_030 {
            frontier.push(leaf(index), &mut nodes);
        }
        assert_eq!((frontier, nodes), (all.frontier.clone(), all.nodes.clone()));
    }
}

#[test]
fn what_cannot_be_proved_is_an_error() {
    assert_eq!(
        inclusion_path(5, 5, &[]),
        Err(TreeError::OutOfRange { asked: 5, size: 5 })
    );
    assert!(inclusion_needs(5, 5).is_empty());
    assert_eq!(
        consistency_path(6, 5, &[]),
        Err(TreeError::OutOfRange { asked: 6, size: 5 })
    );
    assert_eq!(consistency_path(0, 5, &[]), Ok(Vec::new()));
    assert_eq!(consistency_path(5, 5, &[]), Ok(Vec::new()));
}

#[test]
fn a_range_that_came_short_is_an_error() {
    let short = Frontier::rebuild(3, &[vec![Hash([0; 32]); 2]]);
    let (level, from, to, got) = (0, 0, 3, 2);
    assert_eq!(
        short,
        Err(TreeError::Incomplete {
            level,
            from,
            to,
            got
        })
    );
    assert!(Frontier::rebuild(3, &[]).is_err());
}

#[test]
fn a_proof_needs_few_reads_however_large_the_tree() {
    let size = 3_000_000_000_000;
    assert!(inclusion_needs(1_234_567_890_123, size).len() <= 12);
    assert!(consistency_needs(1_234_567_890_123, size).len() <= 12);
    assert!(frontier_needs(size).len() <= 6);
}

#[test]
fn only_blocks_of_leaves_that_are_gone_may_be_missing() {
    let needs = consistency_needs(300, 70_000);
    let whole: Vec<Vec<Hash>> = needs
        .iter()
        .map(|need| (need.from..need.to).map(leaf).collect())
        .collect();
    assert!(misses_only_removed(&needs, &whole, 0));
    for (place, need) in needs.iter().enumerate() {
        let mut fetched = whole.clone();
        fetched[place].pop();
        let is_old = (need.level, need.from) == (0, 256);
        // The block of the last removed leaf is kept, and so are all after it, and all inner nodes.
        assert!(!misses_only_removed(&needs, &fetched, 512));
        assert_eq!(misses_only_removed(&needs, &fetched, 513), is_old);
        assert_eq!(misses_only_removed(&needs, &fetched, 69_000), is_old);
        assert!(!misses_only_removed(&needs, &whole[..place], 512));
    }
}

proptest! {
    #[test]
    fn no_leaf_before_the_first_that_is_needed_is_ever_read(
        removed in 0_u64..2_000,
        kept in 0_u64..2_000,
        some in any::<prop::sample::Index>(),
    ) {
        let size = removed + kept;
        let within = removed + some.index(usize::try_from(kept + 1).unwrap()) as u64;
        let needs = [
            frontier_needs(size),
            inclusion_needs(within, size),
            consistency_needs(within, size),
        ];
        for fetch in needs.iter().flatten().filter(|fetch| fetch.level == 0) {
            prop_assert!(fetch.from >= first_leaf_needed(removed), "{fetch:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tree_agrees_with_the_rfc(new in 1_u64..1_000, of: prop::sample::Index) {
        let kept = Kept::of(new);
        let old = of.index(usize::try_from(new).unwrap());
        let root = mth(&kept.leaves);
        prop_assert_eq!(kept.frontier.root(), root);
        prop_assert_eq!(kept.root(new), root);
        prop_assert_eq!(kept.included(old as u64, new), path(old, &kept.leaves));
        if old > 0 {
            prop_assert_eq!(kept.consistent(old as u64, new), subproof(old, &kept.leaves, true));
        }
    }

    #[test]
    fn a_changed_proof_proves_nothing(
        new in 2_u64..600,
        of: prop::sample::Index,
        at: prop::sample::Index,
        change in 1_u8..=255,
    ) {
        let kept = Kept::of(new);
        let old = of.index(usize::try_from(new - 1).unwrap()) as u64 + 1;
        let (root, old_root) = (kept.root(new), kept.root(old));
        let mut included = kept.included(old - 1, new);
        prop_assert!(verify_inclusion(&leaf(old - 1), old - 1, new, &included, &root));
        prop_assert!(!verify_inclusion(&leaf(old), old - 1, new, &included, &root));
        prop_assert!(!verify_inclusion(&leaf(old - 1), old, new, &included, &root));
        let place = at.index(included.len());
        included[place].0[7] ^= change;
        prop_assert!(!verify_inclusion(&leaf(old - 1), old - 1, new, &included, &root));
        let mut consistent = kept.consistent(old, new);
        prop_assert!(verify_consistency(old, &old_root, new, &root, &consistent));
        prop_assert!(!verify_consistency(old, &root, new, &root, &consistent));
        let place = at.index(consistent.len());
        consistent[place].0[7] ^= change;
        prop_assert!(!verify_consistency(old, &old_root, new, &root, &consistent));
        consistent[place].0[7] ^= change;
        consistent.push(Hash([change; 32]));
        prop_assert!(!verify_consistency(old, &old_root, new, &root, &consistent));
    }
}
