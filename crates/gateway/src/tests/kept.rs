//! Nothing is lost: events over reconnects, and credentials under their fence.

use domain::position::Position;

use super::{engine::Engine, *};
use crate::{Credentials, CredentialsError, Fence};

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_its_order() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let mut receipts = Vec::new();
    let mut peer = {
        let sending = async {
            for id in ["1", "2", "3"] {
                receipts.push(gateway.send(event(id)).await.unwrap());
            }
        };
        tokio::join!(sending, engine.welcome(1)).1
    };
    for id in ["1", "2", "3"] {
        peer.event(id).await;
    }
    peer.ack("2", 10).await;
    let second = receipts.remove(1);
    assert_eq!(second.await, Ok(Position::new(10)));
    drop(peer);
    let mut peer = engine.welcome(2).await;
    peer.event("1").await;
    peer.event("3").await;
    peer.ack("1", 9).await;
    peer.ack("3", 11).await;
    for (receipt, position) in receipts.into_iter().zip([9, 11]) {
        assert_eq!(receipt.await, Ok(Position::new(position)));
    }
}

#[tokio::test]
async fn what_the_engine_had_taken_counts_although_its_answer_comes_during_the_goodbye() {
    let (_engine, gateway, mut peer) = session(1).await;
    let mut receipts = Vec::new();
    for id in ["1", "2", "3"] {
        receipts.push(gateway.send(event(id)).await.unwrap());
        peer.event(id).await;
    }
    peer.bye(ByeReason::Revoked).await;
    peer.ack("1", 9).await;
    peer.nack("2", "template_violation").await;
    assert!(peer.ends_with_goodbye().await);
    drop(peer);
    assert_eq!(gateway.ended().await, Ended::Revoked);
    let answers = futures_util::future::join_all(receipts).await;
    assert_eq!(answers[0], Ok(Position::new(9)));
    assert!(
        matches!(answers[1], Err(EventError::Refused { .. })),
        "{answers:?}"
    );
    assert_eq!(answers[2], Err(EventError::Ended(Ended::Revoked)));
}

#[tokio::test]
async fn an_event_that_was_sent_before_there_was_a_connection_is_kept() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let receipt = gateway.send(event("1")).await.unwrap();
    for _ in 0..3 {
        drop(engine.accept().await);
    }
    let mut peer = engine.welcome(1).await;
    peer.event("1").await;
    peer.ack("1", 5).await;
    assert_eq!(receipt.await, Ok(Position::new(5)));
}

#[tokio::test]
async fn a_full_gateway_makes_its_caller_wait() {
    let engine = Engine::start().await;
    let gateway = builder(&engine).events_in_flight(2).start();
    let sending = tokio::spawn({
        let gateway = gateway.clone();
        async move {
            let mut receipts = Vec::new();
            for id in ["1", "2", "3", "4", "5"] {
                receipts.push(gateway.send(event(id)).await.unwrap());
            }
            receipts.len()
        }
    });
    let mut peer = engine.welcome(1).await;
    peer.event("1").await;
    peer.event("2").await;
    // The gateway still hears and answers, but sends no third event.
    peer.command("cmd_1", domain::device::CommandName::GroupInfo)
        .await;
    assert_eq!(peer.result("cmd_1").await, Err("unsupported".to_owned()));
    assert!(!sending.is_finished());
    for (id, next) in [("1", Some("3")), ("2", Some("4")), ("3", Some("5"))] {
        peer.ack(id, 1).await;
        if let Some(next) = next {
            peer.event(next).await;
        }
    }
    assert_eq!(sending.await.unwrap(), 5);
}

#[tokio::test]
async fn credentials_are_fetched_with_their_fence() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let _peer = engine.welcome(4).await;
    let answering = async {
        let visitor = engine.visitor().await;
        let path = format!("GET /v1/devices/{}/credentials ", super::engine::device());
        assert!(visitor.head.starts_with(&path), "{}", visitor.head);
        assert!(visitor.head.contains("authorization: Bearer ak_test"));
        visitor.answer("200 OK", "ETag: \"4\"\r\n", b"secret").await;
        let visitor = engine.visitor().await;
        visitor
            .answer("204 No Content", "ETag: \"0\"\r\n", b"")
            .await;
    };
    let asking = async {
        let kept = gateway.credentials().await.unwrap();
        assert_eq!(
            kept,
            Credentials {
                fence: Fence::new(4),
                bytes: Some(Bytes::from_static(b"secret"))
            }
        );
        let none = gateway.credentials().await.unwrap();
        assert_eq!(none.bytes, None);
    };
    tokio::join!(answering, asking);
}

#[tokio::test]
async fn credentials_are_kept_under_the_fence_of_the_newest_session_of_ours() {
    let (engine, gateway, peer) = session(4).await;
    let answering = async {
        let visitor = engine.visitor().await;
        assert!(visitor.head.contains("if-match: \"4\""), "{}", visitor.head);
        assert_eq!(visitor.body, b"secret");
        visitor.answer("412 Precondition Failed", "", b"{}").await;
        // It was our own next session, of which the gateway had not heard.
        drop(peer);
        let peer = engine.welcome(5).await;
        let visitor = engine.visitor().await;
        assert!(visitor.head.contains("if-match: \"5\""), "{}", visitor.head);
        visitor.answer("204 No Content", "", b"").await;
        peer
    };
    let asking = gateway.put_credentials(Bytes::from_static(b"secret"));
    let (_peer, kept) = tokio::join!(answering, asking);
    kept.unwrap();
}

#[tokio::test]
async fn a_gateway_whose_session_was_taken_cannot_spoil_the_credentials() {
    let (engine, gateway, mut peer) = session(4).await;
    let answering = async move {
        let visitor = engine.visitor().await;
        visitor.answer("412 Precondition Failed", "", b"{}").await;
        peer.bye(ByeReason::Replaced).await;
        assert!(peer.ends_with_goodbye().await);
    };
    let asking = gateway.put_credentials(Bytes::from_static(b"secret"));
    let ((), kept) = tokio::join!(answering, asking);
    assert!(matches!(kept, Err(CredentialsError::Fenced)), "{kept:?}");
    assert_eq!(gateway.ended().await, Ended::Replaced);
}
