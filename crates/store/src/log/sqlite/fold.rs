//! Boils down what a commit writes about deliveries and readers to one final row a key.
//!
//! Several parts of one commit may speak of the same webhook; their order decides, and statements run kind by kind. So
//! the order is resolved here, in memory, and what comes out can be written in any order.

use std::collections::HashMap;

use domain::{breaker::Breaker, position::Position};

use super::{batch::Batch, statement::Kind};
use crate::{
    StoreError,
    log::{
        Attempt, Consume, ConsumerName, DeliveryState, Dispatch, Exception, Replay, ReplayState,
        Settle, WebhookNo, WebhookProgress,
    },
};

/// A webhook as its tenant knows it; the number of the tenant keeps everybody else out.
type WebhookKey = (WebhookNo, i64);

/// The final rows of a commit.
#[derive(Default)]
pub(super) struct Fold<'a> {
    forgotten: Vec<WebhookKey>,
    attempts: Vec<(WebhookKey, &'a Attempt)>,
    exceptions: HashMap<(WebhookKey, Position), Option<&'a Exception>>,
    progress: HashMap<WebhookKey, &'a WebhookProgress>,
    standings: HashMap<WebhookKey, Standing>,
    dispatched: HashMap<i64, Position>,
    consumers: HashMap<(i64, &'a ConsumerName), &'a Consume>,
    replays: Vec<(i64, &'a Replay)>,
}

/// What a dispatch mark says of a webhook's work.
enum Standing {
    /// That it has work from here on, unless the stored row says so already.
    Woken(Position),
    /// That it has no work.
    Rested,
    /// That it had no work for a moment, and has some again from here on.
    RestedThenWoken(Position),
}

impl<'a> Fold<'a> {
    /// Takes outcomes of one webhook's deliveries.
    pub(super) fn settle(&mut self, tenant_no: i64, settle: &'a Settle) {
        let key = (settle.progress.webhook, tenant_no);
        self.attempts
            .extend(settle.attempts.iter().map(|attempt| (key, attempt)));
        for exception in &settle.exceptions {
            self.exceptions
                .insert((key, exception.position), Some(exception));
        }
        for position in &settle.cleared {
            self.exceptions.insert((key, *position), None);
        }
        self.progress.insert(key, &settle.progress);
    }

    /// Takes a mark of how far a tenant's webhooks have been matched.
    pub(super) fn dispatch(&mut self, tenant_no: i64, dispatch: &'a Dispatch) {
        let mark = self.dispatched.entry(tenant_no).or_default();
        *mark = dispatch.position.max(*mark);
        for (webhook, position) in &dispatch.woken {
            self.standings
                .entry((*webhook, tenant_no))
                .and_modify(|standing| standing.wake(*position))
                .or_insert(Standing::Woken(*position));
        }
        for webhook in &dispatch.rested {
            self.standings
                .entry((*webhook, tenant_no))
                .and_modify(Standing::rest)
                .or_insert(Standing::Rested);
        }
    }

    /// Takes a consumer's new standing.
    pub(super) fn consume(&mut self, tenant_no: i64, consume: &'a Consume) {
        self.consumers.insert((tenant_no, &consume.name), consume);
    }

    /// Takes a replay.
    pub(super) fn replay(&mut self, tenant_no: i64, replay: &'a Replay) {
        self.replays.push((tenant_no, replay));
    }

    /// Drops what was taken of a webhook, and deletes what is stored of it.
    pub(super) fn forget(&mut self, tenant_no: i64, webhook: WebhookNo) {
        let gone = (webhook, tenant_no);
        self.attempts.retain(|(key, _)| *key != gone);
        self.exceptions.retain(|(key, _), _| *key != gone);
        self.progress.remove(&gone);
        self.standings.remove(&gone);
        self.replays
            .retain(|(tenant_no, replay)| (replay.webhook, *tenant_no) != gone);
        self.forgotten.push(gone);
    }

    /// Turns everything into rows.
    pub(super) fn write(self, batch: &mut Batch) -> Result<(), StoreError> {
        for ((webhook, tenant_no), attempt) in self.attempts {
            write_attempt(batch, webhook, tenant_no, attempt);
        }
        for (((webhook, tenant_no), position), exception) in self.exceptions {
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
        for ((webhook, tenant_no), progress) in self.progress {
            write_progress(batch, webhook, tenant_no, progress)?;
        }
        for ((webhook, tenant_no), standing) in self.standings {
            write_standing(batch, webhook, tenant_no, &standing)?;
        }
        for (webhook, tenant_no) in self.forgotten {
            batch.row(Kind::Forgotten).count(webhook.0).int(tenant_no);
        }
        for (tenant_no, position) in self.dispatched {
            batch
                .row(Kind::Dispatched)
                .int(tenant_no)
                .count(position.get());
        }
        for ((tenant_no, name), consume) in self.consumers {
            write_consumer(batch, tenant_no, name, consume);
        }
        for (tenant_no, replay) in self.replays {
            write_replay(batch, tenant_no, replay)?;
        }
        Ok(())
    }
}

impl Standing {
    fn wake(&mut self, position: Position) {
        match self {
            Standing::Rested => *self = Standing::RestedThenWoken(position),
            // It has work already, and that work comes first.
            Standing::Woken(_) | Standing::RestedThenWoken(_) => {}
        }
    }

    fn rest(&mut self) {
        *self = Standing::Rested;
    }
}

/// The number that stands for a state; see the migration.
pub(super) fn state_no(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Retrying => 1,
        DeliveryState::Delivered => 2,
        DeliveryState::Dead => 3,
    }
}

/// The bytes by which a consumer's workspace is known; none for a consumer of the whole tenant.
pub(super) fn workspace_key(name: &ConsumerName) -> &[u8] {
    name.workspace
        .as_ref()
        .map_or(&[], |workspace| &workspace.as_bytes()[..])
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
    if matches!(standing, Standing::Rested | Standing::RestedThenWoken(_)) {
        batch.row(Kind::Rested).count(webhook.0).int(tenant_no);
    }
    match standing {
        Standing::Rested => Ok(()),
        Standing::Woken(position) | Standing::RestedThenWoken(position) => {
            let row = (*position, Breaker::default());
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
    let acked = consume.standing.acked.iter();
    let acked = acked.flat_map(|position| position.get().to_be_bytes());
    batch
        .row(Kind::Consumers)
        .int(tenant_no)
        .bytes(workspace_key(name))
        .text(&name.name)
        .count(consume.standing.cursor.get())
        .owned_bytes(acked.collect());
}

fn write_replay(batch: &mut Batch, tenant_no: i64, replay: &Replay) -> Result<(), StoreError> {
    let state = match replay.state {
        ReplayState::Running => 0,
        ReplayState::Completed => 1,
        ReplayState::Cancelled => 2,
    };
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
        .int(state)
        .int(replay.created_at.micros())
        .int(replay.updated_at.micros());
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Corrupt(format!("could not be written as JSON: {error}")))
}
