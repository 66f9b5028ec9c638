//! A session from its opening to its end, and what the log says about it.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    device::{ByeReason, DeviceEvent, DeviceState, EndReason, Report},
    event::EventType,
};

use super::stand::{Stand, all, change, connect, connected, message, offline, until};
use crate::{
    device::{DeviceItem, OpenError, SessionError},
    engine::DeviceUpdate,
};

#[actix::test]
async fn a_device_goes_through_its_states_and_the_log_says_each_change_once() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    assert_eq!(stand.row().await.state, DeviceState::Connecting);
    let pairing = Report::Pairing {
        qr: Some("2@abc".into()),
        reason: None,
    };
    stand.says(&gateway, &pairing).await;
    assert_eq!(stand.row().await.state, DeviceState::Pairing);
    let shown = stand
        .engine()
        .device_qr(stand.house.id(), stand.device)
        .await;
    assert_eq!(shown.as_deref(), Some("2@abc"));
    for _ in 0..2 {
        stand.says(&gateway, &connected()).await;
    }
    let shown = stand
        .engine()
        .device_qr(stand.house.id(), stand.device)
        .await;
    assert_eq!(shown, None);
    for _ in 0..2 {
        stand.says(&gateway, &offline("no network")).await;
    }
    let row = stand.row().await;
    assert_eq!(
        (row.state, row.reason.as_deref()),
        (DeviceState::Offline, Some("no network"))
    );
    stand.says(&gateway, &connected()).await;
    stand
        .engine()
        .close_session(gateway.session, EndReason::Closed, None);
    let expected = [
        "device.connected",
        "device.disconnected no network",
        "device.connected",
        "device.disconnected closed",
    ];
    stand.until_said(&expected).await;
    let row = stand.row().await;
    assert_eq!((row.state, row.is_live), (DeviceState::Offline, false));
    assert_eq!((row.fence, row.gateway.as_deref()), (1, Some("test/1")));
}

#[actix::test]
async fn what_the_log_says_names_device_gateway_and_fence() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    let event = all(&*stand.house.log, stand.house.id()).await.remove(0);
    assert_eq!(event.fields.device, Some(stand.device));
    assert_eq!(event.workspace, stand.house.workspace);
    assert_eq!(
        event.payload,
        r#"{"fence":1,"gateway":"test/1","state":"connected"}"#
    );
    drop(gateway);
}

#[actix::test]
async fn a_connection_that_is_dropped_without_a_word_is_lost_at_once() {
    let stand = Stand::open().await;
    drop(stand.connected().await);
    stand
        .until_said(&["device.connected", "device.disconnected connection_lost"])
        .await;
    assert_eq!(stand.row().await.state, DeviceState::Offline);
}

#[actix::test]
async fn a_device_that_was_never_connected_to_its_network_ends_in_silence() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    stand
        .engine()
        .close_session(gateway.session.clone(), EndReason::Idle, None);
    stand
        .engine()
        .close_session(gateway.session, EndReason::Closed, None);
    stand.until_quiet().await;
    assert!(stand.said().await.is_empty());
    let row = stand.row().await;
    assert_eq!(
        (row.state, row.reason.as_deref()),
        (DeviceState::Offline, Some("idle"))
    );
}

#[actix::test]
async fn the_newest_session_wins_and_the_older_one_is_told_so() {
    let stand = Stand::open().await;
    let mut older = stand.connected().await;
    let newer = stand.connect().await;
    assert_eq!(older.bye().await, Some(ByeReason::Replaced));
    assert_eq!(older.bye().await, None);
    assert!(newer.session.fence > older.session.fence);
    let late = stand
        .engine()
        .ingest_from_device(&older.session, vec![message("message.received", "1")]);
    assert!(matches!(late.await, Err(SessionError::Replaced)));
    let late = stand.engine().report(&older.session, connected()).await;
    assert!(matches!(late, Err(SessionError::Replaced)));
    stand
        .engine()
        .close_session(older.session, EndReason::ConnectionLost, None);
    stand.says(&newer, &connected()).await;
    let expected = [
        "device.connected",
        "device.disconnected replaced",
        "device.connected",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn a_device_whose_network_gave_it_to_somebody_else_stays_replaced() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    stand.says(&gateway, &offline("replaced")).await;
    drop(gateway);
    stand.until_quiet().await;
    let row = stand.row().await;
    assert_eq!((row.state, row.is_live), (DeviceState::Replaced, false));
    assert_eq!(
        stand.said().await,
        ["device.connected", "device.disconnected replaced"]
    );
}

#[actix::test]
async fn a_last_will_says_more_than_the_engine_could() {
    let stand = Stand::open().await;
    let will = |kind: &str| DeviceEvent {
        id: Box::default(),
        kind: EventType::new(kind).unwrap(),
        at: None,
        key: None,
        data: Bytes::from_static(b"{\"reason\":\"battery\"}"),
    };
    let gateway = stand.connected().await;
    let said = will("device.disconnected");
    stand
        .engine()
        .close_session(gateway.session, EndReason::Will, Some(said));
    stand
        .until_said(&["device.connected", "device.disconnected battery"])
        .await;
    let gateway = stand.connected().await;
    let said = will("sensor.alarm");
    stand
        .engine()
        .close_session(gateway.session, EndReason::Will, Some(said));
    let expected = [
        "device.connected",
        "device.disconnected battery",
        "device.connected",
        "sensor.alarm battery",
        "device.disconnected will",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn events_are_stored_in_order_and_those_sent_again_are_known() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    let events = || {
        vec![
            message("message.received", "1"),
            message("receipt.read", "1"),
        ]
    };
    let first = stand
        .engine()
        .ingest_from_device(&gateway.session, events())
        .await;
    let [DeviceItem::Stored(a), DeviceItem::Stored(b)] = first.unwrap()[..] else {
        panic!("both are new");
    };
    assert_eq!(a.next(), b);
    let next = stand.connect().await;
    let again = stand
        .engine()
        .ingest_from_device(&next.session, events())
        .await;
    assert_eq!(
        again.unwrap(),
        [DeviceItem::Duplicate(a), DeviceItem::Duplicate(b)]
    );
}

#[actix::test]
async fn a_gateway_that_flaps_is_refused_for_a_while() {
    let stand = Stand::open().await;
    for _ in 0..10 {
        stand.connect().await;
    }
    let refused = connect(stand.engine(), stand.key()).await.err();
    assert!(matches!(refused, Some(OpenError::Flapping { .. })));
    let (tenant, device) = (stand.house.id(), stand.device);
    assert!(stand.engine().session_admitted(tenant, device).is_err());
    stand.pass(Duration::from_secs(61)).await;
    assert_eq!(stand.engine().session_admitted(tenant, device), Ok(()));
    stand.connect().await;
}

#[actix::test]
async fn an_operator_ends_a_session_and_a_deleted_device_takes_nothing_any_more() {
    let stand = Stand::open().await;
    let (tenant, device) = (stand.house.id(), stand.device);
    let mut gateway = stand.connected().await;
    assert!(
        stand
            .engine()
            .disconnect_device(tenant, device)
            .await
            .unwrap()
    );
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
    assert!(
        !stand
            .engine()
            .disconnect_device(tenant, device)
            .await
            .unwrap()
    );
    let mut gateway = stand.connected().await;
    let session = gateway.session.clone();
    let gone = stand.engine().delete_device(tenant, None, device, None);
    let gone = gone.await.unwrap();
    stand.engine().forget_device(&gone).await.unwrap();
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
    let late = stand
        .engine()
        .ingest_from_device(&session, vec![message("message.received", "1")]);
    assert!(matches!(late.await, Err(SessionError::Replaced)));
    let gone = connect(stand.engine(), stand.key()).await.err();
    assert!(matches!(gone, Some(OpenError::NotFound)), "{gone:?}");
    let expected = [
        "device.connected",
        "device.disconnected disconnected",
        "device.connected",
        "device.disconnected revoked",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn a_device_that_gets_another_workspace_connects_again_and_sends_there() {
    let stand = Stand::open().await;
    let tenant = stand.house.id();
    let mut gateway = stand.connected().await;
    let input = crate::engine::WorkspaceInput {
        slug: "other".into(),
        name: "Other".into(),
        retention_days: None,
    };
    let other = stand
        .engine()
        .create_workspace(tenant, input)
        .await
        .unwrap();
    let engine = stand.engine();
    let to_other = DeviceUpdate {
        if_version: Some(1),
        ..change(r#"{"workspace":"other"}"#)
    };
    let changed = engine.update_device(tenant, None, stand.device, to_other);
    let changed = changed.await.unwrap();
    assert!(changed.has_changed);
    let changed = changed.device;
    assert_eq!((changed.workspace, changed.version), (other.id, 2));
    let left = engine.leave_workspace(tenant, stand.device);
    left.await.unwrap();
    assert_eq!(gateway.bye().await, Some(ByeReason::Shutdown));
    let again = stand.connect().await;
    assert_eq!(again.session.workspace, other.id);
}

#[actix::test]
async fn an_actor_without_a_session_goes_to_rest() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    stand.pass(Duration::from_secs(60)).await;
    let devices = &stand.engine().inner.devices;
    assert!(devices.actors.is_running(&stand.key()));
    drop(gateway);
    stand.until_quiet().await;
    stand.pass(Duration::from_secs(11)).await;
    until(async || !devices.actors.is_running(&stand.key())).await;
    stand.connect().await;
}

#[actix::test]
async fn what_was_heard_of_a_device_is_noted() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    let before = stand.row().await.last_seen_at;
    stand.pass(Duration::from_secs(5)).await;
    stand.engine().seen(&gateway.session);
    stand.engine().note_seen().await;
    assert!(stand.row().await.last_seen_at > before);
}
