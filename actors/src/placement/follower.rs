//! Keeps a tenant's feed up to date on a node that does not hold the tenant, for as long as somebody reads it.
//!
//! Says that somebody reads, listens to what the owner then tells of its log, and looks at the store once in a while: what was
//! told may have been lost. A feed takes no event twice and none out of order, so a lost message costs its readers a page from
//! the store.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use domain::ids::TenantId;
use futures_util::{StreamExt as _, stream::BoxStream};
use outbound::bus::Topic;
use parking_lot::Mutex;
use store::{StoreError, log::RegionLog};
use tokio::time::Instant;
use tracing::debug;

use super::{
    Placement, log_message,
    readers::{ReaderNews, SAID_AT_ONCE},
};
use crate::{feed::Feed, region::RegionLogs};

/// How often the store's head is looked at while news come in, and while they do not.
const LOOK_EVERY: Duration = Duration::from_secs(3);
const LOOK_EVERY_ALONE: Duration = Duration::from_millis(500);

/// All feeds that are followed on this node.
#[derive(Clone)]
pub(crate) struct Followers {
    inner: Arc<Inner>,
}

struct Inner {
    placement: Placement,
    logs: RegionLogs,
    runtime: tokio::runtime::Handle,
    running: Mutex<HashSet<TenantId>>,
}

impl Followers {
    pub(crate) fn new(
        placement: Placement,
        logs: RegionLogs,
        runtime: tokio::runtime::Handle,
    ) -> Followers {
        Followers {
            inner: Arc::new(Inner {
                placement,
                logs,
                runtime,
                running: Mutex::default(),
            }),
        }
    }

    /// Follows from now on, if nobody does yet. Only after this the store's head may be looked at: what comes later is told.
    pub(crate) fn follow(&self, feed: &Arc<Feed>) {
        let inner = &self.inner;
        let Some(shared) = inner.placement.shared() else {
            return;
        };
        let tenant = feed.tenant();
        if !inner.running.lock().insert(tenant) {
            return;
        }
        let news = match &shared.wire {
            Some(wire) => wire.subscribe(&Topic::Log(tenant)),
            None => futures_util::stream::pending().boxed(),
        };
        let follower = Follower {
            feed: Arc::clone(feed),
            log: inner.logs.get(feed.region()),
            news,
            all: Arc::downgrade(inner),
        };
        inner.runtime.spawn(follower.run());
        inner
            .placement
            .tell_readers(ReaderNews::Reads(vec![tenant]));
    }

    /// Says anew which logs are read here: whoever owns them may not know, or not believe it much longer.
    pub(crate) fn announce(&self) {
        let running: Vec<TenantId> = self.inner.running.lock().iter().copied().collect();
        for tenants in running.chunks(SAID_AT_ONCE) {
            let read = ReaderNews::Reads(tenants.to_vec());
            self.inner.placement.tell_readers(read);
        }
    }

    /// Reads the store's head into the feed: whoever reads it sees whatever was acknowledged before, by whichever node.
    pub(crate) async fn catch_up(&self, feed: &Feed) -> Result<(), StoreError> {
        let log = self.inner.logs.get(feed.region());
        feed.set_head(log.head(feed.tenant()).await?);
        Ok(())
    }

    /// How many feeds are followed.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inner.running.lock().len()
    }
}

struct Follower {
    feed: Arc<Feed>,
    log: Arc<dyn RegionLog>,
    news: BoxStream<'static, Bytes>,
    all: Weak<Inner>,
}

impl Follower {
    async fn run(mut self) {
        let tenant = self.feed.tenant();
        debug!(tenant.id = %tenant, "following {tenant}");
        let mut look_at = Instant::now() + LOOK_EVERY_ALONE;
        let mut is_told = true;
        loop {
            let told = tokio::select! {
                told = self.news.next(), if is_told => Some(told),
                () = tokio::time::sleep_until(look_at) => None,
            };
            match told {
                Some(Some(body)) => take(&self.feed, body),
                Some(None) => is_told = false,
                None => {
                    let Some(pause) = self.look().await else {
                        debug!(tenant.id = %tenant, "nobody follows {tenant} any more");
                        return;
                    };
                    look_at = Instant::now() + pause;
                }
            }
        }
    }

    /// Looks whether somebody reads, and at the store. Answers when to look again; never if it is over.
    async fn look(&mut self) -> Option<Duration> {
        let all = self.all.upgrade()?;
        let tenant = self.feed.tenant();
        if self.is_over(&all) {
            return None;
        }
        match self.log.head(tenant).await {
            Ok(head) => self.feed.set_head(head),
            Err(error) => debug!(tenant.id = %tenant, %error, "the head was not read: {error}"),
        }
        Some(match all.placement.connection() {
            Some(_) => LOOK_EVERY,
            None => LOOK_EVERY_ALONE,
        })
    }

    /// Whether nobody reads any more, or the tenant's own actor feeds the readers.
    fn is_over(&self, all: &Inner) -> bool {
        let tenant = self.feed.tenant();
        // Whoever asks for a follower has the feed already, and asks under this lock.
        let mut running = all.running.lock();
        let is_over = Arc::strong_count(&self.feed) == 1 || all.placement.is_held(tenant);
        if is_over {
            running.remove(&tenant);
        }
        is_over
    }
}

/// Takes over what the owner tells.
fn take(feed: &Feed, body: Bytes) {
    let Some(told) = log_message::decode(body) else {
        return;
    };
    if told.events.is_empty() || !feed.append(&told.events) {
        feed.set_head(told.head);
    }
}
