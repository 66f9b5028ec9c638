//! Boils down what a commit writes beside events to one final row a key.
//!
//! Several parts of one commit may speak of the same webhook; their order decides, and statements run kind by kind. So
//! the order is resolved here, in memory. What comes out is written in the order of the fields of [`Fold`]. Knows no SQL.

use std::collections::HashMap;

use domain::{fence::Fence, ids::ReplayId, position::Position};

use super::{
    Attempt, Consume, ConsumerName, DeliveryState, Dispatch, Exception, Replay, ReplayState,
    Settle, WebhookNo, WebhookProgress, device::joined::DeviceFold,
};
use crate::StoreError;

/// A webhook as its tenant knows it; the number of the tenant keeps everybody else out.
pub(in crate::log) type WebhookKey = (WebhookNo, i64);

/// The final rows of a commit.
#[derive(Default)]
pub(in crate::log) struct Fold<'a> {
    /// Tenants that somebody holds under a higher fence from now on.
    pub(in crate::log) fences: HashMap<i64, Fence>,
    /// Webhooks of which whatever is stored goes, before anything else is written.
    pub(in crate::log) forgotten: Vec<WebhookKey>,
    /// Attempts; the same one may come twice.
    pub(in crate::log) attempts: Vec<(WebhookKey, &'a Attempt)>,
    /// Exceptions, or `None` for those that are cleared.
    pub(in crate::log) exceptions: HashMap<(WebhookKey, Position), Option<&'a Exception>>,
    /// Where webhooks stand; whether they have work is not their own to say.
    pub(in crate::log) progress: HashMap<WebhookKey, &'a WebhookProgress>,
    /// What marks say of webhooks' work: those that rest first, then those that were woken.
    pub(in crate::log) standings: HashMap<WebhookKey, Standing>,
    /// The highest mark of each tenant.
    pub(in crate::log) dispatched: HashMap<i64, Position>,
    /// The last standing of each consumer.
    pub(in crate::log) consumers: HashMap<(i64, &'a ConsumerName), &'a Consume>,
    /// The last state of each replay.
    pub(in crate::log) replays: HashMap<(i64, ReplayId), &'a Replay>,
    /// What is written of devices.
    pub(in crate::log) devices: DeviceFold<'a>,
}

/// What a dispatch mark says of a webhook's work.
pub(in crate::log) enum Standing {
    /// That it has work from here on, unless the stored row says so already.
    Woken(Position),
    /// That it has no work.
    Rested,
    /// That it had no work for a moment, and has some again from here on.
    RestedThenWoken(Position),
}

impl<'a> Fold<'a> {
    /// Takes a fence that is higher than the stored one.
    pub(in crate::log) fn raise(&mut self, tenant_no: i64, fence: Fence) {
        let held = self.fences.entry(tenant_no).or_insert(fence);
        *held = fence.max(*held);
    }

    /// Takes outcomes of one webhook's deliveries.
    pub(in crate::log) fn settle(&mut self, tenant_no: i64, settle: &'a Settle) {
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
    pub(in crate::log) fn dispatch(&mut self, tenant_no: i64, dispatch: &'a Dispatch) {
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
    pub(in crate::log) fn consume(&mut self, tenant_no: i64, consume: &'a Consume) {
        self.consumers.insert((tenant_no, &consume.name), consume);
    }

    /// Takes a replay.
    pub(in crate::log) fn replay(&mut self, tenant_no: i64, replay: &'a Replay) {
        self.replays.insert((tenant_no, replay.id), replay);
    }

    /// Drops what was taken of a webhook, and deletes what is stored of it.
    pub(in crate::log) fn forget(&mut self, tenant_no: i64, webhook: WebhookNo) {
        let gone = (webhook, tenant_no);
        self.attempts.retain(|(key, _)| *key != gone);
        self.exceptions.retain(|(key, _), _| *key != gone);
        self.progress.remove(&gone);
        self.standings.remove(&gone);
        self.replays
            .retain(|(tenant_no, _), replay| (replay.webhook, *tenant_no) != gone);
        self.forgotten.push(gone);
    }
}

impl Standing {
    /// Whether the webhook is to be without work, be it for a moment.
    pub(in crate::log) fn rests(&self) -> bool {
        matches!(self, Standing::Rested | Standing::RestedThenWoken(_))
    }

    /// From where on the webhook has work.
    pub(in crate::log) fn wakes_at(&self) -> Option<Position> {
        match self {
            Standing::Rested => None,
            Standing::Woken(position) | Standing::RestedThenWoken(position) => Some(*position),
        }
    }

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

/// The number that stands for a state; see the migrations.
pub(in crate::log) fn state_no(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Pending => 0,
        DeliveryState::Retrying => 1,
        DeliveryState::Delivered => 2,
        DeliveryState::Dead => 3,
    }
}

/// The bytes by which a consumer's workspace is known; none for a consumer of the whole tenant.
pub(in crate::log) fn workspace_key(name: &ConsumerName) -> &[u8] {
    name.workspace
        .as_ref()
        .map_or(&[], |workspace| &workspace.as_bytes()[..])
}

/// The number that stands for a replay's state; see the migrations.
pub(in crate::log) fn replay_state_no(state: ReplayState) -> i64 {
    match state {
        ReplayState::Running => 0,
        ReplayState::Completed => 1,
        ReplayState::Cancelled => 2,
    }
}

/// The JSON of a column that holds some.
pub(in crate::log) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Corrupt(format!("could not be written as JSON: {error}")))
}
