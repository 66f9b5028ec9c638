//! Who holds a feed, and what is left when nobody does.

use uuid::Uuid;

use super::*;

const LIMITS: RingLimits = RingLimits {
    events_max: 4,
    bytes_max: 4_096,
};

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

#[test]
fn all_who_ask_for_a_tenants_feed_hold_the_same() {
    let feeds = Feeds::default();
    let one = feeds.get(tenant(1), Region::Au, LIMITS);
    let again = feeds.get(tenant(1), Region::Au, LIMITS);
    assert!(Arc::ptr_eq(&one, &again));
}

#[test]
fn a_feed_that_nobody_holds_leaves_nothing_behind() {
    let feeds = Feeds::default();
    let held = feeds.get(tenant(0), Region::Au, LIMITS);
    for number in 1..2_000 {
        drop(feeds.get(tenant(number), Region::Au, LIMITS));
    }
    assert_eq!(feeds.by_tenant.lock().len(), 1);
    drop(held);
    assert!(feeds.by_tenant.lock().is_empty());
}

#[test]
fn a_feed_may_outlive_the_list_of_feeds() {
    let feeds = Feeds::default();
    let held = feeds.get(tenant(1), Region::Au, LIMITS);
    drop(feeds);
    assert_eq!(held.head(), Position::ZERO);
}
