//! What a webhook's actor needs from the stores at its start.
//!
//! Decides where to go on: after everything that is settled, on disk.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{
    breaker::Breaker,
    position::Position,
    rate::{Bucket, Limit},
    region::Region,
    webhook::Webhook,
};
use store::log::{Exception, RegionLog, Replay, WebhookProgress};
use tracing::{debug, info, warn};

use super::{
    Held, Stage, WebhookActor, WebhookContext,
    ordering::Lanes,
    ready::{Meters, Ready, Wake, filter_of},
    replay::Replays,
    request::Recipe,
    schedule::{KEPT_MAX, Schedule},
    settlement::Settlement,
    slots::Slots,
};
use crate::{engine::EngineError, placement::Hold, webhook_board::WebhookKey};

/// Retrying deliveries that are looked at, so that none of them is taken for a new one.
const RETRYING_MAX: u32 = 10_000;
const REPLAYS_MAX: u32 = 1_000;
const AGAIN_FIRST: Duration = Duration::from_millis(250);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// What the stores know of a webhook.
struct Loaded {
    webhook: Webhook,
    region: Region,
    log: Arc<dyn RegionLog>,
    progress: Option<WebhookProgress>,
    /// Everything up to here is settled.
    cursor: Position,
    settled_ahead: Vec<Position>,
    retrying: Vec<Exception>,
    /// The keys of the retrying ones, if the webhook asks for order.
    held: Vec<(Box<str>, Position)>,
    replays: Vec<Replay>,
    hold: Hold,
}

impl WebhookActor {
    /// Loads the state and then handles what has come meanwhile.
    pub(super) fn load(&mut self, ctx: &mut Context<Self>) {
        self.stage = Stage::Loading;
        let load = load(Arc::clone(&self.shared), self.key);
        ctx.spawn(load.into_actor(self).map(|loaded, actor, ctx| match loaded {
            Ok(Some(loaded)) => {
                actor.load_failures = 0;
                actor.stage = Stage::Ready(Box::new(actor.begin(loaded)));
                actor.release(ctx);
                actor.step(ctx);
            }
            Ok(None) => {
                info!(webhook.id = %actor.key, "webhook {} does not exist", actor.key);
                actor.gone(ctx);
                actor.release(ctx);
            }
            // While it is only uncertain whether this node may work, nobody else takes the tenant, and nobody would start this
            // actor again.
            Err(EngineError::OwnerUnreachable { .. })
                if !actor.shared.placement.is_held(actor.key.tenant) =>
            {
                actor.not_held(ctx);
            }
            Err(error) => {
                warn!(webhook.id = %actor.key, %error, "webhook {} could not be loaded: {error}", actor.key);
                let pause = AGAIN_FIRST.saturating_mul(1 << actor.load_failures.min(8));
                actor.load_failures += 1;
                ctx.run_later(pause.min(AGAIN_MAX), Self::load);
            }
        }));
    }

    /// The tenant is not this node's (any more): whoever holds it delivers from now on. Those who wait for an answer are told
    /// that the actor stopped.
    pub(super) fn not_held(&mut self, ctx: &mut Context<Self>) {
        debug!(webhook.id = %self.key, "webhook {} is not delivered here any more", self.key);
        self.lifeline.retire();
        ctx.stop();
    }

    /// The webhook does not exist (any more): nothing is done for it from now on.
    pub(super) fn gone(&mut self, ctx: &mut Context<Self>) {
        if let Stage::Ready(ready) = &mut self.stage {
            let spawned = [ready.writing.take(), ready.stating.take()];
            for handle in spawned.into_iter().flatten() {
                ctx.cancel_future(handle);
            }
        }
        self.stage = Stage::Gone;
        self.shared.board.remove(&self.key);
        self.drained.drain(..).for_each(|reply| reply.send(()));
        self.rest_later(Duration::ZERO, ctx);
    }

    /// Handles what came before the state was there.
    fn release(&mut self, ctx: &mut Context<Self>) {
        for held in std::mem::take(&mut self.waiting) {
            match held {
                Held::Reconfigure(message) => self.reconfigure(message, ctx),
                Held::Resume(message) => self.resume(message, ctx),
                Held::Redeliver(message) => self.redeliver(message, ctx),
                Held::Discard(message) => self.discard(message, ctx),
                Held::StartReplay(message) => self.start_replay(message, ctx),
                Held::Describe(message) => self.describe(message),
            }
        }
    }

    fn begin(&self, loaded: Loaded) -> Ready {
        let Loaded {
            webhook,
            region,
            log,
            progress,
            cursor,
            settled_ahead,
            retrying,
            held,
            replays: unfinished,
            hold,
        } = loaded;
        let breaker = progress
            .as_ref()
            .map_or(Breaker::NEW, |known| known.breaker);
        // A delivery that is tried again has an exception, which is as durable as being settled.
        let parked = retrying.iter().map(|exception| exception.position);
        let slots = Slots::new(cursor, settled_ahead.into_iter().chain(parked));
        let mut schedule = Schedule::default();
        let kept = &retrying[..retrying.len().min(KEPT_MAX)];
        schedule.answered(kept, webhook.retry.attempts_max(), |_| false);
        let mut lanes = Lanes::default();
        for (key, position) in held {
            lanes.hold(&key, position);
        }
        let mut replays = Replays::default();
        for replay in unfinished {
            replays.push(replay, true);
        }
        let feed = self
            .shared
            .feeds
            .get(self.key.tenant, region, self.shared.ring);
        let filter = filter_of(&webhook);
        Ready {
            recipe: Arc::new(Recipe::new(&webhook)),
            pages: None,
            page: None,
            filter,
            webhook: Arc::new(webhook),
            region,
            log,
            feed,
            breaker,
            bucket: Bucket::full(Limit::per_second(0)),
            slots,
            pending: VecDeque::new(),
            due: VecDeque::new(),
            resting: VecDeque::new(),
            lanes,
            schedule,
            replays,
            settlement: Settlement::default(),
            writing: None,
            stating: None,
            is_reading: false,
            is_fetching_due: false,
            is_marked: progress.is_some_and(|progress| progress.has_work),
            is_stale: false,
            wake: Wake::default(),
            idle_since: None,
            was_replayed: false,
            meters: Meters::new(),
            hold,
        }
    }
}

async fn load(shared: Arc<WebhookContext>, key: WebhookKey) -> Result<Option<Loaded>, EngineError> {
    let Some(tenant) = shared.control.tenant(key.tenant).await? else {
        return Ok(None);
    };
    let Some(sealed) = shared.control.webhook(key.tenant, key.id).await? else {
        return Ok(None);
    };
    let webhook = shared.secrets.open_webhook(sealed).await?;
    let hold = shared.placement.hold(key.tenant).await?;
    let log = shared.logs.get(tenant.region);
    // Before the progress and the board are looked at: what they say is at least as new as this mark.
    let dispatched = log.dispatched(key.tenant).await?.unwrap_or_default();
    let progress = log.webhook_progress_of(key.tenant, key.no).await?;
    // Below what stands on the board nothing is owed either, and less is to be looked through.
    let from = shared.board.work(&key).map(|work| work.from);
    let cursor = start(webhook.starts_after, progress.as_ref(), from, dispatched);
    let settled_ahead = log.settled_above(key.tenant, key.no, cursor).await?;
    let retrying = log.retrying(key.tenant, key.no, RETRYING_MAX).await?;
    let held = held_keys(&*log, &webhook, &retrying).await?;
    let mut replays = log.replays(key.tenant, true, REPLAYS_MAX).await?;
    replays.retain(|replay| replay.webhook == key.no);
    replays.reverse();
    Ok(Some(Loaded {
        webhook,
        region: tenant.region,
        log,
        progress,
        cursor,
        settled_ahead,
        retrying,
        held,
        replays,
        hold,
    }))
}

/// Everything up to here is settled. A webhook without work, on the board and in the store, has nothing open up to the
/// tenant's mark, and its cursor is left behind by design. What lies between must not be read again: by now the webhook may
/// choose other events than it did when they were matched.
fn start(
    starts_after: Position,
    progress: Option<&WebhookProgress>,
    on_board_from: Option<Position>,
    dispatched: Position,
) -> Position {
    let settled = progress.map_or(Position::ZERO, |progress| progress.cursor);
    let has_work = progress.is_some_and(|progress| progress.has_work);
    let known = match on_board_from {
        Some(from) => from,
        None if has_work => Position::ZERO,
        None => dispatched,
    };
    starts_after.max(settled).max(known)
}

/// Ordering keys of deliveries that wait for another attempt: what comes after them has to wait too.
async fn held_keys(
    log: &dyn RegionLog,
    webhook: &Webhook,
    retrying: &[Exception],
) -> Result<Vec<(Box<str>, Position)>, EngineError> {
    let mut held = Vec::new();
    if !webhook.ordered {
        return Ok(held);
    }
    for some in retrying.chunks(100) {
        let positions: Vec<Position> = some.iter().map(|exception| exception.position).collect();
        for event in log.read_many(webhook.tenant, &positions).await? {
            let position = event.position;
            held.extend(event.fields.ordering_key.map(|key| (key, position)));
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use store::log::WebhookNo;

    use super::*;

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    fn progress(cursor: u64, has_work: bool) -> WebhookProgress {
        WebhookProgress {
            webhook: WebhookNo(1),
            cursor: at(cursor),
            has_work,
            breaker: Breaker::NEW,
        }
    }

    #[test]
    fn a_webhook_without_work_goes_on_at_the_mark() {
        assert_eq!(
            start(at(2), Some(&progress(5, false)), None, at(90)),
            at(90)
        );
        assert_eq!(start(at(2), None, None, at(90)), at(90));
        assert_eq!(start(at(95), None, None, at(90)), at(95));
        assert_eq!(
            start(at(2), Some(&progress(93, false)), None, at(90)),
            at(93)
        );
    }

    #[test]
    fn a_webhook_with_work_goes_on_where_it_stood() {
        assert_eq!(start(at(2), Some(&progress(5, true)), None, at(90)), at(5));
        assert_eq!(
            start(at(2), Some(&progress(5, true)), Some(at(7)), at(90)),
            at(7)
        );
        assert_eq!(
            start(at(2), Some(&progress(5, false)), Some(at(7)), at(90)),
            at(7)
        );
        assert_eq!(start(at(8), None, Some(at(7)), at(90)), at(8));
    }
}
