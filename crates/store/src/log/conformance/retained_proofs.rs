//! Proofs and checkpoints of logs whose beginning is gone, and rows that hang on events that are.

use domain::{
    device::MessageStep,
    event::Hash,
    ids::WorkspaceId,
    merkle::{
        Fetch, Frontier, TreeNode, consistency_needs, consistency_path, frontier_needs,
        inclusion_needs, inclusion_path, verify_consistency, verify_inclusion,
    },
    position::{Position, Seq},
};

use super::{
    Ground,
    author::{Author, commit_one, device, received_at, tenant, workspace},
    deliveries::{HOOK, OTHER, attempt, exception, settle},
    inboxes::all,
    messages::{key, mark, message_id, outgoing},
    retention::{a_day_after, days, remove, remove_up_to},
};
use crate::log::{DeliveryQuery, DeliveryState, RegionLog, Write};

/// The leaves of one workspace, and the roots of the tree at every size.
#[derive(Default)]
pub struct Grown {
    leaves: Vec<Hash>,
    roots: Vec<Hash>,
    frontier: Frontier,
}

impl Grown {
    fn push(&mut self, leaf: Hash, completed: &mut Vec<TreeNode>) {
        self.frontier.push(leaf, completed);
        self.leaves.push(leaf);
        self.roots.push(self.frontier.root());
    }
}

/// Appends events to both workspaces by turns, with the nodes of their trees.
pub async fn grow(log: &dyn RegionLog, author: &mut Author, grown: &mut [Grown; 2], count: usize) {
    for _ in 0..count.div_ceil(500) {
        let mut events = Vec::new();
        let mut nodes = Vec::new();
        for number in 0..count.min(500) {
            let one = number % 2;
            let event = author.event_with(workspace(one as u128), "a", Default::default());
            let mut completed = Vec::new();
            grown[one].push(event.hash, &mut completed);
            nodes.extend(completed.into_iter().map(|node| (event.workspace, node)));
            events.push(event);
        }
        let mut append = author.append(events);
        append.nodes = nodes;
        commit_one(log, Write::Append(append)).await;
    }
}

async fn fetch(log: &dyn RegionLog, workspace: WorkspaceId, needs: &[Fetch]) -> Vec<Vec<Hash>> {
    let mut fetched = Vec::new();
    for need in needs {
        let hashes = if need.level == 0 {
            let (from, to) = (Seq::new(need.from + 1), Seq::new(need.to));
            log.leaf_hashes(tenant(1), workspace, from, to).await
        } else {
            log.tree_nodes(tenant(1), workspace, need.level, need.from, need.to - 1)
                .await
        };
        fetched.push(hashes.unwrap());
    }
    fetched
}

/// Checks the tree of a workspace of which the first `removed` leaves belong to events that are gone.
pub async fn check(log: &dyn RegionLog, one: usize, grown: &Grown, removed: usize) {
    let workspace = workspace(one as u128);
    let size = grown.leaves.len();
    let total = size as u64;
    let fetched = fetch(log, workspace, &frontier_needs(total)).await;
    let frontier = Frontier::rebuild(total, &fetched).unwrap();
    let root = frontier.root();
    assert_eq!(root, grown.roots[size - 1], "{removed} of {size}");
    let near = (removed..size).take(3);
    for leaf in near
        .chain((removed..size).step_by(97))
        .chain(removed.max(size - 1)..size)
    {
        let at = leaf as u64;
        let fetched = fetch(log, workspace, &inclusion_needs(at, total)).await;
        let path = inclusion_path(at, total, &fetched)
            .unwrap_or_else(|error| panic!("leaf {leaf}, {removed} of {size}: {error}"));
        assert!(verify_inclusion(
            &grown.leaves[leaf],
            at,
            total,
            &path,
            &root
        ));
    }
    for old in [removed, removed + 1, size - 1, size] {
        if old == 0 || old < removed || old > size {
            continue;
        }
        let (from, old_root) = (old as u64, grown.roots[old - 1]);
        let fetched = fetch(log, workspace, &consistency_needs(from, total)).await;
        let path = consistency_path(from, total, &fetched)
            .unwrap_or_else(|error| panic!("size {old}, {removed} of {size}: {error}"));
        assert!(verify_consistency(from, &old_root, total, &root, &path));
    }
}

pub async fn proofs_of_what_is_kept_hold_wherever_a_log_was_cut(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut grown = [Grown::default(), Grown::default()];
    grow(&*log, &mut author, &mut grown, 1_500).await;
    let edges = [0_u64, 256, 512, 700, 750].map(|leaves| 2 * leaves);
    let cuts = edges
        .iter()
        .flat_map(|edge| edge.saturating_sub(4)..=edge + 5);
    for cut in cuts.filter(|cut| *cut <= 1_500) {
        remove_up_to(&*log, author.tenant, cut).await;
        // Events go to the two by turns, the first one first.
        let removed = usize::try_from(cut).unwrap();
        check(&*log, 0, &grown[0], removed.div_ceil(2)).await;
        check(&*log, 1, &grown[1], removed / 2).await;
    }
    assert_eq!(log.oldest(author.tenant).await.unwrap(), None);
    // Trees go on growing, and what was signed before can still be compared.
    let log = ground.open().await;
    for count in [2, 30, 500] {
        grow(&*log, &mut author, &mut grown, count).await;
        for one in [0, 1] {
            check(&*log, one, &grown[one], 750).await;
        }
    }
}

pub async fn trees_of_any_size_go_on_when_all_their_events_are_gone(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let mut grown = [Grown::default(), Grown::default()];
    // Whole blocks of 256 leaves at some of the ends.
    for count in [2, 2, 4, 8, 496, 2, 500, 10, 500] {
        grow(&*log, &mut author, &mut grown, count).await;
        let head = author.head().get();
        assert_eq!(remove_up_to(&*log, author.tenant, head).await, count as u64);
        for one in [0, 1] {
            check(&*log, one, &grown[one], grown[one].leaves.len()).await;
        }
    }
}

pub async fn deliveries_of_removed_events_go_too(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 20).await;
    for webhook in [HOOK, OTHER] {
        let mut some = settle(webhook, 0);
        for position in [3, 8, 12] {
            let state = DeliveryState::Dead;
            some.attempts.push(attempt(position, 1, state));
            some.exceptions.push(exception(webhook, position, state));
        }
        some.attempts.push(attempt(9, 1, DeliveryState::Delivered));
        some.exceptions
            .push(exception(webhook, 10, DeliveryState::Retrying));
        commit_one(&*log, Write::Settle(some)).await;
    }
    remove_up_to(&*log, author.tenant, 10).await;
    for webhook in [HOOK, OTHER] {
        let query = DeliveryQuery {
            webhook,
            before: None,
            state: None,
            limit: 100,
        };
        let left = log.deliveries(author.tenant, &query).await.unwrap();
        let left: Vec<u64> = left.iter().map(|one| one.position.get()).collect();
        assert_eq!(left, [12]);
        assert_eq!(log.retrying(author.tenant, webhook, 9).await.unwrap(), []);
        let progress = log.webhook_progress_of(author.tenant, webhook).await;
        assert_eq!(
            progress.unwrap().map(|one| one.cursor),
            Some(Position::ZERO)
        );
    }
}

pub async fn messages_of_removed_events_go_too(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    let steps = [
        (1, "old", MessageStep::Received),
        (2, "heard of", MessageStep::Read),
        (3, "edited before it came", MessageStep::Updated),
        (6, "edited before it came", MessageStep::Received),
        (7, "old", MessageStep::Updated),
        (8, "new", MessageStep::Received),
    ];
    for number in [1, 2] {
        for position in 1..=9_u64 {
            if number == 2 && position > 1 {
                continue;
            }
            let event = author.event();
            let mut append = author.append(vec![event.clone()]);
            for (_, id, step) in steps.iter().filter(|(at, _, _)| *at == position) {
                let mut mark = mark(device(number), key("ann", id), *step, event.position.get());
                mark.event = event.id;
                mark.at = event.received_at;
                append.messages.push(mark);
            }
            commit_one(&*log, Write::Append(append)).await;
        }
    }
    commit_one(&*log, outgoing(1, device(1), 1)).await;
    remove_up_to(&*log, author.tenant, 5).await;
    let page = log.messages(author.tenant, &all(device(1))).await.unwrap();
    let mut left: Vec<&str> = page
        .messages
        .iter()
        .map(|message| message.network_id.as_deref().unwrap_or("ours"))
        .collect();
    left.sort_unstable();
    assert_eq!(left, ["edited before it came", "new"]);
    let ours = log.message(author.tenant, device(1), message_id(1)).await;
    assert_eq!(ours.unwrap(), None);
}

pub async fn whoever_is_interrupted_finds_the_rest_again(ground: &dyn Ground) {
    let log = ground.open().await;
    let mut author = Author::new(1);
    author.write(&*log, 10).await;
    let mut some = settle(HOOK, 0);
    some.exceptions
        .push(exception(HOOK, 2, DeliveryState::Dead));
    commit_one(&*log, Write::Settle(some)).await;
    let now = a_day_after(5);
    let cut = log.outlived(author.tenant, &days(1), now).await.unwrap();
    let cut = cut.unwrap();
    assert_eq!((cut.upto, cut.at), (Position::new(5), received_at(5)));
    // Interrupted before the events go, by another instance that finds them all again.
    assert_eq!(log.forget_up_to(author.tenant, cut).await.unwrap(), 1);
    let log = ground.open().await;
    assert_eq!(log.forget_up_to(author.tenant, cut).await.unwrap(), 0);
    assert_eq!(remove(&*log, author.tenant, &days(1), now).await, 5);
    assert_eq!(
        log.oldest(author.tenant).await.unwrap(),
        Some(Position::new(6))
    );
}
