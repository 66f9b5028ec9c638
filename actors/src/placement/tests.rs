//! Several nodes on one control plane and one log: who holds what, and what becomes of those who do not any more.

mod hand_over;
mod lost_news;
mod signing;
pub(crate) mod stand;
mod told;

use std::sync::{Arc, atomic::Ordering};

use domain::{fence::Fence, position::Position};
use futures_util::future::join_all;
use store::log::{Consume, Consumer, ConsumerName, Dispatch, Write, WriteError};

use super::*;
use crate::{EngineError, feed::Read};
use stand::{Stand, until};

#[actix::test]
async fn of_two_nodes_that_want_a_tenant_one_gets_it_and_the_other_learns_where_it_lives() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    for round in 0..30 {
        let customer = a.customer(&format!("tenant-{round}")).await;
        let (at_a, at_b) = tokio::join!(
            a.engine.inner.placement.hold(customer.id),
            b.engine.inner.placement.hold(customer.id),
        );
        let owner = stand.owner(customer).await.unwrap();
        let (winner, loser, hold, refusal) = match (at_a, at_b) {
            (Ok(hold), Err(refusal)) => (&a, &b, hold, refusal),
            (Err(refusal), Ok(hold)) => (&b, &a, hold, refusal),
            both => panic!("{both:?}"),
        };
        assert_eq!(owner.session, winner.session());
        assert_eq!((hold.fence(), hold.is_valid()), (owner.fence, true));
        let session = owner.session;
        let node = owner.node;
        assert_eq!(
            refusal,
            NotHeld::Elsewhere {
                session,
                node: node.clone()
            }
        );
        let there = Place::There { session, node };
        assert_eq!(loser.engine.locate(customer.id).await.unwrap(), there);
        assert_eq!(
            winner.engine.locate(customer.id).await.unwrap(),
            Place::Here
        );
    }
}

#[actix::test]
async fn many_who_want_a_tenant_at_once_share_one_claim() {
    let stand = Stand::open().await;
    let a = stand.node("a").await;
    let customer = a.customer("acme").await;
    let wanted = (0..50).map(|_| a.engine.inner.placement.hold(customer.id));
    let holds = join_all(wanted).await;
    assert!(
        holds
            .iter()
            .all(|hold| hold.as_ref().unwrap().fence() == Fence::FIRST)
    );
    assert_eq!(stand.owner(customer).await.unwrap().fence, Fence::FIRST);
}

#[actix::test]
async fn what_nobody_uses_any_more_is_free_for_others() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    let hold = a.engine.inner.placement.hold(customer.id).await.unwrap();
    let other = hold.clone();
    drop(hold);
    assert!(b.engine.inner.placement.hold(customer.id).await.is_err());
    drop(other);
    // It lingers, so whoever comes back has the same one.
    let again = a.engine.inner.placement.hold(customer.id).await.unwrap();
    assert_eq!(again.fence(), Fence::FIRST);
    drop(again);
    until(async || stand.owner(customer).await.is_none()).await;
    let hold = b.engine.inner.placement.hold(customer.id).await.unwrap();
    assert_eq!(hold.fence(), Fence::FIRST.next());
}

#[actix::test]
async fn a_node_that_has_lost_its_session_stops_everything_and_begins_anew() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let lost = a.session();
    let mut told = a.engine.session();
    told.mark_unchanged();
    stand.control.end_session(lost).await.unwrap();
    let taken = b.ingest(customer).await.unwrap();
    assert_eq!(taken.position, Position::new(2));
    a.beat();
    until(async || *told.borrow_and_update() != Some(lost) && told.borrow().is_some()).await;
    until(async || a.engine.inner.tenants.is_empty()).await;
    let refused = a.ingest(customer).await;
    assert!(
        matches!(refused, Err(EngineError::OwnerUnreachable { .. })),
        "{refused:?}"
    );
    assert_eq!(b.ingest(customer).await.unwrap().position, Position::new(3));
    assert_eq!(stand.check_log(customer).await.len(), 3);
}

#[actix::test]
async fn two_nodes_that_both_believe_in_their_ownership_keep_one_log() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let session = b.shared.live_session().unwrap();
    b.shared.holds.forge(customer.id, Fence::FIRST, session);
    let mut accepted = Vec::new();
    for _ in 0..100 {
        let (at_a, at_b) = tokio::join!(a.ingest(customer), b.ingest(customer));
        // Whoever is told "no" may try again; whoever is told "yes" is in the log.
        accepted.extend([at_a, at_b].into_iter().flatten());
    }
    let log = stand.check_log(customer).await;
    assert!(accepted.len() >= 100, "{}", accepted.len());
    for event in accepted {
        let place = usize::try_from(event.position.prev().get()).unwrap();
        assert_eq!(log[place], *event);
    }
}

#[actix::test]
async fn after_a_take_over_a_thousand_late_writes_are_refused_and_the_old_owner_stops() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    stand.control.end_session(a.session()).await.unwrap();
    b.ingest(customer).await.unwrap();
    let (tenant, fence) = (customer.id, Fence::FIRST);
    let late: Vec<Write> = (0..1_000_u32)
        .map(|number| match number % 2 {
            0 => Write::Consume(Consume {
                tenant,
                fence,
                name: ConsumerName {
                    workspace: None,
                    name: format!("c{number}").into(),
                },
                standing: Consumer::default(),
            }),
            _ => Write::Dispatch(Dispatch {
                tenant,
                fence,
                position: Position::new(1),
                woken: Vec::new(),
                rested: Vec::new(),
            }),
        })
        .collect();
    let outcomes = stand.log.commit(&late).await.unwrap();
    let refused = outcomes.iter().filter(
        |outcome| matches!(outcome, Err(WriteError::Fenced { held }) if *held == fence.next()),
    );
    assert_eq!(refused.count(), 1_000);
    // The old owner has not heard of its loss, but its acknowledgement is such a write, and so is the mark that it may write
    // at the same moment: whichever comes first stops it.
    let name = ConsumerName {
        workspace: None,
        name: "billing".into(),
    };
    let what = crate::tenant::Acknowledgement::UpTo(Position::new(1));
    let acknowledged = a.engine.acknowledge(tenant, name, what).await;
    assert!(
        matches!(
            acknowledged,
            Err(EngineError::OwnerUnreachable { .. } | EngineError::Unavailable(_))
        ),
        "{acknowledged:?}"
    );
    until(async || a.engine.inner.tenants.is_empty()).await;
    assert_eq!(b.ingest(customer).await.unwrap().position, Position::new(3));
}

#[actix::test]
async fn readers_on_another_node_see_every_event_once_although_messages_are_lost() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let feed = b.engine.feed(customer.id).await.unwrap();
    assert_eq!(feed.head(), Position::new(1));
    assert!(!b.engine.inner.tenants.is_running(&customer.id));
    stand.wire.lost_percent.store(50, Ordering::Relaxed);
    let reader = {
        let (feed, log) = (Arc::clone(&feed), Arc::clone(&stand.log));
        actix::spawn(async move {
            let mut head = feed.watch();
            let mut seen = Vec::new();
            let mut cursor = Position::ZERO;
            while seen.len() < 200 {
                head.mark_unchanged();
                let events = match feed.read(cursor, 7) {
                    Read::Behind => log
                        .read_after(customer.id, cursor, 7, usize::MAX)
                        .await
                        .unwrap(),
                    Read::Frames(frames) => {
                        frames.iter().map(|frame| (*frame.event).clone()).collect()
                    }
                };
                if events.is_empty() {
                    head.changed().await.unwrap();
                }
                for event in events {
                    cursor = event.position;
                    seen.push(event);
                }
            }
            seen
        })
    };
    for _ in 1..200 {
        a.ingest(customer).await.unwrap();
    }
    let seen = reader.await.unwrap();
    assert_eq!(seen, stand.check_log(customer).await);
}

#[actix::test]
async fn a_follower_ends_when_nobody_reads_and_begins_when_the_owner_has_gone() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let followed = b.engine.feed(customer.id).await.unwrap();
    assert_eq!(b.engine.inner.followers.len(), 1);
    drop(followed);
    until(async || b.engine.inner.followers.len() == 0).await;
    // A reader of the owner's goes on reading when the tenant moves away.
    let feed = a.engine.feed(customer.id).await.unwrap();
    assert_eq!(a.engine.inner.followers.len(), 0);
    let moved = a.engine.move_tenant(customer.id, "b").await.unwrap();
    assert_eq!(moved.id, b.session());
    b.ingest(customer).await.unwrap();
    until(async || feed.head() == Position::new(2)).await;
}

#[actix::test]
async fn a_tenant_is_moved_by_whichever_node_is_asked_and_no_request_is_lost() {
    let stand = Stand::open().await;
    let (a, b, c) = (
        stand.node("a").await,
        stand.node("b").await,
        stand.node("c").await,
    );
    let customer = a.customer("acme").await;
    a.ingest(customer).await.unwrap();
    let loading = async {
        let mut taken = 0;
        for _ in 0..100 {
            let place = a.engine.locate(customer.id).await.unwrap();
            let node = match place {
                Place::Here => &a,
                Place::There { node, .. } if node == "b" => &b,
                Place::There { .. } => &c,
            };
            a.engine.forget_place(customer.id);
            taken += u32::from(node.ingest(customer).await.is_ok());
        }
        taken
    };
    let moving = async {
        for (asked, to) in [(&a, "b"), (&a, "c"), (&c, "b"), (&b, "a")] {
            let moved = asked.engine.move_tenant(customer.id, to).await.unwrap();
            assert_eq!(moved.node, to);
        }
    };
    let (taken, ()) = tokio::join!(loading, moving);
    assert_eq!(stand.owner(customer).await.unwrap().node, "a");
    let log = stand.check_log(customer).await;
    assert_eq!(log.len() as u64, u64::from(taken) + 1);
    let nowhere = a.engine.move_tenant(customer.id, "z").await;
    assert!(
        matches!(nowhere, Err(EngineError::Invalid { .. })),
        "{nowhere:?}"
    );
}

#[actix::test]
async fn a_node_that_leaves_holds_nothing_and_others_go_on_at_once() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let mut customers = Vec::new();
    for number in 0..20 {
        let customer = a.customer(&format!("tenant-{number}")).await;
        a.ingest(customer).await.unwrap();
        customers.push(customer);
    }
    let session = a.session();
    a.engine.leave();
    let there = a.engine.locate(b.customer("other").await.id).await.unwrap();
    let node = "b".to_owned();
    let session_of_b = b.session();
    assert_eq!(
        there,
        Place::There {
            session: session_of_b,
            node
        }
    );
    a.engine
        .inner
        .placement
        .hand_over_all(&*a.engine.inner, Instant::now() + Duration::from_secs(30))
        .await;
    let sessions = stand.control.live_sessions().await.unwrap();
    assert!(sessions.iter().all(|other| other.id != session));
    assert!(a.engine.inner.tenants.is_empty());
    for customer in customers {
        let owner = stand.owner(customer).await;
        assert!(owner.is_none_or(|owner| owner.session == session_of_b));
        assert_eq!(b.ingest(customer).await.unwrap().position, Position::new(2));
    }
}

#[actix::test]
async fn tenants_with_work_and_no_owner_are_shared_by_those_who_are_there() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let stranger = stand.stranger("c");
    let sample = {
        let customer = stranger.customer("sample").await;
        a.ingest(customer).await.unwrap()
    };
    for number in 0..20 {
        let customer = stranger.customer(&format!("tenant-{number}")).await;
        // As if its owner had died before it noted what it matched: the log is longer than its mark.
        let part = Write::Append(store::log::Append {
            tenant: customer.id,
            expected_head: Position::ZERO,
            events: vec![Arc::clone(&sample)],
            nodes: Vec::new(),
            answers: Vec::new(),
            sessions: Vec::new(),
            messages: Vec::new(),
        });
        stand.log.commit(&[part]).await.unwrap().remove(0).unwrap();
    }
    a.engine.inner.placement.node_left("nobody");
    b.engine.inner.placement.node_left("nobody");
    until(async || a.shared.holds.len() + b.shared.holds.len() == 21).await;
    let counts = (a.shared.holds.len(), b.shared.holds.len());
    assert!(counts.0 >= 5 && counts.1 >= 5, "{counts:?}");
}

#[actix::test]
async fn what_another_node_changes_is_not_remembered() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    let customer = a.customer("acme").await;
    let tenant = a.engine.tenant(customer.id).await.unwrap();
    let input = crate::engine::KeyInput {
        name: "second".into(),
        workspace: None,
        permissions: domain::permission::Permissions::all(),
        tier: domain::plan::Tier::None,
        ip_allow: Vec::new(),
        expires_at: None,
    };
    let made = a.engine.create_key(&tenant, input).await.unwrap();
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let ask = async || b.engine.auth().authenticate(made.secret.reveal(), ip).await;
    ask().await.unwrap();
    a.engine
        .revoke_key(customer.id, made.record.id, None)
        .await
        .unwrap();
    until(async || ask().await.is_err()).await;
}

#[actix::test]
async fn a_job_for_all_is_done_by_one() {
    let stand = Stand::open().await;
    let (a, b) = (stand.node("a").await, stand.node("b").await);
    assert!(a.engine.inner.placement.takes_job("sweep").await);
    assert!(!b.engine.inner.placement.takes_job("sweep").await);
    assert!(a.engine.inner.placement.takes_job("sweep").await);
    stand.control.end_session(a.session()).await.unwrap();
    assert!(b.engine.inner.placement.takes_job("sweep").await);
}
