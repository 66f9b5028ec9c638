//! Turns what a commit writes beside events into rows.
//!
//! What it writes is decided in [`crate::log::fold`]; fences and marks are columns of the tenant and not written here.

mod devices;

use domain::breaker::Breaker;

use super::{
    batch::{Batch, Row},
    statement::Kind,
};
use crate::{
    StoreError,
    log::{
        Attempt, Exception, Replay, WebhookNo, WebhookProgress,
        fold::{Fold, Standing, WebhookKey, replay_state_no, state_no, to_json, workspace_key},
        stored::{signed, write_positions},
    },
};

/// Adds the rows of everything that was folded.
pub(super) fn write<'a>(fold: Fold<'a>, batch: &mut Batch<'a>) -> Result<(), StoreError> {
    for key in fold.forgotten {
        keyed(batch, Kind::Forgotten, key);
    }
    for (key, attempt) in fold.attempts {
        write_attempt(batch, key, attempt);
    }
    for ((key, position), exception) in fold.exceptions {
        match exception {
            Some(exception) => write_exception(batch, key, exception),
            None => {
                keyed(batch, Kind::Cleared, key).count(position.get());
            }
        }
    }
    let mut standings = fold.standings;
    for (key, progress) in fold.progress {
        write_webhook(batch, key, Some(progress), standings.remove(&key))?;
    }
    for (key, standing) in standings {
        write_webhook(batch, key, None, Some(standing))?;
    }
    for ((tenant_no, name), consume) in fold.consumers {
        batch
            .row(Kind::Consumers)
            .int(tenant_no)
            .bytes(workspace_key(name))
            .bytes(name.name.as_bytes())
            .count(consume.standing.cursor.get())
            .bytes(write_positions(&consume.standing.acked));
    }
    for ((tenant_no, _), replay) in fold.replays {
        write_replay(batch, tenant_no, replay)?;
    }
    devices::write(fold.devices, batch);
    Ok(())
}

/// Begins a row with the number of the tenant and of its webhook.
fn keyed<'s, 'a>(
    batch: &'s mut Batch<'a>,
    kind: Kind,
    (webhook, tenant_no): WebhookKey,
) -> Row<'s, 'a> {
    let WebhookNo(webhook_no) = webhook;
    batch.row(kind).int(tenant_no).count(webhook_no)
}

fn write_attempt<'a>(batch: &mut Batch<'a>, key: WebhookKey, attempt: &'a Attempt) {
    let duration = u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX);
    keyed(batch, Kind::Attempts, key)
        .count(attempt.position.get())
        .int(attempt.attempt.into())
        .int(attempt.at.micros())
        .count(duration)
        .maybe_int(attempt.status.map(i64::from))
        .int(state_no(attempt.state))
        .maybe_text(attempt.error.as_deref())
        .bytes(&attempt.response[..]);
}

fn write_exception<'a>(batch: &mut Batch<'a>, key: WebhookKey, exception: &'a Exception) {
    keyed(batch, Kind::Exceptions, key)
        .count(exception.position.get())
        .int(state_no(exception.state))
        .int(exception.attempts.into())
        .int(exception.at.micros())
        .maybe_int(exception.last_status.map(i64::from))
        .maybe_text(exception.last_error.as_deref());
}

/// Adds what outcomes and marks say of a webhook. Marks come after outcomes, whichever was the earlier part.
fn write_webhook(
    batch: &mut Batch<'_>,
    key: WebhookKey,
    progress: Option<&WebhookProgress>,
    standing: Option<Standing>,
) -> Result<(), StoreError> {
    let breaker = progress.map_or_else(Breaker::default, |progress| progress.breaker);
    let rests = standing.as_ref().is_some_and(Standing::rests);
    let woken = standing.and_then(|standing| standing.wakes_at());
    keyed(batch, Kind::Webhooks, key)
        .maybe_int(progress.map(|progress| signed(progress.cursor.get())))
        .text(to_json(&breaker)?)
        .int(rests.into())
        .maybe_int(woken.map(|position| signed(position.get())));
    Ok(())
}

fn write_replay<'a>(
    batch: &mut Batch<'a>,
    tenant_no: i64,
    replay: &'a Replay,
) -> Result<(), StoreError> {
    batch
        .row(Kind::Replays)
        .int(tenant_no)
        .uuid(replay.id.uuid())
        .count(replay.webhook.0)
        .count(replay.from.get())
        .count(replay.to.get())
        .text(to_json(&replay.types)?)
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
