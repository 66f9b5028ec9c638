//! Dead letters: listed, tried again, deleted.

use std::collections::{HashMap, hash_map::Entry};

use domain::{
    event::EventType,
    ids::{DeliveryId, EventId, TenantId, WebhookId, WorkspaceId},
    position::Position,
    webhook::{Webhook, delivery_place},
};
use store::log::{DeadLetterQuery, DeliveryState, Exception, RegionLog, WebhookNo};

use super::{
    Engine, EngineError,
    deliveries::{events_at, id_of},
    replays::Moment,
};
use crate::{
    webhook::{Discard, Redeliver},
    webhook_board::WebhookKey,
};

/// Dead letters that are handled at once.
const PAGE: u32 = 500;

/// One dead letter with its public names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The delivery's id.
    pub id: DeliveryId,
    /// To which webhook.
    pub webhook: WebhookId,
    /// Of which event; `None` if that is no longer kept.
    pub event: Option<(EventId, EventType)>,
    /// What the log knows of it: attempts, when it died, of what.
    pub letter: Exception,
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLetterFilter {
    /// Of this webhook only.
    pub webhook: Option<WebhookId>,
    /// Of events from here …
    pub from: Option<Moment>,
    /// … to here.
    pub to: Option<Moment>,
    /// Only those after this one in the list.
    pub after: Option<(Position, WebhookNo)>,
}

impl Engine {
    /// Dead letters, newest event first. Answers fewer than `limit` at the end of the list only; the place of the last one
    /// is `(letter.position, letter.webhook)`.
    pub async fn dead_letters(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        filter: DeadLetterFilter,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, EngineError> {
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let mut query = self.dead_query(tenant, confined_to, &filter).await?;
        let mut seen: HashMap<WebhookNo, Option<WebhookId>> = HashMap::new();
        let mut letters = Vec::new();
        loop {
            query.limit = limit;
            let page = log.dead_letters(tenant, &query).await?;
            let is_last = page.len() < limit as usize;
            query.after = page.last().map(|letter| (letter.position, letter.webhook));
            for letter in page {
                let no = letter.webhook;
                let webhook = match seen.entry(no) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let webhook = self.webhook_by_no(tenant, confined_to, no).await;
                        *new.insert(found(webhook)?.map(|webhook| webhook.id))
                    }
                };
                if letters.len() < limit as usize
                    && let Some(webhook) = webhook
                {
                    letters.push((webhook, letter));
                }
            }
            if is_last || letters.len() == limit as usize {
                break;
            }
        }
        let positions = letters.iter().map(|(_, letter)| letter.position);
        let events = events_at(&*log, tenant, positions.collect()).await?;
        let view = |(webhook, letter): (WebhookId, Exception)| {
            let event = events.get(&letter.position);
            DeadLetter {
                id: id_of(letter.webhook, letter.position, event),
                webhook,
                event: event.map(|event| (event.id, event.kind.clone())),
                letter,
            }
        };
        Ok(letters.into_iter().map(view).collect())
    }

    /// One dead letter.
    pub async fn dead_letter(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeliveryId,
    ) -> Result<DeadLetter, EngineError> {
        let (_, letter) = self.find_dead_letter(tenant, confined_to, id).await?;
        Ok(letter)
    }

    /// Tries one dead letter again, now and with a fresh schedule.
    pub async fn replay_dead_letter(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeliveryId,
    ) -> Result<(), EngineError> {
        let (webhook, letter) = self.find_dead_letter(tenant, confined_to, id).await?;
        self.redeliver(&webhook, vec![letter.letter]).await
    }

    /// Tries all dead letters of a choice again. Answers how many there were.
    pub async fn replay_dead_letters(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        filter: DeadLetterFilter,
    ) -> Result<u64, EngineError> {
        let (mut filter, mut count) = (filter, 0);
        loop {
            let page = self.dead_letters(tenant, confined_to, filter, PAGE).await?;
            let is_last = page.len() < PAGE as usize;
            count += page.len() as u64;
            filter.after = page
                .last()
                .map(|dead| (dead.letter.position, dead.letter.webhook));
            let mut by_webhook: HashMap<WebhookId, Vec<Exception>> = HashMap::new();
            for dead in page {
                by_webhook
                    .entry(dead.webhook)
                    .or_default()
                    .push(dead.letter);
            }
            for (id, letters) in by_webhook {
                let webhook = self.open_webhook(tenant, confined_to, id).await;
                if let Some(webhook) = found(webhook)? {
                    self.redeliver(&webhook, letters).await?;
                }
            }
            if is_last {
                return Ok(count);
            }
        }
    }

    /// Deletes a dead letter. Its attempts stay in the delivery log.
    pub async fn delete_dead_letter(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeliveryId,
    ) -> Result<(), EngineError> {
        let (webhook, letter) = self.find_dead_letter(tenant, confined_to, id).await?;
        let positions = vec![letter.letter.position];
        let message = |reply| Discard { positions, reply };
        let key = WebhookKey::of(&webhook);
        self.ask_webhook(&key, message).await
    }

    async fn redeliver(
        &self,
        webhook: &Webhook,
        letters: Vec<Exception>,
    ) -> Result<(), EngineError> {
        let key = WebhookKey::of(webhook);
        let message = |reply| Redeliver { letters, reply };
        self.ask_webhook(&key, message).await
    }

    async fn find_dead_letter(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        id: DeliveryId,
    ) -> Result<(Webhook, DeadLetter), EngineError> {
        const NONE: EngineError = EngineError::NotFound("dead letter");
        let (no, position) = delivery_place(id).ok_or(NONE)?;
        let webhook = self.webhook_by_no(tenant, confined_to, WebhookNo(no)).await;
        let webhook = found(webhook)?.ok_or(NONE)?;
        let log = self.inner.logs.get(self.region_of(tenant).await?);
        let letter = letter_at(&*log, tenant, WebhookNo(no), position)
            .await?
            .ok_or(NONE)?;
        let event = log.read_at(tenant, position).await?;
        if id_of(WebhookNo(no), position, event.as_ref()) != id {
            return Err(NONE);
        }
        let letter = DeadLetter {
            id,
            webhook: webhook.id,
            event: event.map(|event| (event.id, event.kind)),
            letter,
        };
        Ok((webhook, letter))
    }

    async fn dead_query(
        &self,
        tenant: TenantId,
        confined_to: Option<WorkspaceId>,
        filter: &DeadLetterFilter,
    ) -> Result<DeadLetterQuery, EngineError> {
        let webhook = match filter.webhook {
            Some(id) => Some(WebhookNo(
                self.open_webhook(tenant, confined_to, id).await?.no,
            )),
            None => None,
        };
        let from = match filter.from {
            Some(moment) => Some(self.first_at(tenant, moment).await?),
            None => None,
        };
        let to = match filter.to {
            Some(moment) => Some(self.last_before(tenant, moment).await?),
            None => None,
        };
        Ok(DeadLetterQuery {
            webhook,
            after: filter.after,
            from,
            to,
            limit: PAGE,
        })
    }
}

/// The dead letter at a position.
async fn letter_at(
    log: &dyn RegionLog,
    tenant: TenantId,
    webhook: WebhookNo,
    position: Position,
) -> Result<Option<Exception>, EngineError> {
    let query = DeadLetterQuery {
        webhook: Some(webhook),
        after: None,
        from: Some(position),
        to: Some(position),
        limit: 1,
    };
    let letters = log.dead_letters(tenant, &query).await?;
    let is_dead = |letter: &Exception| letter.state == DeliveryState::Dead;
    Ok(letters.into_iter().find(is_dead))
}

/// A webhook that the caller does not see, or that has gone meanwhile, is none.
fn found(webhook: Result<Webhook, EngineError>) -> Result<Option<Webhook>, EngineError> {
    match webhook {
        Ok(webhook) => Ok(Some(webhook)),
        Err(EngineError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
