//! The chain heads of one tenant's workspaces: where each chain ends, and what its template demands.
//!
//! Pure. What is not in memory is fetched by the caller and put in; nothing here reads a store.

use std::collections::HashMap;

use domain::{
    event::Hash,
    ids::WorkspaceId,
    merkle::{Frontier, TreeNode},
    position::Seq,
    template::Template,
};

/// How many workspaces' chains are kept before the caller is asked to clear them.
const CHAINS_MAX: usize = 4_096;

/// One workspace's chain.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) hash: Hash,
    pub(super) frontier: Frontier,
    pub(super) template: Option<Template>,
    /// False when the template was changed: it is fetched again before the next event.
    is_current: bool,
}

/// What is known of a workspace.
pub(super) enum Known<'a> {
    /// Its chain.
    Chain(&'a mut Chain),
    /// That there is none of this id.
    Nothing,
}

/// All chains in memory.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// `None` stands for a workspace that does not exist.
    by_workspace: HashMap<WorkspaceId, Option<Chain>>,
}

impl Chain {
    pub(super) fn new(hash: Hash, frontier: Frontier, template: Option<Template>) -> Chain {
        Chain {
            hash,
            frontier,
            template,
            is_current: true,
        }
    }

    /// The seq that the next event gets.
    pub(super) fn next_seq(&self) -> Seq {
        Seq::new(self.frontier.len() + 1)
    }

    /// Takes the event that was given `next_seq`.
    pub(super) fn push(&mut self, hash: Hash, completed: &mut Vec<TreeNode>) {
        self.hash = hash;
        self.frontier.push(hash, completed);
    }
}

impl Chains {
    /// The workspace's chain, if it need not be fetched first.
    pub(super) fn get(&mut self, workspace: WorkspaceId) -> Option<Known<'_>> {
        match self.by_workspace.get_mut(&workspace)? {
            None => Some(Known::Nothing),
            Some(chain) => chain.is_current.then_some(Known::Chain(chain)),
        }
    }

    /// Whether the workspace must be fetched before an event can join it.
    pub(super) fn must_fetch(&self, workspace: WorkspaceId) -> bool {
        match self.by_workspace.get(&workspace) {
            None => true,
            Some(None) => false,
            Some(Some(chain)) => !chain.is_current,
        }
    }

    /// Puts in what was fetched. A chain that is here already is ahead of the store: only its template is taken.
    pub(super) fn put(&mut self, workspace: WorkspaceId, fetched: Option<Chain>) {
        let here = self.by_workspace.entry(workspace).or_default();
        match (here.as_mut(), fetched) {
            (Some(here), Some(fetched)) => {
                here.template = fetched.template;
                here.is_current = true;
            }
            (None | Some(_), fetched) => *here = fetched,
        }
    }

    /// The template was changed.
    pub(super) fn forget_template(&mut self, workspace: WorkspaceId) {
        match self.by_workspace.get_mut(&workspace) {
            Some(Some(chain)) => chain.is_current = false,
            Some(None) => {
                self.by_workspace.remove(&workspace);
            }
            None => {}
        }
    }

    /// Whether so many are here that they should be cleared at the next quiet moment.
    pub(super) fn is_full(&self) -> bool {
        self.by_workspace.len() >= CHAINS_MAX
    }

    /// Forgets everything: the store decides anew. Only when nothing is on its way to the store, which is behind until then.
    pub(super) fn clear(&mut self) {
        self.by_workspace.clear();
    }
}
