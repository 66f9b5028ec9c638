//! Replays of past events to one webhook: counted, begun, watched.

use domain::{
    filter::{TypeFilter, TypeFilterError},
    ids::{ReplayId, TenantId, WebhookId, WorkspaceId},
    position::Position,
    time::Timestamp,
    webhook::Webhook,
};
use store::log::{Replay, ReplayState, WebhookNo};

use super::{Engine, EngineError, invalid};
use crate::{
    webhook::{
        StartReplay, filter_of,
        replay::{Choice, Source, events_after},
    },
    webhook_board::WebhookKey,
};

/// Replays that one tenant's list goes back to.
const REPLAYS_KEPT: u32 = 10_000;

/// A place in the log, as a caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// By time: events received at it come after it.
    Time(Timestamp),
    /// By position.
    Position(Position),
}

/// What a replay is made from.
#[derive(Clone, Debug)]
pub struct ReplayInput {
    /// The first event; the log's beginning if `None`.
    pub from: Option<Moment>,
    /// The end: events received before a time, or up to a position; the log's end if `None`.
    pub to: Option<Moment>,
    /// Only these types, as patterns; all that the webhook takes if empty.
    pub types: Vec<String>,
    /// Only deliveries that are dead.
    pub only_failed: bool,
    /// Count, and send nothing.
    pub dry_run: bool,
}

/// What became of a wish for a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayStart {
    /// It was counted only.
    DryRun {
        /// How many deliveries it would make.
        total: u64,
    },
    /// It is on its way.
    Started(Replay),
}

impl Engine {
    /// Begins a replay, or counts what it would send.
    pub async fn start_replay(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        webhook: WebhookId,
        input: ReplayInput,
    ) -> Result<ReplayStart, EngineError> {
        check_types(&input.types)?;
        let webhook = self.open_webhook(tenant, confined_to, webhook).await?;
        let head = self.feed(tenant).await?.head();
        let from = match input.from {
            Some(moment) => self.first_at(tenant, moment).await?.max(Position::new(1)),
            None => Position::new(1),
        };
        let to = match input.to {
            Some(moment) => self.last_before(tenant, moment).await?.min(head),
            None => head,
        };
        let now = self.inner.clock.now();
        let mut replay = Replay {
            id: ReplayId::from_uuid(self.fresh_uuid()),
            webhook: WebhookNo(webhook.no),
            from,
            to,
            types: input.types,
            only_failed: input.only_failed,
            cursor: from.prev(),
            total: 0,
            done: 0,
            failed: 0,
            state: ReplayState::Running,
            created_at: now,
            updated_at: now,
        };
        replay.total = self.count(&webhook, &replay).await?;
        if input.dry_run {
            let total = replay.total;
            return Ok(ReplayStart::DryRun { total });
        }
        let key = WebhookKey::of(&webhook);
        let message = |reply| StartReplay {
            replay: replay.clone(),
            reply,
        };
        self.ask_webhook(&key, message).await?;
        Ok(ReplayStart::Started(replay))
    }

    /// One replay.
    pub async fn replay(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        webhook: WebhookId,
        id: ReplayId,
    ) -> Result<Replay, EngineError> {
        let all = self
            .replays(tenant, confined_to, webhook, REPLAYS_KEPT)
            .await?;
        let found = all.into_iter().find(|replay| replay.id == id);
        found.ok_or(EngineError::NotFound("replay"))
    }

    /// A webhook's replays, newest first.
    pub async fn replays(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        webhook: WebhookId,
        limit: u32,
    ) -> Result<Vec<Replay>, EngineError> {
        let webhook = self.open_webhook(tenant, confined_to, webhook).await?;
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let mut replays = log.replays(tenant, false, REPLAYS_KEPT).await?;
        replays.retain(|replay| replay.webhook == WebhookNo(webhook.no));
        replays.truncate(limit as usize);
        Ok(replays)
    }

    async fn count(&self, webhook: &Webhook, replay: &Replay) -> Result<u64, EngineError> {
        let log = self.inner.logs.get(self.region_of(webhook.tenant).await?);
        let choice = Choice::new(&filter_of(webhook), &replay.types);
        let source = Source {
            tenant: webhook.tenant,
            webhook: replay.webhook,
            to: replay.to,
            only_failed: replay.only_failed,
        };
        let (mut total, mut after) = (0, replay.cursor);
        while after < replay.to {
            let (events, read_to) = events_after(&*log, &source, &choice, after).await?;
            total += events.len() as u64;
            after = read_to.max(after.next());
        }
        Ok(total)
    }

    /// The first position at or after a moment.
    pub(super) async fn first_at(
        &self,
        tenant: TenantId,
        moment: Moment,
    ) -> Result<Position, EngineError> {
        match moment {
            Moment::Position(position) => Ok(position),
            Moment::Time(time) => Ok(self.position_before(tenant, time).await?.next()),
        }
    }

    /// The last position before a moment, or the position itself.
    pub(super) async fn last_before(
        &self,
        tenant: TenantId,
        moment: Moment,
    ) -> Result<Position, EngineError> {
        match moment {
            Moment::Position(position) => Ok(position),
            Moment::Time(time) => self.position_before(tenant, time).await,
        }
    }
}

fn check_types(types: &[String]) -> Result<(), EngineError> {
    match TypeFilter::parse_each(types.iter().map(String::as_str)) {
        Ok(_) | Err(TypeFilterError::Empty) => Ok(()),
        Err(error @ TypeFilterError::NotAPattern { index, .. }) => {
            Err(invalid(&format!("/types/{index}"), error.to_string()))
        }
        Err(error @ TypeFilterError::TooMany) => Err(invalid("/types", error.to_string())),
    }
}
