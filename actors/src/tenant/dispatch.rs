//! Which webhooks an event is for, and how far that has been found out.
//!
//! One index over all of the tenant's webhooks: what does not match costs nothing. Nothing is written per webhook; once in a
//! while one mark says how far the log has been matched and which webhooks have work (see [`crate::webhook_board`]).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use actix::prelude::*;
use domain::{
    event::Event,
    fence::Fence,
    filter::{KindIndex, TypeFilter},
    ids::{TenantId, WorkspaceId},
    position::Position,
    webhook::Webhook,
};
use store::log::{Dispatch, WebhookNo, WebhookProgress, Write, WriteError};
use tracing::warn;

use super::{Stage, TenantActor};
use crate::{
    placement::Standing,
    registry::Registry,
    webhook::WebhookActor,
    webhook_board::{WebhookBoard, WebhookKey},
};

/// What the dispatcher knows of one webhook.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) key: WebhookKey,
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) events: TypeFilter,
    /// Events up to here are not for it: they are older than it, or settled before the actor started.
    pub(super) after: Position,
}

/// The webhooks of one tenant, and how far the log has been matched against them.
#[derive(Debug, Default)]
pub(super) struct Dispatcher {
    index: KindIndex<WebhookNo>,
    hooks: HashMap<WebhookNo, Hook>,
    dispatched: Position,
    /// What the last written mark says.
    marked: Position,
    marked_with_work: HashSet<WebhookNo>,
    /// Webhooks that were matched since the last mark.
    touched: HashSet<WebhookNo>,
    is_marking: bool,
    is_armed: bool,
    matching: Vec<WebhookNo>,
    to_poke: HashSet<WebhookKey>,
}

impl Dispatcher {
    /// A dispatcher that stands where the last mark stood.
    pub(super) fn at(marked: Position) -> Dispatcher {
        Dispatcher {
            dispatched: marked,
            marked,
            ..Dispatcher::default()
        }
    }

    /// Puts a webhook in, with what the store knows of its standing.
    pub(super) fn put(&mut self, hook: Hook) {
        let no = hook.key.no;
        self.index.remove(no);
        self.index.insert(no, hook.workspace, &hook.events);
        self.hooks.insert(no, hook);
    }

    /// Takes over that a webhook had work at the last mark.
    pub(super) fn restore(&mut self, progress: &WebhookProgress, board: &WebhookBoard) {
        if let Some(hook) = self.hooks.get(&progress.webhook) {
            board.restore(hook.key, progress.cursor.max(hook.after), self.marked);
            self.marked_with_work.insert(progress.webhook);
            self.to_poke.insert(hook.key);
        }
    }

    /// A webhook was made or changed.
    pub(super) fn set_webhook(&mut self, webhook: &Arc<Webhook>) {
        self.put(hook_of(webhook));
    }

    /// A webhook is no more.
    pub(super) fn remove_webhook(&mut self, key: &WebhookKey) {
        self.index.remove(key.no);
        self.hooks.remove(&key.no);
        self.touched.remove(&key.no);
        self.marked_with_work.remove(&key.no);
    }

    /// Whether there are webhooks at all.
    pub(super) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// The last position that was matched.
    pub(super) fn dispatched(&self) -> Position {
        self.dispatched
    }

    /// Everything up to here needs no matching: there is nobody to match it against.
    pub(super) fn skip_to(&mut self, position: Position) {
        self.dispatched = self.dispatched.max(position);
    }

    /// Finds out for which webhooks an event is, and notes it on the board.
    pub(super) fn dispatch(&mut self, event: &Event, board: &WebhookBoard) {
        if event.position <= self.dispatched {
            return;
        }
        self.dispatched = event.position;
        self.matching.clear();
        self.index
            .matching(event.workspace, &event.kind, &mut self.matching);
        for no in &self.matching {
            let Some(hook) = self.hooks.get(no) else {
                continue;
            };
            if event.position <= hook.after {
                continue;
            }
            board.matched(hook.key, event.position);
            self.touched.insert(*no);
            self.to_poke.insert(hook.key);
        }
    }

    /// Pokes the webhooks that were given work since the last call.
    pub(super) fn poke(&mut self, webhooks: &Registry<WebhookActor>) {
        for key in self.to_poke.drain() {
            webhooks.poke(&key);
        }
    }

    /// Whether the last written mark says all that there is to say.
    pub(super) fn is_at_rest(&self, board: &WebhookBoard) -> bool {
        self.dispatched == self.marked
            && !self.is_marking
            && self.touched.is_empty()
            && self
                .marked_with_work
                .iter()
                .all(|no| self.has_work(*no, board))
    }

    fn has_work(&self, no: WebhookNo, board: &WebhookBoard) -> bool {
        self.hooks
            .get(&no)
            .is_some_and(|hook| board.has_work(&hook.key))
    }

    /// The mark as it is to be written now.
    fn mark(&self, tenant: TenantId, fence: Fence, board: &WebhookBoard) -> Dispatch {
        let work = |no: &WebhookNo| self.hooks.get(no).and_then(|hook| board.work(&hook.key));
        let woken = self
            .touched
            .iter()
            .filter(|no| !self.marked_with_work.contains(no))
            .filter_map(|no| work(no).map(|work| (*no, work.from)))
            .collect();
        // One that was woken and has rested since the last mark counts too: its own writes said that it has work.
        let rested = self
            .marked_with_work
            .union(&self.touched)
            .filter(|no| work(no).is_none())
            .copied()
            .collect();
        Dispatch {
            tenant,
            fence,
            position: self.dispatched,
            woken,
            rested,
        }
    }

    fn marked(&mut self, mark: &Dispatch) {
        self.marked = mark.position;
        self.marked_with_work
            .extend(mark.woken.iter().map(|(no, _)| *no));
        for no in &mark.rested {
            self.marked_with_work.remove(no);
        }
    }

    /// Nobody knows whether the mark was written: the next one says again what it said. A webhook that may rest in the store
    /// must not pass for one that is known there to have work, or its next event would be lost with this node.
    fn unsure(&mut self, mark: &Dispatch, touched: HashSet<WebhookNo>) {
        self.touched.extend(touched);
        for no in &mark.rested {
            self.marked_with_work.remove(no);
            self.touched.insert(*no);
        }
    }
}

/// What the dispatcher needs to know of a webhook.
pub(super) fn hook_of(webhook: &Webhook) -> Hook {
    Hook {
        key: WebhookKey::of(webhook),
        workspace: webhook.workspace,
        events: webhook.events.clone(),
        after: webhook.starts_after,
    }
}

impl TenantActor {
    /// Writes the dispatch mark in a while, if it does not say all yet.
    pub(super) fn mark_later(&mut self, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        let dispatcher = &mut ready.dispatcher;
        if dispatcher.is_armed || dispatcher.is_marking || dispatcher.is_at_rest(&self.shared.board)
        {
            return;
        }
        dispatcher.is_armed = true;
        ctx.run_later(self.shared.tuning.mark_every, |actor, ctx| {
            if let Stage::Ready(ready) = &mut actor.stage {
                ready.dispatcher.is_armed = false;
            }
            actor.write_mark(ctx);
        });
    }

    fn write_mark(&mut self, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        ready.dispatcher.is_marking = true;
        let fence = ready.hold.fence();
        let mark = ready
            .dispatcher
            .mark(self.tenant, fence, &self.shared.board);
        // Asked only now: the board is cleared no sooner than the hold is lost, and a cleared board says of every webhook that it
        // has nothing to do.
        if ready.hold.standing() == Standing::Lost {
            return;
        }
        let touched = std::mem::take(&mut ready.dispatcher.touched);
        let (regions, region) = (self.shared.regions.clone(), ready.region);
        let part = Write::Dispatch(mark.clone());
        let write = async move { crate::region::write(&regions, region, part).await };
        ctx.spawn(write.into_actor(self).map(move |outcome, actor, ctx| {
            let Stage::Ready(ready) = &mut actor.stage else {
                return;
            };
            ready.dispatcher.is_marking = false;
            match outcome {
                Ok(()) => ready.dispatcher.marked(&mark),
                Err(WriteError::Fenced { held }) => return actor.fenced(held),
                Err(error) => {
                    warn!(tenant.id = %actor.tenant, %error, "the dispatch mark was not written: {error}");
                    ready.dispatcher.unsure(&mark, touched);
                }
            }
            actor.mark_later(ctx);
        }));
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::WebhookId;
    use uuid::Uuid;

    use super::*;

    const NO: WebhookNo = WebhookNo(7);

    fn mark(dispatcher: &Dispatcher, board: &WebhookBoard) -> (Vec<WebhookNo>, Vec<WebhookNo>) {
        let tenant = TenantId::from_uuid(Uuid::nil());
        let mark = dispatcher.mark(tenant, Fence::FIRST, board);
        let woken = mark.woken.iter().map(|(no, _)| *no).collect();
        (woken, mark.rested)
    }

    #[test]
    fn a_webhook_whose_rest_may_be_written_is_woken_by_the_next_mark() {
        let (mut dispatcher, board) = (Dispatcher::default(), WebhookBoard::default());
        let tenant = TenantId::from_uuid(Uuid::nil());
        let key = WebhookKey {
            tenant,
            no: NO,
            id: WebhookId::from_uuid(Uuid::nil()),
        };
        dispatcher.put(Hook {
            key,
            workspace: None,
            events: TypeFilter::default(),
            after: Position::ZERO,
        });
        dispatcher.marked_with_work.insert(NO);
        let lost = dispatcher.mark(tenant, Fence::FIRST, &board);
        assert_eq!(lost.rested, [NO]);
        dispatcher.unsure(&lost, HashSet::new());
        assert_eq!(mark(&dispatcher, &board), (vec![], vec![NO]));
        board.matched(key, Position::new(3));
        assert_eq!(mark(&dispatcher, &board), (vec![NO], vec![]));
    }
}
