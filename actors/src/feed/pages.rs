//! Pages of a log that were read from the store, shared by webhooks with the same filter that read at about the same place.
//!
//! Ten endpoints of one event cost one query and one decoding, and their bodies are built once. Nothing is kept for its own
//! sake: a page lives as long as somebody still takes events from it. What is done with the events is not decided here.

use std::sync::{Arc, Weak};

use domain::{filter::EventFilter, position::Position};
use store::{
    StoreError,
    log::{EventQuery, Order, RegionLog},
};

use super::{Feed, Frame};

/// Events of one page at most.
const PAGE_EVENTS: u32 = 256;
/// Events looked at for one page.
const SCAN_MAX: u32 = 20_000;
const PAGE_BYTES: usize = 1024 * 1024;

/// The pages of one filter.
#[derive(Debug)]
pub struct Pages {
    filter: EventFilter,
    /// Locked while one is read: whoever wants the same one meanwhile waits for it instead of reading it as well.
    latest: tokio::sync::Mutex<Vec<Weak<FramePage>>>,
}

/// Everything that matches in one range of the log.
#[derive(Debug)]
pub struct FramePage {
    after: Position,
    to: Position,
    frames: Vec<Arc<Frame>>,
}

impl Pages {
    pub(super) fn new(filter: EventFilter) -> Pages {
        Pages {
            filter,
            latest: tokio::sync::Mutex::default(),
        }
    }

    /// The filter.
    pub(super) fn filter(&self) -> &EventFilter {
        &self.filter
    }

    /// A page that says what comes right after `after`. One that is read now goes no further than `upto`; one that another
    /// webhook has read may.
    pub async fn read(
        &self,
        feed: &Feed,
        log: &dyn RegionLog,
        after: Position,
        upto: Position,
    ) -> Result<Arc<FramePage>, StoreError> {
        let mut latest = self.latest.lock().await;
        latest.retain(|page| page.strong_count() > 0);
        let known = latest.iter().rev().filter_map(Weak::upgrade);
        if let Some(page) = known.into_iter().find(|page| page.goes_on_after(after)) {
            return Ok(page);
        }
        let query = EventQuery {
            filter: self.filter.clone(),
            after: Some(after),
            before: Some(upto.next()),
            order: Order::Ascending,
            limit: PAGE_EVENTS,
            scan_max: SCAN_MAX,
            bytes_max: PAGE_BYTES,
        };
        let found = log.search(feed.tenant(), &query).await?;
        let page = Arc::new(FramePage {
            after,
            to: found.next.unwrap_or(upto),
            frames: found
                .events
                .into_iter()
                .map(|event| feed.frame(event))
                .collect(),
        });
        latest.push(Arc::downgrade(&page));
        Ok(page)
    }
}

impl FramePage {
    /// Whether the page says what comes right after `cursor`.
    pub fn goes_on_after(&self, cursor: Position) -> bool {
        self.after <= cursor && cursor < self.to
    }

    /// Everything up to here that matches is in the page, from where it begins.
    pub fn to(&self) -> Position {
        self.to
    }

    /// The events after `cursor`, oldest first.
    pub fn frames_after(&self, cursor: Position) -> &[Arc<Frame>] {
        let seen = self
            .frames
            .partition_point(|frame| frame.event.position <= cursor);
        &self.frames[seen..]
    }
}

#[cfg(test)]
mod tests {
    use domain::{ids::TenantId, region::Region};
    use store::log::sqlite::SqliteLog;
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::{
        feed::Feeds,
        webhook::tests::samples::{LIMITS, event},
    };

    fn at(number: u64) -> Position {
        Position::new(number)
    }

    fn feed() -> Arc<Feed> {
        let tenant = TenantId::from_uuid(Uuid::from_u128(1));
        Feeds::default().get(tenant, Region::Au, LIMITS)
    }

    #[test]
    fn a_page_serves_whoever_stands_within_it() {
        let feed = feed();
        let frames = [3, 5].map(|position| feed.frame(event(position, "a")));
        let page = FramePage {
            after: at(2),
            to: at(9),
            frames: frames.to_vec(),
        };
        let serves = [1, 2, 8, 9].map(|cursor| page.goes_on_after(at(cursor)));
        assert_eq!(serves, [false, true, true, false]);
        let next = |cursor| {
            let first = page.frames_after(at(cursor)).first();
            first.map(|frame| frame.event.position)
        };
        assert_eq!([2, 3, 5].map(next), [Some(at(3)), Some(at(5)), None]);
    }

    #[tokio::test]
    async fn webhooks_with_one_filter_share_a_page_for_as_long_as_one_of_them_needs_it() {
        let (folder, feed) = (TempDir::new().unwrap(), feed());
        let log = SqliteLog::open(folder.path(), Region::Au).await.unwrap();
        let filter = EventFilter::default();
        let (one, other) = (feed.pages(&filter), feed.pages(&filter));
        assert!(Arc::ptr_eq(&one, &other));
        let first = one.read(&feed, &log, at(0), at(10)).await.unwrap();
        let again = other.read(&feed, &log, at(4), at(20)).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        drop((first, again));
        let anew = one.read(&feed, &log, at(4), at(20)).await.unwrap();
        assert_eq!(anew.to(), at(20));
    }
}
