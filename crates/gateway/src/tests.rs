//! What holds for a gateway, with an engine of the test's own at the other end of a real connection.

mod asked;
mod engine;
mod kept;

use std::time::Duration;

use bytes::Bytes;
use domain::{
    device::{ByeReason, frame::FromGateway},
    position::Position,
};

use crate::{Builder, DeviceEvent, Ended, EventError, EventType, Gateway, Report, Status};
use engine::{Engine, Peer};

fn event(id: &str) -> DeviceEvent {
    DeviceEvent {
        id: id.into(),
        kind: EventType::new("sensor.read").unwrap(),
        at: None,
        key: None,
        data: Bytes::from(format!("{{\"n\" : {id}}}")),
    }
}

fn builder(engine: &Engine) -> Builder {
    Builder::new(&engine.url(), engine::device(), "ak_test")
        .unwrap()
        .name("test/1")
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
}

fn start(engine: &Engine) -> Gateway {
    builder(engine).start()
}

/// An engine and a gateway that have a session under this fence.
async fn session(fence: u64) -> (Engine, Gateway, Peer) {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let peer = engine.welcome(fence).await;
    gateway.opened().await.unwrap();
    (engine, gateway, peer)
}

#[tokio::test]
async fn an_event_is_answered_with_its_position() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let asking = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.event(event("7")).await }
    });
    let mut peer = engine.welcome(3).await;
    let FromGateway::Event(sent) = peer.next().await else {
        panic!("expected an event");
    };
    assert_eq!(sent, event("7"));
    peer.ack("7", 41).await;
    assert_eq!(asking.await.unwrap(), Ok(Position::new(41)));
    assert_eq!(gateway.opened().await.unwrap().get(), 3);
}

#[tokio::test]
async fn an_event_that_the_engine_does_not_take_is_answered_with_why() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let receipt = gateway.send(event("7")).await.unwrap();
    let mut peer = engine.welcome(1).await;
    peer.event("7").await;
    peer.nack("7", "template_violation").await;
    let Err(EventError::Refused { code, .. }) = receipt.await else {
        panic!("expected a refusal");
    };
    assert_eq!(&*code, "template_violation");
}

#[tokio::test]
async fn what_the_engine_could_not_read_is_not_sent() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let mut wrong = event("7");
    wrong.data = Bytes::from_static(b"{");
    assert!(matches!(
        gateway.event(wrong).await,
        Err(EventError::Refused { .. })
    ));
    let mut own = event("8");
    own.kind = EventType::new("device.connected").unwrap();
    assert!(matches!(
        gateway.event(own).await,
        Err(EventError::Refused { .. })
    ));
}

#[tokio::test]
async fn an_event_without_an_id_gets_one() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let nameless = || DeviceEvent {
        id: "".into(),
        ..event("7")
    };
    let mut peer = engine.welcome(1).await;
    let receipts = [
        gateway.send(nameless()).await.unwrap(),
        gateway.send(nameless()).await.unwrap(),
    ];
    let mut ids = Vec::new();
    for position in 1..=2 {
        let FromGateway::Event(sent) = peer.next().await else {
            panic!("expected an event");
        };
        peer.ack(&sent.id, position).await;
        ids.push(sent.id);
    }
    assert!(!ids[0].is_empty() && ids[0] != ids[1], "{ids:?}");
    for (receipt, position) in receipts.into_iter().zip(1..) {
        assert_eq!(receipt.await, Ok(Position::new(position)));
    }
}

#[tokio::test]
async fn the_last_report_is_said_in_every_session() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    gateway.report(Report::Pairing {
        qr: Some("2@x".to_owned()),
        reason: None,
    });
    gateway.report(Report::Connected { reason: None });
    for fence in 1..=2 {
        let mut peer = engine.welcome(fence).await;
        assert_eq!(
            peer.next().await,
            FromGateway::State(Report::Connected { reason: None })
        );
    }
}

#[tokio::test]
async fn every_report_within_a_session_is_said_in_order() {
    let (_engine, gateway, mut peer) = session(1).await;
    let reports = [
        Report::Pairing {
            qr: None,
            reason: None,
        },
        Report::Connected { reason: None },
        Report::Offline {
            reason: Some("logged_out".to_owned()),
        },
    ];
    for report in &reports {
        gateway.report(report.clone());
    }
    for report in reports {
        assert_eq!(peer.next().await, FromGateway::State(report));
    }
}

#[tokio::test]
async fn a_gateway_whose_session_was_taken_stays_down() {
    for (bye, ended) in [
        (ByeReason::Replaced, Ended::Replaced),
        (ByeReason::Revoked, Ended::Revoked),
    ] {
        let engine = Engine::start().await;
        let gateway = start(&engine);
        let receipt = gateway.send(event("7")).await.unwrap();
        let mut peer = engine.welcome(1).await;
        peer.event("7").await;
        peer.bye(bye).await;
        assert!(peer.ends_with_goodbye().await);
        drop(peer);
        assert_eq!(gateway.ended().await, ended);
        assert_eq!(receipt.await, Err(EventError::Ended(ended.clone())));
        assert_eq!(
            gateway.event(event("8")).await,
            Err(EventError::Ended(ended.clone()))
        );
        assert_eq!(gateway.status(), Status::Ended(ended));
        assert!(engine.has_no_visitor());
    }
}

#[tokio::test]
async fn a_gateway_comes_back_when_the_engine_says_so() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    for (fence, bye) in [(1, ByeReason::Shutdown), (2, ByeReason::Idle)] {
        let mut peer = engine.welcome(fence).await;
        peer.bye(bye).await;
    }
    let _peer = engine.welcome(3).await;
    let mut status = gateway.watch();
    let is_third = |status: &Status| matches!(status, Status::Open { fence } if fence.get() == 3);
    status.wait_for(is_third).await.unwrap();
}

#[tokio::test]
async fn closing_says_goodbye_and_waits_until_the_engine_has_heard_it() {
    let (_engine, gateway, mut peer) = session(1).await;
    let closing = tokio::spawn(async move {
        gateway.close().await;
        gateway.status()
    });
    assert!(peer.ends_with_goodbye().await);
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished());
    peer.answer_goodbye().await;
    assert_eq!(closing.await.unwrap(), Status::Ended(Ended::Closed));
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_session() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    let mut peer = engine.welcome(1).await;
    drop(gateway);
    assert!(peer.ends_with_goodbye().await);
}

#[tokio::test]
async fn only_the_engines_own_word_is_final() {
    let engine = Engine::start().await;
    let gateway = start(&engine);
    engine.refuse("503 Service Unavailable", "").await;
    engine.refuse("404 Not Found", "text/html").await;
    engine
        .refuse("401 Unauthorized", "application/problem+json")
        .await;
    assert_eq!(
        gateway.ended().await,
        Ended::Refused {
            status: 401,
            message: "because".to_owned()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_says_nothing_is_left() {
    let engine = Engine::start().await;
    let _gateway = start(&engine);
    let mut silent = engine.welcome(1).await;
    // The clock runs on as soon as everybody waits: the gateway pings, hears nothing and comes again.
    let mut again = engine.accept().await;
    assert_eq!(silent.next().await, FromGateway::Ping);
    again.welcome(2).await;
}

#[test]
fn settings_are_checked() {
    use crate::SetupError;

    let device = engine::device();
    let error = |url: &str, key: &str| Builder::new(url, device, key).unwrap_err();
    assert_eq!(error("ftp://x", "k"), SetupError::Url);
    assert_eq!(error("x", "k"), SetupError::Url);
    assert_eq!(error("http://x", ""), SetupError::Key);
    assert_eq!(error("http://x", "a\nb"), SetupError::Key);
    let builder = Builder::new("wss://x:1/y/?z", device, "k").unwrap();
    assert_eq!(
        builder.trust_pem(b"nothing").unwrap_err(),
        SetupError::Certificate
    );
}
