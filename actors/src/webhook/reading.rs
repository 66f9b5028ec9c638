//! Reads the log: from the ring in memory while the webhook keeps up, from the store when it does not.
//!
//! Reads no more than the free slots need and a little ahead. Decides nothing about when something is sent.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use domain::position::Position;
use store::StoreError;
use tracing::warn;

use super::{
    WebhookActor,
    parcel::{Errand, Parcel, Tries},
    ready::Ready,
    replay::{self, Choice, Source},
};
use crate::feed::{Read, pages::FramePage};

/// Events that are taken from the ring at once.
const RING_EVENTS: usize = 256;
/// Events that are read ahead at least, and at most.
const AHEAD_MIN: usize = 64;
const AHEAD_MAX: usize = 1_024;
/// Events that may wait behind others with the same ordering key.
const BLOCKED_MAX: usize = 1_000;
/// How far an ordered webhook reads beyond an event that is not settled.
const SPAN_MAX: u64 = 100_000;
/// How long the actor waits before it asks a store again that did not answer.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

impl WebhookActor {
    /// Reads what can be read now.
    pub(super) fn read(&mut self, ctx: &mut Context<Self>) {
        let (key, is_draining) = (self.key, self.is_draining);
        let Some(work) = self.shared.board.work(&key) else {
            return;
        };
        let Some(ready) = self.ready() else { return };
        // Nothing before it was matched, or it is settled.
        if ready.pending.is_empty() && !ready.is_reading {
            ready.slots.move_to(work.from);
        }
        if is_draining || !ready.is_sending() || ready.is_reading {
            return;
        }
        if ready.read_memory(work.upto) {
            self.read_page(work.upto, ctx);
        }
    }

    fn read_page(&mut self, upto: Position, ctx: &mut Context<Self>) {
        let Some(ready) = self.ready() else { return };
        ready.is_reading = true;
        let (feed, log) = (Arc::clone(&ready.feed), Arc::clone(&ready.log));
        let make = || ready.feed.pages(&ready.filter);
        let pages = Arc::clone(ready.pages.get_or_insert_with(make));
        let after = ready.slots.read_to();
        let read = async move { pages.read(&feed, &*log, after, upto).await };
        ctx.spawn(read.into_actor(self).map(Self::page_read));
    }

    fn page_read(
        page: Result<Arc<FramePage>, StoreError>,
        actor: &mut Self,
        ctx: &mut Context<Self>,
    ) {
        let key = actor.key;
        let Some(ready) = actor.ready() else { return };
        match page {
            Ok(page) => {
                ready.is_reading = false;
                ready.page = Some(page);
                actor.step(ctx);
            }
            Err(error) => {
                warn!(webhook.id = %key, %error, "events for {key} could not be read: {error}");
                ctx.run_later(AGAIN_AFTER, |actor, ctx| {
                    if let Some(ready) = actor.ready() {
                        ready.is_reading = false;
                    }
                    actor.step(ctx);
                });
            }
        }
    }

    /// Reads what the running replay sends next.
    pub(super) fn read_replay(&mut self, ctx: &mut Context<Self>) {
        let (key, is_draining) = (self.key, self.is_draining);
        let Some(ready) = self.ready() else { return };
        if is_draining || !ready.is_sending() || ready.replays.is_empty() {
            return;
        }
        let Some((replay, after)) = ready.replays.wants_more() else {
            return;
        };
        let choice = Choice::new(&ready.filter, &replay.types);
        let source = Source {
            tenant: key.tenant,
            webhook: key.no,
            to: replay.to,
            only_failed: replay.only_failed,
        };
        let page = replay::page(Arc::clone(&ready.log), source, choice, after);
        ctx.spawn(page.into_actor(self).map(move |page, actor, ctx| match page {
            Ok(page) => actor.replay_read(replay.id, page, ctx),
            Err(error) => {
                warn!(webhook.id = %key, %error, "a replay for {key} could not be read: {error}");
                ctx.run_later(AGAIN_AFTER, |actor, ctx| {
                    if let Some(ready) = actor.ready() {
                        ready.replays.not_fetched();
                    }
                    actor.step(ctx);
                });
            }
        }));
    }

    fn replay_read(
        &mut self,
        id: domain::ids::ReplayId,
        page: replay::Page,
        ctx: &mut Context<Self>,
    ) {
        let work = self.shared.board.work(&self.key);
        let ahead = work.map(|work| (work.from, work.upto));
        let Some(ready) = self.ready() else { return };
        let mut parcels = Vec::with_capacity(page.found.len());
        let mut spared = 0;
        for (event, made) in page.found {
            if ready.is_coming(event.position, ahead) {
                spared += 1;
                continue;
            }
            parcels.push(Parcel {
                frame: ready.feed.frame(event),
                tries: Tries::anew(made),
                errand: Errand::Replay(id),
            });
        }
        ready.replays.fetched(parcels, spared, page.read_to);
        self.step(ctx);
    }
}

impl Ready {
    /// Takes from the page and the ring what there is room for. Answers whether the store must be asked for what comes next.
    fn read_memory(&mut self, upto: Position) -> bool {
        while self.room() > 0 && self.slots.read_to() < upto {
            let from = self.slots.read_to();
            if let Some(page) = self.page.take_if(|page| page.goes_on_after(from)) {
                self.take_from(&page, upto);
                self.page = Some(page);
                continue;
            }
            self.page = None;
            let limit = self.room().clamp(16, RING_EVENTS);
            let frames = match self.feed.read(from, limit) {
                Read::Frames(frames) if !frames.is_empty() => frames,
                // An empty answer means that the feed was made anew and has not heard of the head.
                Read::Frames(_) | Read::Behind => return true,
            };
            for frame in &frames {
                // What lies beyond has not been matched yet.
                if frame.event.position > upto {
                    return false;
                }
                self.look_at(frame);
            }
        }
        let at = self.slots.read_to();
        self.page.take_if(|page| !page.goes_on_after(at));
        false
    }

    /// Takes from a page what there is room for. Moves on by one event at least, or to the end of what may be read.
    fn take_from(&mut self, page: &FramePage, upto: Position) {
        let room = self.room().max(1);
        let frames = page.frames_after(self.slots.read_to());
        for frame in frames.iter().take(room) {
            if frame.event.position > upto {
                break;
            }
            self.look_at(frame);
        }
        let left = page.frames_after(self.slots.read_to());
        // What lies beyond has not been matched yet.
        if left.first().is_none_or(|next| next.event.position > upto) {
            self.slots.move_to(page.to().min(upto));
        }
    }

    /// How many more events may be read now.
    fn room(&self) -> usize {
        if self.lanes.blocked() >= BLOCKED_MAX
            || (self.webhook.ordered && self.slots.span() >= SPAN_MAX)
        {
            return 0;
        }
        self.ahead().saturating_sub(self.pending.len())
    }

    /// How many events may wait in memory for a slot.
    fn ahead(&self) -> usize {
        (4 * self.slots_max()).clamp(AHEAD_MIN, AHEAD_MAX)
    }
}
