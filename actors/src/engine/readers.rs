//! Tells other nodes which logs are read here, and hears which are read there.
//!
//! So only what somebody reads goes over the wire. Nothing is decided here about what readers get.

use std::sync::{Arc, Weak};

use domain::ids::TenantId;
use futures_util::StreamExt as _;
use outbound::bus::Topic;

use super::Inner;
use crate::placement::{ReaderNews, SAID_EVERY, Shared};

/// Begins to listen, asks all others, and says once in a while what is read here.
pub(super) fn begin(inner: &Arc<Inner>, shared: &Shared) {
    let weak = Arc::downgrade(inner);
    let mut news = shared.hear::<ReaderNews>(&Topic::Readers);
    inner.outside.spawn(async move {
        while let Some(news) = news.next().await {
            let Some(inner) = weak.upgrade() else { return };
            inner.heard_of_readers(news);
        }
    });
    inner.placement.tell_readers(ReaderNews::Asks);
    inner.outside.spawn(say(Arc::downgrade(inner)));
}

async fn say(weak: Weak<Inner>) {
    loop {
        tokio::time::sleep(SAID_EVERY).await;
        let Some(inner) = weak.upgrade() else { return };
        inner.followers.announce();
    }
}

impl Inner {
    fn heard_of_readers(&self, news: ReaderNews) {
        match news {
            ReaderNews::Asks => self.followers.announce(),
            ReaderNews::Reads(tenants) => {
                for tenant in self.placement.note_readers(tenants) {
                    self.tell_where_it_ends(tenant);
                }
            }
        }
    }

    /// Whatever is appended from now on is told to the new reader; what was appended since it looked at the store, is not.
    fn tell_where_it_ends(&self, tenant: TenantId) {
        if self.placement.is_held(tenant)
            && let Some(feed) = self.feeds.find(tenant)
        {
            self.placement.tell_head(tenant, feed.head());
        }
    }
}
