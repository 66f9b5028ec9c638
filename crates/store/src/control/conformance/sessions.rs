//! Sessions: how they begin, live on and end.

use std::time::Duration;

use super::{Place, expire};
use crate::control::{Control, NodeSession, Renewal, SessionId};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

async fn listed(control: &Control) -> Vec<SessionId> {
    let sessions = control.live_sessions().await.unwrap();
    sessions.into_iter().map(|session| session.id).collect()
}

pub(super) async fn a_session_lives_from_its_beginning_to_its_end(place: &Place) {
    let control = place.open().await;
    assert_eq!(listed(&control).await, []);
    let id = control.begin_session("node a", LONG).await.unwrap();
    let sessions = control.live_sessions().await.unwrap();
    let [session] = &sessions[..] else {
        panic!("one session: {sessions:?}")
    };
    let NodeSession {
        node,
        started_at,
        expires_at,
        leases,
        ..
    } = session;
    assert_eq!((session.id, node.as_str(), *leases), (id, "node a", 0));
    assert_eq!(*expires_at, started_at.plus(LONG));
    control.end_session(id).await.unwrap();
    control.end_session(id).await.unwrap();
    assert_eq!(listed(&control).await, []);
    assert_eq!(control.reap_sessions().await.unwrap(), 0);
}

pub(super) async fn a_heartbeat_renews_and_one_that_comes_too_late_finds_the_session_lost(
    place: &Place,
) {
    let control = place.open().await;
    let id = control.begin_session("a", LONG).await.unwrap();
    let before = control.live_sessions().await.unwrap()[0].expires_at;
    let renewal = control.renew_session(id, LONG * 2).await.unwrap();
    assert_eq!(renewal, Renewal::Renewed);
    let after = control.live_sessions().await.unwrap()[0].expires_at;
    assert!(after >= before.plus(LONG), "{after} {before}");
    expire(&control, id).await;
    for _ in 0..2 {
        let renewal = control.renew_session(id, LONG).await.unwrap();
        assert_eq!(renewal, Renewal::Lost);
    }
    let other = control.begin_session("a", LONG).await.unwrap();
    assert_ne!(other, id);
    control.end_session(other).await.unwrap();
    let renewal = control.renew_session(other, LONG).await.unwrap();
    assert_eq!(renewal, Renewal::Lost);
}

pub(super) async fn a_session_that_expired_is_not_listed_and_is_reaped_once(place: &Place) {
    let control = place.open().await;
    let live = control.begin_session("a", LONG).await.unwrap();
    for _ in 0..3 {
        control.begin_session("b", Duration::ZERO).await.unwrap();
    }
    assert_eq!(listed(&control).await, [live]);
    assert_eq!(control.reap_sessions().await.unwrap(), 3);
    assert_eq!(control.reap_sessions().await.unwrap(), 0);
    assert_eq!(listed(&control).await, [live]);
}

pub(super) async fn a_heartbeat_that_meets_a_reaping_is_renewed_or_lost_and_never_both(
    place: &Place,
) {
    let (control, other) = (place.open().await, place.open().await);
    for round in 0..100 {
        // Some end before both, some after, and some in between.
        let ttl = Duration::from_micros(round * 50);
        let id = control.begin_session("a", ttl).await.unwrap();
        let (renewal, reaped) = tokio::join!(control.renew_session(id, LONG), async {
            other.reap_sessions().await
        });
        let is_listed = listed(&other).await.contains(&id);
        match renewal.unwrap() {
            Renewal::Renewed => assert_eq!((reaped.unwrap(), is_listed), (0, true)),
            Renewal::Lost => assert!(!is_listed),
        }
        control.end_session(id).await.unwrap();
    }
}

pub(super) async fn an_id_reads_back_from_what_it_shows(place: &Place) {
    let control = place.open().await;
    let id = control.begin_session("a", LONG).await.unwrap();
    let text = id.to_string();
    assert_eq!((text.len(), text.parse::<SessionId>()), (36, Ok(id)));
    assert_eq!(listed(&control).await, [id]);
}
