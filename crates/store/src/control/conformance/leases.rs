//! Leases: of many who want one, exactly one has it, and its fence says so.

use std::time::Duration;

use domain::{
    fence::Fence,
    ids::{DeviceId, TenantId},
};
use tokio::task::JoinSet;

use super::{Place, expire, fresh_uuid};
use crate::control::{Before, Claim, Control, LeaseKey, LeaseKind, Owner, SessionId};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn a_tenant() -> LeaseKey {
    LeaseKey::Tenant(TenantId::from_uuid(fresh_uuid()))
}

fn granted(fence: u64, from: Before) -> Claim {
    let fence = Fence::new(fence);
    Claim::Granted { fence, from }
}

async fn begin(control: &Control, node: &str) -> SessionId {
    control.begin_session(node, LONG).await.unwrap()
}

async fn claim(control: &Control, session: SessionId, key: &LeaseKey) -> Claim {
    control.claim(session, key).await.unwrap()
}

pub(super) async fn a_lease_that_nobody_had_comes_with_the_first_fence(place: &Place) {
    let control = place.open().await;
    let session = begin(&control, "a").await;
    let key = a_tenant();
    assert_eq!(control.owner(&key).await.unwrap(), None);
    let outcome = claim(&control, session, &key).await;
    assert_eq!(outcome, granted(Fence::FIRST.get(), Before::Fresh));
    let owner = Owner {
        session,
        node: "a".to_owned(),
        fence: Fence::FIRST,
    };
    assert_eq!(control.owner(&key).await.unwrap(), Some(owner));
    assert_eq!(control.live_sessions().await.unwrap()[0].leases, 1);
}

pub(super) async fn a_session_keeps_the_fence_of_what_it_claims_again(place: &Place) {
    let control = place.open().await;
    let session = begin(&control, "a").await;
    let key = a_tenant();
    claim(&control, session, &key).await;
    for _ in 0..2 {
        let outcome = claim(&control, session, &key).await;
        assert_eq!(outcome, granted(1, Before::Mine));
    }
}

pub(super) async fn what_a_session_that_lives_owns_is_held(place: &Place) {
    let (control, other) = (place.open().await, place.open().await);
    let (a, b) = (begin(&control, "a").await, begin(&other, "b").await);
    let key = a_tenant();
    claim(&control, a, &key).await;
    let held = Claim::Held {
        by: a,
        node: "a".to_owned(),
        fence: Fence::FIRST,
    };
    assert_eq!(claim(&other, b, &key).await, held);
    assert_eq!(claim(&other, b, &key).await, held);
}

pub(super) async fn a_released_lease_is_free_and_its_next_fence_is_higher(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let key = a_tenant();
    claim(&control, a, &key).await;
    assert!(control.release(a, &key, Fence::FIRST).await.unwrap());
    assert_eq!(control.owner(&key).await.unwrap(), None);
    let outcome = claim(&control, b, &key).await;
    assert_eq!(outcome, granted(2, Before::Released));
    assert!(control.release(b, &key, Fence::new(2)).await.unwrap());
    let outcome = claim(&control, b, &key).await;
    assert_eq!(outcome, granted(3, Before::Released));
}

pub(super) async fn only_the_owner_releases_and_only_under_its_fence(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let key = a_tenant();
    claim(&control, a, &key).await;
    assert!(!control.release(b, &key, Fence::FIRST).await.unwrap());
    assert!(!control.release(a, &key, Fence::new(2)).await.unwrap());
    assert!(!control.release(a, &a_tenant(), Fence::FIRST).await.unwrap());
    assert_eq!(control.owner(&key).await.unwrap().unwrap().session, a);
    assert!(control.release(a, &key, Fence::FIRST).await.unwrap());
    assert!(!control.release(a, &key, Fence::FIRST).await.unwrap());
}

pub(super) async fn a_release_lifts_the_next_fence_above_what_a_log_has_seen(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let (key, seen) = (a_tenant(), Fence::new(40));
    claim(&control, a, &key).await;
    // Whoever does not own it, or not under this fence, lifts nothing.
    let release = |session, fence, above| {
        let (control, key) = (&control, &key);
        async move { control.release_above(session, key, fence, above).await }
    };
    assert!(!release(b, Fence::FIRST, seen).await.unwrap());
    assert!(!release(a, Fence::new(2), seen).await.unwrap());
    assert!(release(a, Fence::FIRST, seen).await.unwrap());
    assert_eq!(
        claim(&control, b, &key).await,
        granted(41, Before::Released)
    );
    // It never goes back.
    assert!(release(b, seen.next(), seen).await.unwrap());
    assert_eq!(
        claim(&control, a, &key).await,
        granted(42, Before::Released)
    );
}

pub(super) async fn what_an_expired_session_owned_is_stolen(place: &Place) {
    let (control, other) = (place.open().await, place.open().await);
    let (a, b) = (begin(&control, "a").await, begin(&other, "b").await);
    let key = a_tenant();
    claim(&control, a, &key).await;
    expire(&control, a).await;
    assert_eq!(other.owner(&key).await.unwrap(), None);
    assert_eq!(claim(&control, a, &key).await, Claim::SessionGone);
    let outcome = claim(&other, b, &key).await;
    assert_eq!(outcome, granted(2, Before::Stolen));
    assert!(!control.release(a, &key, Fence::FIRST).await.unwrap());
    assert_eq!(control.hand_over(a, &key, b).await.unwrap(), None);
    assert_eq!(other.owner(&key).await.unwrap().unwrap().session, b);
}

pub(super) async fn what_an_ended_session_owned_is_free(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let keys = [a_tenant(), a_tenant()];
    for key in &keys {
        claim(&control, a, key).await;
    }
    control.end_session(a).await.unwrap();
    for key in &keys {
        let outcome = claim(&control, b, key).await;
        assert_eq!(outcome, granted(2, Before::Released));
    }
}

pub(super) async fn a_claimer_whose_session_is_gone_gets_nothing(place: &Place) {
    let control = place.open().await;
    let key = a_tenant();
    let expired = control.begin_session("a", Duration::ZERO).await.unwrap();
    let ended = begin(&control, "a").await;
    control.end_session(ended).await.unwrap();
    for session in [expired, ended] {
        assert_eq!(claim(&control, session, &key).await, Claim::SessionGone);
    }
    let live = begin(&control, "b").await;
    let outcome = claim(&control, live, &key).await;
    assert_eq!(outcome, granted(1, Before::Fresh));
    // Not even the word whose it is.
    assert_eq!(claim(&control, ended, &key).await, Claim::SessionGone);
}

pub(super) async fn of_two_claimers_exactly_one_wins_a_thousand_times(place: &Place) {
    let (control, other) = (place.open().await, place.open().await);
    let (mut a, mut b) = (begin(&control, "a").await, begin(&other, "b").await);
    let key = a_tenant();
    let mut wins = [0, 0];
    for round in 1..=1_000_u64 {
        let claims = {
            let first = (control.clone(), key.clone());
            let second = (other.clone(), key.clone());
            let first = tokio::spawn(async move { first.0.claim(a, &first.1).await });
            let second = tokio::spawn(async move { second.0.claim(b, &second.1).await });
            [
                first.await.unwrap().unwrap(),
                second.await.unwrap().unwrap(),
            ]
        };
        let winner = match &claims {
            [Claim::Granted { fence, .. }, Claim::Held { by, .. }] if *by == a => (0, *fence),
            [Claim::Held { by, .. }, Claim::Granted { fence, .. }] if *by == b => (1, *fence),
            both => panic!("one winner, and the other knows it: {both:?}"),
        };
        assert_eq!(winner.1, Fence::new(round));
        wins[winner.0] += 1;
        // The lease is free again in one of the three ways.
        let session = if winner.0 == 0 { &mut a } else { &mut b };
        match round % 20 {
            0 => {
                expire(&control, *session).await;
                *session = begin(&control, "again").await;
            }
            1 => {
                control.end_session(*session).await.unwrap();
                *session = begin(&control, "again").await;
            }
            _ => assert!(control.release(*session, &key, winner.1).await.unwrap()),
        }
    }
    assert_eq!(wins.iter().sum::<u32>(), 1_000);
}

pub(super) async fn of_many_thieves_exactly_one_gets_what_a_dead_session_owned(place: &Place) {
    let (control, other) = (place.open().await, place.open().await);
    let dead = begin(&control, "dead").await;
    let keys: Vec<LeaseKey> = (0..10).map(|_| a_tenant()).collect();
    for key in &keys {
        claim(&control, dead, key).await;
    }
    expire(&control, dead).await;
    let mut thieves = JoinSet::new();
    for number in 0..6 {
        let control = [&control, &other][number % 2].clone();
        let keys = keys.clone();
        thieves.spawn(async move {
            let session = begin(&control, "thief").await;
            let mut stolen = Vec::new();
            for key in keys {
                match claim(&control, session, &key).await {
                    Claim::Granted { fence, from } => {
                        assert_eq!((fence, from), (Fence::new(2), Before::Stolen));
                        stolen.push(key);
                    }
                    Claim::Held { .. } => {}
                    Claim::SessionGone => panic!("it lives"),
                }
            }
            stolen
        });
    }
    let mut stolen: Vec<LeaseKey> = thieves.join_all().await.concat();
    stolen.sort_unstable();
    assert_eq!(stolen, keys);
}

pub(super) async fn a_session_that_ends_amid_claims_leaves_nothing_behind(place: &Place) {
    let (control, other) = (place.open().await, place.open().await);
    for _ in 0..20 {
        let session = begin(&control, "a").await;
        let mut claims = JoinSet::new();
        for _ in 0..4 {
            let control = control.clone();
            claims.spawn(async move { control.claim(session, &a_tenant()).await });
        }
        other.end_session(session).await.unwrap();
        for outcome in claims.join_all().await {
            let outcome = outcome.unwrap();
            let fits = [granted(1, Before::Fresh), Claim::SessionGone].contains(&outcome);
            assert!(fits, "{outcome:?}");
        }
        let left = other.leases_of(session, LeaseKind::Tenant).await.unwrap();
        assert_eq!(left, []);
    }
}

pub(super) async fn a_lease_is_handed_over_to_a_session_that_lives(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let gone = control.begin_session("c", Duration::ZERO).await.unwrap();
    let key = a_tenant();
    assert_eq!(control.hand_over(a, &key, b).await.unwrap(), None);
    claim(&control, a, &key).await;
    assert_eq!(control.hand_over(a, &key, gone).await.unwrap(), None);
    assert_eq!(control.hand_over(b, &key, b).await.unwrap(), None);
    let fence = control.hand_over(a, &key, b).await.unwrap();
    assert_eq!(fence, Some(Fence::new(2)));
    let owner = control.owner(&key).await.unwrap().unwrap();
    assert_eq!((owner.session, owner.node.as_str()), (b, "b"));
    assert!(!control.release(a, &key, Fence::FIRST).await.unwrap());
    assert_eq!(claim(&control, b, &key).await, granted(2, Before::Mine));
}

pub(super) async fn kinds_do_not_meet(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let tenant = a_tenant();
    let text = TenantId::from_uuid(fresh_uuid()).to_string();
    let job = LeaseKey::Job(text.clone());
    let device = LeaseKey::Device(DeviceId::from_uuid(fresh_uuid()));
    for (session, key) in [(a, &tenant), (b, &job), (a, &device)] {
        let outcome = claim(&control, session, key).await;
        assert_eq!(outcome, granted(1, Before::Fresh));
    }
    let twin = LeaseKey::Tenant(text.parse().unwrap());
    assert_eq!(claim(&control, a, &twin).await, granted(1, Before::Fresh));
}

pub(super) async fn tenants_without_an_owner_are_found_in_their_order(place: &Place) {
    let control = place.open().await;
    let (live, gone) = (begin(&control, "a").await, begin(&control, "b").await);
    let mut tenants: Vec<TenantId> = (0..600)
        .map(|_| TenantId::from_uuid(fresh_uuid()))
        .collect();
    tenants.reverse();
    assert_eq!(control.without_owner(&[]).await.unwrap(), []);
    assert_eq!(control.without_owner(&tenants).await.unwrap(), tenants);
    let mut free = tenants.clone();
    for place in [599, 300, 255, 0] {
        claim(&control, live, &LeaseKey::Tenant(free.remove(place))).await;
    }
    claim(&control, gone, &LeaseKey::Tenant(free[7])).await;
    expire(&control, gone).await;
    assert_eq!(control.without_owner(&tenants).await.unwrap(), free);
}

pub(super) async fn a_session_s_leases_are_listed_by_kind(place: &Place) {
    let control = place.open().await;
    let (a, b) = (begin(&control, "a").await, begin(&control, "b").await);
    let keys = [a_tenant(), a_tenant(), a_tenant()];
    for key in &keys {
        claim(&control, a, key).await;
    }
    claim(&control, a, &LeaseKey::Job("sweep".to_owned())).await;
    claim(&control, b, &a_tenant()).await;
    let tenants = control.leases_of(a, LeaseKind::Tenant).await.unwrap();
    assert_eq!(tenants, keys.map(|key| (key, Fence::FIRST)));
    let jobs = control.leases_of(a, LeaseKind::Job).await.unwrap();
    assert_eq!(jobs, [(LeaseKey::Job("sweep".to_owned()), Fence::FIRST)]);
}
