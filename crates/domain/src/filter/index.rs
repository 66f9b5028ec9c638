//! Finds the subscribers that want an event, at a cost that the others do not add to.
//!
//! Holds keys only; what a key stands for is its owner's business.

use std::collections::{BTreeMap, HashMap};

use super::{TypeFilter, TypePattern};
use crate::{event::EventType, ids::WorkspaceId};

/// An index from workspace and event type to the keys of subscribers.
///
/// A look-up costs a few hash probes (one for the type, one for each of its dots) and a copy of the keys that match: ten
/// thousand subscribers of other types or workspaces cost nothing.
#[derive(Clone, Debug)]
pub struct KindIndex<K> {
    any_workspace: Subscribers<K>,
    by_workspace: HashMap<WorkspaceId, Subscribers<K>>,
    entries: BTreeMap<K, (Option<WorkspaceId>, TypeFilter)>,
}

/// Keys by what they subscribe to. Each list is sorted and never empty.
#[derive(Clone, Debug)]
struct Subscribers<K> {
    all: Vec<K>,
    prefixes: HashMap<Box<str>, Vec<K>>,
    exact: HashMap<Box<str>, Vec<K>>,
}

impl<K: Copy + Ord> KindIndex<K> {
    /// An index without subscribers.
    pub fn new() -> KindIndex<K> {
        KindIndex {
            any_workspace: Subscribers::new(),
            by_workspace: HashMap::new(),
            entries: BTreeMap::new(),
        }
    }

    /// Subscribes `key` to the types of one workspace, or of all; what it was subscribed to before is forgotten.
    pub fn insert(&mut self, key: K, workspace: Option<WorkspaceId>, kinds: &TypeFilter) {
        self.remove(key);
        let subscribers = match workspace {
            None => &mut self.any_workspace,
            Some(workspace) => self
                .by_workspace
                .entry(workspace)
                .or_insert_with(Subscribers::new),
        };
        subscribers.insert(key, kinds);
        self.entries.insert(key, (workspace, kinds.clone()));
    }

    /// Forgets `key`. Says whether it was subscribed to anything.
    pub fn remove(&mut self, key: K) -> bool {
        let Some((workspace, kinds)) = self.entries.remove(&key) else {
            return false;
        };
        match workspace {
            None => self.any_workspace.remove(key, &kinds),
            Some(workspace) => {
                if let Some(subscribers) = self.by_workspace.get_mut(&workspace) {
                    subscribers.remove(key, &kinds);
                    if subscribers.is_empty() {
                        self.by_workspace.remove(&workspace);
                    }
                }
            }
        }
        true
    }

    /// Replaces what is in `matching` by the keys that want an event of this type in this workspace: sorted, each once.
    pub fn matching(&self, workspace: WorkspaceId, kind: &EventType, matching: &mut Vec<K>) {
        matching.clear();
        self.any_workspace.collect(kind, matching);
        if let Some(subscribers) = self.by_workspace.get(&workspace) {
            subscribers.collect(kind, matching);
        }
        if matching.len() > 1 {
            matching.sort_unstable();
            matching.dedup();
        }
    }

    /// How many keys are subscribed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says whether nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Copy + Ord> Default for KindIndex<K> {
    fn default() -> KindIndex<K> {
        KindIndex::new()
    }
}

impl<K: Copy + Ord> Subscribers<K> {
    fn new() -> Subscribers<K> {
        Subscribers {
            all: Vec::new(),
            prefixes: HashMap::new(),
            exact: HashMap::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.prefixes.is_empty() && self.exact.is_empty()
    }

    fn insert(&mut self, key: K, kinds: &TypeFilter) {
        for pattern in kinds.patterns() {
            let keys = match pattern {
                TypePattern::All => &mut self.all,
                TypePattern::Prefix(prefix) => {
                    self.prefixes.entry(prefix.as_str().into()).or_default()
                }
                TypePattern::Exact(exact) => self.exact.entry(exact.as_str().into()).or_default(),
            };
            if let Err(place) = keys.binary_search(&key) {
                keys.insert(place, key);
            }
        }
    }

    fn remove(&mut self, key: K, kinds: &TypeFilter) {
        for pattern in kinds.patterns() {
            match pattern {
                TypePattern::All => take_out(&mut self.all, key),
                TypePattern::Prefix(prefix) => {
                    take_out_of(&mut self.prefixes, prefix.as_str(), key);
                }
                TypePattern::Exact(exact) => take_out_of(&mut self.exact, exact.as_str(), key),
            }
        }
    }

    fn collect(&self, kind: &EventType, matching: &mut Vec<K>) {
        let kind = kind.as_str();
        matching.extend_from_slice(&self.all);
        if let Some(keys) = self.exact.get(kind) {
            matching.extend_from_slice(keys);
        }
        if !self.prefixes.is_empty() {
            for (dot, _) in kind.match_indices('.') {
                if let Some(keys) = self.prefixes.get(&kind[..dot]) {
                    matching.extend_from_slice(keys);
                }
            }
        }
    }
}

fn take_out<K: Copy + Ord>(keys: &mut Vec<K>, key: K) {
    if let Ok(place) = keys.binary_search(&key) {
        keys.remove(place);
    }
}

fn take_out_of<K: Copy + Ord>(lists: &mut HashMap<Box<str>, Vec<K>>, name: &str, key: K) {
    if let Some(keys) = lists.get_mut(name) {
        take_out(keys, key);
        if keys.is_empty() {
            lists.remove(name);
        }
    }
}
