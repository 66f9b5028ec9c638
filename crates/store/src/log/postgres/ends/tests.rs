use std::collections::BTreeSet;

use domain::{
    fence::Fence,
    position::{Position, Seq},
};

use super::*;
use crate::log::{
    Write,
    conformance::author::{Author, tenant, workspace},
};

/// What an append of one event of the first tenant in a workspace asks for.
fn wanted(of: u128) -> Wanted {
    let events = Author::new(1).events(1);
    let mut wanted = Wanted::of(&[Write::Append(Author::new(1).append(events))]);
    wanted.streams = BTreeSet::from([(tenant(1), workspace(of))]);
    wanted
}

/// What a commit leaves behind that found the log at one position and left it at another, with one event in a workspace.
fn left(found: u64, head: u64, of: u128) -> State {
    let mut state = State::default();
    let row = Tenant {
        no: 1,
        found: Position::new(found),
        head: Position::new(head),
        last_at: 0,
        dispatched: None,
        fence: Fence::FIRST,
        is_moved: true,
    };
    state.tenants.insert(tenant(1), row);
    let end = Stream {
        no: 1,
        seq: Seq::new(head),
        moved: None,
    };
    state.streams.insert((tenant(1), workspace(of)), end);
    state
}

/// Whether everything that a commit wants to know of these workspaces is remembered.
fn knows(ends: &mut Ends, of: u128) -> bool {
    let (taken, state) = ends.take(&wanted(of));
    let Some(state) = state else { return false };
    ends.put(taken, state);
    true
}

/// Commits as the slow way does, without regard to what is remembered.
fn commit(ends: &mut Ends, after: State, of: u128) {
    let (taken, _) = ends.take(&wanted(of));
    ends.put(taken, after);
}

#[test]
fn what_a_commit_leaves_is_remembered_as_the_next_one_finds_it() {
    let mut ends = Ends::default();
    assert!(!knows(&mut ends, 1));
    commit(&mut ends, left(0, 1, 1), 1);
    let (_, state) = ends.take(&wanted(1));
    let row = state.unwrap().tenants.remove(&tenant(1)).unwrap();
    assert_eq!((row.found.get(), row.is_moved), (1, false));
    assert!(
        !knows(&mut ends, 1),
        "a commit that did not go through has forgotten it"
    );
}

#[test]
fn workspaces_are_remembered_as_long_as_nobody_else_appends() {
    let mut ends = Ends::default();
    commit(&mut ends, left(0, 1, 1), 1);
    commit(&mut ends, left(1, 2, 2), 2);
    assert!(knows(&mut ends, 1) && knows(&mut ends, 2));
    // The third event was somebody else's, and nobody knows of which workspace.
    commit(&mut ends, left(3, 4, 2), 2);
    assert!(!knows(&mut ends, 1));
    commit(&mut ends, left(4, 5, 2), 2);
    assert!(knows(&mut ends, 2));
}

#[test]
fn what_was_taken_before_everything_was_forgotten_is_not_put_back() {
    let mut ends = Ends::default();
    let (taken, _) = ends.take(&wanted(1));
    ends.clear();
    ends.put(taken, left(0, 1, 1));
    assert!(!knows(&mut ends, 1));
}
