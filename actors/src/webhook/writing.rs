//! Writes outcomes, together: one write at a time, and what comes meanwhile is the next one.
//!
//! A write that fails is tried again until it goes through; its slots stay taken, so a store that does not answer stops
//! deliveries instead of forgetting them.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use domain::{fence::Fence, position::Position, region::Region};
use store::log::{Dispatch, Replay, Settle, WebhookProgress, Write, WriteError};
use tracing::{info, warn};

use super::{Stage, WebhookActor, ready::Ready, settlement::Settlement};
use crate::{
    region::{Enqueue, RegionActor, landed},
    registry::Registry,
    webhook_board::WebhookKey,
};

const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// What one write says, for when it is on disk.
struct Batch {
    settlement: Settlement,
    replays: Vec<Replay>,
    marks: bool,
}

impl WebhookActor {
    /// Writes what has gathered, unless a write is on its way.
    pub(super) fn write(&mut self, ctx: &mut Context<Self>) {
        let (key, now) = (self.key, self.shared.clock.now());
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        let is_due = !ready.settlement.is_empty() || ready.replays.has_moved();
        if !is_due || ready.writing.is_some() {
            return;
        }
        let mut batch = Batch {
            settlement: std::mem::take(&mut ready.settlement),
            replays: ready.replays.take_moved(now),
            marks: false,
        };
        batch.marks =
            !ready.is_marked && (batch.settlement.has_retries() || !batch.replays.is_empty());
        let dead = batch.settlement.dead();
        if dead > 0 {
            warn!(webhook.id = %key, dead, "{dead} deliveries to {key} became dead letters");
        }
        let parts = parts(key, ready, &mut batch);
        let (regions, region) = (self.shared.regions.clone(), ready.region);
        let write = write_until_written(regions, region, parts, key);
        let hold = ready.hold.clone();
        self.reports.stop_listening();
        let written = write
            .into_actor(self)
            .map(move |written, actor, ctx| match written {
                Ok(()) => actor.written(batch, ctx),
                // Everything of the tenant's stops here: its owner writes what became of these, when they have gone out again.
                Err(Replaced { by }) => hold.is_fenced(by),
            });
        let writing = ctx.spawn(written);
        if let Stage::Ready(ready) = &mut self.stage {
            ready.writing = Some(writing);
        }
    }

    /// It is on disk.
    fn written(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let key = self.key;
        let Stage::Ready(ready) = &mut self.stage else {
            return;
        };
        ready.writing = None;
        ready.is_marked |= batch.marks;
        for end in batch.settlement.ends {
            ready.slots.settled(end.position);
            if let Some(retry) = end.again {
                ready.schedule.add(retry);
            }
            if let Some((replay, has_failed)) = end.replay {
                ready.replays.ended(replay, end.position, has_failed);
            }
        }
        ready.replays.written(&batch.replays);
        for replay in &batch.replays {
            if replay.state != store::log::ReplayState::Running {
                let (done, failed) = (replay.done, replay.failed);
                info!(webhook.id = %key, replay.id = %replay.id, done, failed, "replay {} ended", replay.id);
            }
        }
        for reply in batch.settlement.replies {
            reply.send(());
        }
        let finished = self.reports.listen();
        self.finish(finished, ctx);
        self.step(ctx);
    }
}

/// What is to be written. The attempts go from the batch into it; what follows from them stays.
fn parts(key: WebhookKey, ready: &Ready, batch: &mut Batch) -> Vec<Write> {
    let mut parts = Vec::with_capacity(2 + batch.replays.len());
    let cursor = ready.slots.cursor();
    if batch.marks {
        // From now on a restarted engine must look after this webhook, whatever the tenant's next mark says. Should this part
        // land without the outcomes, its cursor must not have passed them.
        parts.push(Write::Dispatch(Dispatch {
            tenant: key.tenant,
            fence: ready.hold.fence(),
            position: Position::ZERO,
            woken: vec![(key.no, ready.slots.cursor_on_disk())],
            rested: Vec::new(),
        }));
    }
    let settlement = &mut batch.settlement;
    parts.push(Write::Settle(Settle {
        tenant: key.tenant,
        fence: ready.hold.fence(),
        progress: WebhookProgress {
            webhook: key.no,
            cursor,
            has_work: true,
            breaker: ready.breaker,
        },
        attempts: std::mem::take(&mut settlement.attempts),
        exceptions: std::mem::take(&mut settlement.exceptions),
        cleared: std::mem::take(&mut settlement.cleared),
    }));
    let replays = batch.replays.iter().map(|replay| Write::Replay {
        tenant: key.tenant,
        fence: ready.hold.fence(),
        replay: replay.clone(),
    });
    parts.extend(replays);
    parts
}

/// Another node holds the tenant.
struct Replaced {
    by: Fence,
}

async fn write_until_written(
    regions: Registry<RegionActor>,
    region: Region,
    parts: Vec<Write>,
    key: WebhookKey,
) -> Result<(), Replaced> {
    let parts = Arc::new(parts);
    let mut pause = AGAIN_FIRST;
    while let Err(error) = write_once(&regions, region, &parts).await {
        if let WriteError::Fenced { held } = error {
            return Err(Replaced { by: held });
        }
        warn!(webhook.id = %key, %error, "outcomes of {key} were not written: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_MAX);
    }
    Ok(())
}

/// Posts all parts before it waits for the first, so that one commit takes them.
async fn write_once(
    regions: &Registry<RegionActor>,
    region: Region,
    parts: &[Write],
) -> Result<(), WriteError> {
    let posted: Vec<_> = parts
        .iter()
        .map(|part| {
            let offer = part.clone().into();
            regions.post(&region, |reply| Enqueue { offer, reply })
        })
        .collect();
    for posted in posted {
        landed(posted).await?;
    }
    Ok(())
}
