//! Which webhooks have work, and from where: the one thing that a tenant's actor and its webhooks' actors share.
//!
//! The tenant writes a match here before it moves its dispatch mark; the webhook takes itself off when everything that was
//! matched is settled *and on disk*. So a mark that is written says the truth about every webhook (see
//! `docs/decisions/0005-delivery-state.md`). Survives the panic of either side; a restart of the engine rebuilds it.

use std::collections::{HashMap, hash_map::Entry};

use domain::{
    ids::{TenantId, WebhookId},
    position::Position,
    webhook::Webhook,
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

impl WebhookKey {
    /// The webhook of that tenant with that number and that name.
    pub fn new(tenant: TenantId, no: u64, id: WebhookId) -> WebhookKey {
        WebhookKey {
            tenant,
            no: WebhookNo(no),
            id,
        }
    }

    /// What names this webhook.
    pub fn of(webhook: &Webhook) -> WebhookKey {
        WebhookKey::new(webhook.tenant, webhook.no, webhook.id)
    }
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

/// All webhooks with work, by tenant. A tenant without any has no entry.
#[derive(Debug, Default)]
pub struct WebhookBoard {
    works: Mutex<HashMap<TenantId, HashMap<WebhookKey, Work>>>,
}

impl WebhookBoard {
    /// Notes that the event at `position` is for the webhook. Answers whether the webhook had no work before.
    pub fn matched(&self, key: WebhookKey, position: Position) -> bool {
        let mut works = self.works.lock();
        let mut is_new = false;
        let work = works.entry(key.tenant).or_default();
        let work = work.entry(key).or_insert_with(|| {
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
        let work = works.entry(key.tenant).or_default();
        let work = work.entry(key).or_insert(Work { from, upto });
        work.upto = work.upto.max(upto);
    }

    /// What the webhook has to do.
    pub fn work(&self, key: &WebhookKey) -> Option<Work> {
        self.works.lock().get(&key.tenant)?.get(key).copied()
    }

    /// Takes the webhook off if nothing was matched beyond `settled`, which must be on disk. Answers whether it is off.
    pub fn done(&self, key: &WebhookKey, settled: Position) -> bool {
        let mut works = self.works.lock();
        let work = works.get(&key.tenant).and_then(|works| works.get(key));
        if work.is_some_and(|work| work.upto > settled) {
            return false;
        }
        take_off(&mut works, key);
        true
    }

    /// Takes the webhook off, whatever it has to do: it was deleted.
    pub fn remove(&self, key: &WebhookKey) {
        take_off(&mut self.works.lock(), key);
    }

    /// Takes all webhooks of a tenant off, whatever they have to do: the tenant is not this node's any more.
    pub fn forget_tenant(&self, tenant: TenantId) {
        self.works.lock().remove(&tenant);
    }

    /// Whether the webhook has work.
    pub fn has_work(&self, key: &WebhookKey) -> bool {
        let works = self.works.lock();
        let works = works.get(&key.tenant);
        works.is_some_and(|works| works.contains_key(key))
    }

    /// Whether any webhook of the tenant has work.
    pub fn has_tenant(&self, tenant: TenantId) -> bool {
        self.works.lock().contains_key(&tenant)
    }

    /// How many webhooks have work.
    pub fn len(&self) -> usize {
        self.works.lock().values().map(HashMap::len).sum()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.works.lock().is_empty()
    }
}

fn take_off(works: &mut HashMap<TenantId, HashMap<WebhookKey, Work>>, key: &WebhookKey) {
    if let Entry::Occupied(mut tenant) = works.entry(key.tenant) {
        tenant.get_mut().remove(key);
        if tenant.get().is_empty() {
            tenant.remove();
        }
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

    #[test]
    fn a_tenant_that_goes_takes_its_webhooks_with_it_and_no_other() {
        let board = WebhookBoard::default();
        let tenant = TenantId::from_uuid(Uuid::from_u128(2));
        board.matched(KEY, Position::new(5));
        board.restore(
            WebhookKey { tenant, ..KEY },
            Position::ZERO,
            Position::new(1),
        );
        board.forget_tenant(tenant);
        assert!(!board.has_tenant(tenant));
        assert!(board.has_work(&KEY));
        board.remove(&KEY);
        assert!(board.is_empty());
    }
}
