//! Which webhooks have work, and from where: the one thing that a tenant's actor and its webhooks' actors share.
//!
//! The tenant writes a match here before it moves its dispatch mark; the webhook takes itself off when everything that was
//! matched is settled *and on disk*. So a mark that is written says the truth about every webhook (see
//! `docs/decisions/0005-delivery-state.md`). Survives the panic of either side; a restart of the engine rebuilds it.

use std::collections::HashMap;

use domain::{
    ids::{TenantId, WebhookId},
    position::Position,
};
use parking_lot::Mutex;
use store::log::WebhookNo;

/// Names a webhook for actors: whose it is, and both of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WebhookKey {
    /// Whose.
    pub tenant: TenantId,
    /// Its number in the stores.
    pub no: WebhookNo,
    /// Its public name.
    pub id: WebhookId,
}

impl std::fmt::Display for WebhookKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.id.fmt(f)
    }
}

/// What one webhook has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Nothing up to here is for it, or it is settled.
    pub from: Position,
    /// The last event that matched.
    pub upto: Position,
}

/// All webhooks with work.
#[derive(Debug, Default)]
pub struct WebhookBoard {
    works: Mutex<HashMap<WebhookKey, Work>>,
}

impl WebhookBoard {
    /// Notes that the event at `position` is for the webhook. Answers whether the webhook had no work before.
    pub fn matched(&self, key: WebhookKey, position: Position) -> bool {
        let mut works = self.works.lock();
        let mut is_new = false;
        let work = works.entry(key).or_insert_with(|| {
            is_new = true;
            Work {
                from: position.prev(),
                upto: position,
            }
        });
        work.upto = work.upto.max(position);
        is_new
    }

    /// Notes work that the store knows of: everything after `from`, up to `upto`.
    pub fn restore(&self, key: WebhookKey, from: Position, upto: Position) {
        let mut works = self.works.lock();
        let work = works.entry(key).or_insert(Work { from, upto });
        work.upto = work.upto.max(upto);
    }

    /// What the webhook has to do.
    pub fn work(&self, key: &WebhookKey) -> Option<Work> {
        self.works.lock().get(key).copied()
    }

    /// Takes the webhook off if nothing was matched beyond `settled`, which must be on disk. Answers whether it is off.
    pub fn done(&self, key: &WebhookKey, settled: Position) -> bool {
        let mut works = self.works.lock();
        match works.get(key) {
            Some(work) if work.upto > settled => false,
            Some(_) | None => {
                works.remove(key);
                true
            }
        }
    }

    /// Takes the webhook off, whatever it has to do: it was deleted.
    pub fn remove(&self, key: &WebhookKey) {
        self.works.lock().remove(key);
    }

    /// Whether the webhook has work.
    pub fn has_work(&self, key: &WebhookKey) -> bool {
        self.works.lock().contains_key(key)
    }

    /// How many webhooks have work.
    pub fn len(&self) -> usize {
        self.works.lock().len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.works.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const KEY: WebhookKey = WebhookKey {
        tenant: TenantId::from_uuid(Uuid::nil()),
        no: WebhookNo(1),
        id: WebhookId::from_uuid(Uuid::nil()),
    };

    #[test]
    fn a_match_that_comes_while_the_last_is_settled_keeps_the_webhook_on() {
        let board = WebhookBoard::default();
        assert!(board.matched(KEY, Position::new(5)));
        assert!(!board.matched(KEY, Position::new(9)));
        assert!(!board.done(&KEY, Position::new(5)));
        assert_eq!(
            board.work(&KEY).map(|work| work.from),
            Some(Position::new(4))
        );
        assert!(board.done(&KEY, Position::new(9)));
        assert!(!board.has_work(&KEY));
    }
}
