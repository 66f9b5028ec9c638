//! Events on their way to the store, and what happens when they land.
//!
//! An event alone goes at once. While an append is being written the next one waits in the region's queue and grows, so that
//! batches grow by themselves under load and the disk never waits for this actor.

use std::sync::Arc;

use actix::prelude::*;
use domain::{event::Event, position::Position};
use store::{
    StoreError,
    log::{Append, WriteError},
};
use tracing::warn;

use super::{
    Ingested, Ready, Stage, TenantActor,
    batches::{Batch, Flying},
};
use crate::region::{Enqueue, GrowingAppend, Offer, WriteOutcome, again, landed};

/// Appends that may be on their way: one that is being written, and one that grows meanwhile.
const FLYING_MAX: usize = 2;

impl TenantActor {
    /// Sends what is numbered to the region's writer, as far as appends may be in flight.
    pub(super) fn pass_on(&mut self, ctx: &mut Context<Self>) {
        loop {
            let Stage::Ready(ready) = &mut self.stage else {
                return;
            };
            let Some(batch) = ready.pending.pop() else {
                return;
            };
            let batch = match ready.flying.back_mut() {
                None => batch,
                Some(last) => match last.try_join(batch) {
                    None => continue,
                    Some(batch) => batch,
                },
            };
            if batch.is_talk_only() {
                ready.answer(batch);
            } else if ready.flying.len() < FLYING_MAX {
                self.send(batch, ctx);
            } else {
                ready.pending.unpop(batch);
                return;
            }
        }
    }

    fn send(&mut self, mut batch: Batch, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        // Without events the head that is expected is the one that all in flight lead to.
        let expected_head = match batch.events.first() {
            Some(first) => first.position.prev(),
            None => ready.passed_on(),
        };
        let mut append = Append {
            tenant: self.tenant,
            expected_head,
            events: Vec::new(),
            nodes: Vec::new(),
            answers: Vec::new(),
            sessions: batch.devices.sessions.iter().copied().collect(),
            messages: Vec::new(),
        };
        batch.pour(&mut append);
        let before = ready.flying.back().map(|last| Arc::clone(&last.append));
        let append = GrowingAppend::new(append, before);
        let offer = Offer::Growing(Arc::clone(&append));
        ready.flights += 1;
        let no = ready.flights;
        ready.flying.push_back(Flying {
            no,
            batch,
            append,
            outcome: None,
        });
        let posted = self
            .shared
            .regions
            .post(&ready.region, |reply| Enqueue { offer, reply });
        ctx.spawn(
            landed(posted)
                .into_actor(self)
                .map(move |outcome, actor, ctx| actor.landed(no, outcome, ctx)),
        );
    }

    /// An append has landed. Outcomes are taken in the order in which the appends were sent, whichever is told of first.
    fn landed(&mut self, no: u64, outcome: WriteOutcome, ctx: &mut Context<Self>) {
        if let Stage::Ready(ready) = &mut self.stage
            && let Some(flying) = ready.flying.iter_mut().find(|flying| flying.no == no)
        {
            flying.outcome = Some(outcome);
        }
        while let Some((batch, outcome)) = self.next_landed() {
            match outcome {
                Ok(()) => self.stored(batch, ctx),
                Err(error) => self.failed(batch, &error),
            }
        }
        match &self.stage {
            Stage::Ready(ready) if ready.failing.is_none() => self.pass_on(ctx),
            Stage::Ready(ready) if ready.flying.is_empty() => self.recover(ctx),
            Stage::Ready(_) | Stage::Loading | Stage::Gone => {}
        }
    }

    fn next_landed(&mut self) -> Option<(Batch, WriteOutcome)> {
        let Stage::Ready(ready) = &mut self.stage else {
            return None;
        };
        let outcome = ready.flying.front_mut()?.outcome.take()?;
        let flying = ready.flying.pop_front()?;
        Some((flying.batch, outcome))
    }

    fn stored(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        for event in &batch.events {
            if let Some(dedup_id) = &event.fields.dedup_id {
                ready
                    .dedup
                    .commit(event.workspace, dedup_id, event.id, event.received_at);
            }
        }
        metrics::counter!("events_ingested_total").increment(batch.events.len() as u64);
        let is_next = ready.feed.append(&batch.events);
        if is_next {
            for event in &batch.events {
                ready.dispatcher.dispatch(event, &self.shared.board);
            }
            ready.dispatcher.poke(&self.shared.webhooks);
        } else {
            // Events that nobody here knows of lie between: they are shown and matched when all is loaded anew.
            ready.stop_numbering(&StoreError::Unavailable(
                "the log was written by somebody else; try again".into(),
            ));
        }
        let events = ready.answer(batch);
        self.tell_others(&events);
        self.mark_later(ctx);
    }

    /// An append failed: everything numbered after it fails too, and the head is read anew when nothing flies any more.
    fn failed(&mut self, batch: Batch, error: &WriteError) {
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        warn!(tenant.id = %self.tenant, events = batch.events.len(), %error, "an append of {} failed: {error}", self.tenant);
        let cause = match &ready.failing {
            Some(first) => again(first),
            None => as_store_error(error),
        };
        ready.replaced.note(error);
        ready.refuse(batch, &cause);
        ready.stop_numbering(&cause);
    }
}

impl Ready {
    /// The last position that is stored or on its way.
    fn passed_on(&self) -> Position {
        self.flying
            .iter()
            .rev()
            .find_map(|flying| flying.batch.events.last())
            .map_or_else(|| self.feed.head(), |event| event.position)
    }

    /// Refuses what is numbered and not yet sent: its numbers are of no use any more.
    fn stop_numbering(&mut self, cause: &StoreError) {
        self.failing.get_or_insert_with(|| again(cause));
        while let Some(batch) = self.pending.pop() {
            self.refuse(batch, cause);
        }
    }

    /// Answers those who wait for these events, and gives the events back.
    fn answer(&mut self, batch: Batch) -> Vec<Arc<Event>> {
        for request in batch.requests {
            if let Some(key) = request.key {
                self.answers_in_flight.remove(&key);
            }
            request
                .reply
                .send(Ok(Ingested::Items(request.items, request.standing)));
        }
        batch.events
    }

    fn refuse(&mut self, batch: Batch, cause: &StoreError) {
        for (workspace, dedup_id) in batch.dedup.keys() {
            self.dedup.abort(*workspace, dedup_id);
        }
        for request in batch.requests {
            if let Some(key) = request.key {
                self.answers_in_flight.remove(&key);
            }
            let told = self.replaced.told(request.session, cause);
            request.reply.send(Err(told));
        }
    }
}

/// What the clients of a failed append are told.
fn as_store_error(error: &WriteError) -> StoreError {
    match error {
        WriteError::Store(error) => again(error),
        WriteError::HeadMoved { .. }
        | WriteError::Fenced { .. }
        | WriteError::DeviceFenced { .. }
        | WriteError::AnswerTaken => StoreError::Unavailable(format!("{error}; try again")),
    }
}
