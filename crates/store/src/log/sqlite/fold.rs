//! Turns what a commit writes beside events into rows.
//!
//! What it writes is decided in [`crate::log::fold`].

mod device;

use domain::{breaker::Breaker, position::Position};

use super::{batch::Batch, statement::Kind};
use crate::{
    StoreError,
    log::{
        Attempt, Consume, ConsumerName, Exception, Replay, WebhookNo, WebhookProgress,
        fold::{Fold, Standing, replay_state_no, state_no, to_json, workspace_key},
        stored::write_positions,
    },
};

/// Adds the rows of everything that was folded.
pub(super) fn write(fold: Fold<'_>, batch: &mut Batch) -> Result<(), StoreError> {
    for (tenant_no, fence) in fold.fences {
        batch.row(Kind::Fences).int(tenant_no).count(fence.get());
    }
    for ((webhook, tenant_no), attempt) in fold.attempts {
        write_attempt(batch, webhook, tenant_no, attempt);
    }
    for (((webhook, tenant_no), position), exception) in fold.exceptions {
        match exception {
            Some(exception) => write_exception(batch, webhook, tenant_no, exception),
            None => {
                batch
                    .row(Kind::Cleared)
                    .count(webhook.0)
                    .count(position.get())
                    .int(tenant_no);
            }
        }
    }
    for ((webhook, tenant_no), progress) in fold.progress {
        write_progress(batch, webhook, tenant_no, progress)?;
    }
    for ((webhook, tenant_no), standing) in fold.standings {
        write_standing(batch, webhook, tenant_no, &standing)?;
    }
    for (webhook, tenant_no) in fold.forgotten {
        batch.row(Kind::Forgotten).count(webhook.0).int(tenant_no);
    }
    for (tenant_no, position) in fold.dispatched {
        batch
            .row(Kind::Dispatched)
            .int(tenant_no)
            .count(position.get());
    }
    for ((tenant_no, name), consume) in fold.consumers {
        write_consumer(batch, tenant_no, name, consume);
    }
    for ((tenant_no, _), replay) in fold.replays {
        write_replay(batch, tenant_no, replay)?;
    }
    device::write(fold.devices, batch);
    Ok(())
}

fn write_attempt(batch: &mut Batch, webhook: WebhookNo, tenant_no: i64, attempt: &Attempt) {
    let duration = u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX);
    batch
        .row(Kind::Attempts)
        .count(webhook.0)
        .count(attempt.position.get())
        .int(attempt.attempt.into())
        .int(tenant_no)
        .int(attempt.at.micros())
        .count(duration)
        .maybe_int(attempt.status.map(i64::from))
        .int(state_no(attempt.state))
        .maybe_text(attempt.error.as_deref())
        .bytes(&attempt.response);
}

fn write_exception(batch: &mut Batch, webhook: WebhookNo, tenant_no: i64, exception: &Exception) {
    batch
        .row(Kind::Exceptions)
        .count(webhook.0)
        .count(exception.position.get())
        .int(tenant_no)
        .int(state_no(exception.state))
        .int(exception.attempts.into())
        .int(exception.at.micros())
        .maybe_int(exception.last_status.map(i64::from))
        .maybe_text(exception.last_error.as_deref());
}

fn write_standing(
    batch: &mut Batch,
    webhook: WebhookNo,
    tenant_no: i64,
    standing: &Standing,
) -> Result<(), StoreError> {
    if standing.rests() {
        batch.row(Kind::Rested).count(webhook.0).int(tenant_no);
    }
    match standing.wakes_at() {
        None => Ok(()),
        Some(position) => {
            let row = (position, Breaker::default());
            write_row(batch, Kind::Woken, webhook, tenant_no, row)
        }
    }
}

/// Writes how far a webhook has come. Whether it has work is not its own to say.
fn write_progress(
    batch: &mut Batch,
    webhook: WebhookNo,
    tenant_no: i64,
    progress: &WebhookProgress,
) -> Result<(), StoreError> {
    let row = (progress.cursor, progress.breaker);
    write_row(batch, Kind::Progress, webhook, tenant_no, row)
}

fn write_row(
    batch: &mut Batch,
    kind: Kind,
    webhook: WebhookNo,
    tenant_no: i64,
    (cursor, breaker): (Position, Breaker),
) -> Result<(), StoreError> {
    const HAS_WORK: i64 = 1;
    batch
        .row(kind)
        .count(webhook.0)
        .int(tenant_no)
        .count(cursor.get())
        .int(HAS_WORK)
        .text(&to_json(&breaker)?);
    Ok(())
}

fn write_consumer(batch: &mut Batch, tenant_no: i64, name: &ConsumerName, consume: &Consume) {
    batch
        .row(Kind::Consumers)
        .int(tenant_no)
        .bytes(workspace_key(name))
        .text(&name.name)
        .count(consume.standing.cursor.get())
        .owned_bytes(write_positions(&consume.standing.acked));
}

fn write_replay(batch: &mut Batch, tenant_no: i64, replay: &Replay) -> Result<(), StoreError> {
    batch
        .row(Kind::Replays)
        .bytes(replay.id.as_bytes())
        .int(tenant_no)
        .count(replay.webhook.0)
        .count(replay.from.get())
        .count(replay.to.get())
        .text(&to_json(&replay.types)?)
        .int(replay.only_failed.into())
        .count(replay.cursor.get())
        .count(replay.total)
        .count(replay.done)
        .count(replay.failed)
        .int(replay_state_no(replay.state))
        .int(replay.created_at.micros())
        .int(replay.updated_at.micros());
    Ok(())
}
