//! What becomes of sessions when actors, nodes and stores fail.

use std::time::Duration;

use domain::{
    device::{ByeReason, DeviceState, EndReason},
    fence::Fence,
};

use super::stand::{Stand, message, offline, until};
use crate::{
    device::{OpenError, OpenSession, SessionError, Transport, link, messages::Taken},
    engine::{ActorKind, EngineError},
    webhook::tests::retention::{keep_for_a_day, remove},
};

#[actix::test]
async fn a_panic_closes_the_connection_without_a_goodbye_and_the_end_is_said_once() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    let key = stand.device.to_string();
    assert!(stand.engine().inject_panic(ActorKind::Device, &key));
    assert_eq!(gateway.bye().await, None);
    assert!(!gateway.session.is_over());
    stand
        .engine()
        .close_session(gateway.session, EndReason::ConnectionLost, None);
    let ended = ["device.connected", "device.disconnected connection_lost"];
    stand.until_said(&ended).await;
    assert_eq!(stand.row().await.state, DeviceState::Offline);
    stand.connected().await;
}

#[actix::test]
async fn a_session_whose_actor_died_is_said_to_be_lost_when_the_next_one_is_opened() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    let key = stand.device.to_string();
    assert!(stand.engine().inject_panic(ActorKind::Device, &key));
    assert_eq!(gateway.bye().await, None);
    let newer = stand.connected().await;
    stand
        .engine()
        .close_session(gateway.session, EndReason::ConnectionLost, None);
    let expected = [
        "device.connected",
        "device.disconnected lost",
        "device.connected",
    ];
    stand.until_said(&expected).await;
    drop(newer);
}

#[actix::test]
async fn a_killed_node_leaves_a_device_that_is_shown_offline_and_said_to_be_lost_once() {
    let Stand { house, device } = Stand::open().await;
    let stand = Stand { house, device };
    let gateway = stand.connected().await;
    let house = stand.house.kill_and_restart().await;
    drop(gateway);
    let stand = Stand { house, device };
    let shown = stand.engine().device(stand.house.id(), None, device).await;
    assert_eq!(shown.unwrap().state, DeviceState::Offline);
    assert_eq!(stand.row().await.state, DeviceState::Connected);
    let again = stand.connect().await;
    let lost = ["device.connected", "device.disconnected lost"];
    stand.until_said(&lost).await;
    stand.says(&again, &super::stand::connected()).await;
    drop(again);
    let expected = [
        "device.connected",
        "device.disconnected lost",
        "device.connected",
        "device.disconnected connection_lost",
    ];
    stand.until_said(&expected).await;
}

/// A device whose last time began two days ago or, if there were two, now, when its node is killed; only a day is kept.
async fn long_connected(times: usize) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    let stand = Stand::open().await;
    keep_for_a_day(&stand.house).await;
    let gateway = stand.connected().await;
    if times == 2 {
        stand.says(&gateway, &offline("no network")).await;
        stand
            .until_said(&["device.connected", "device.disconnected no network"])
            .await;
    } else {
        stand.until_said(&["device.connected"]).await;
    }
    stand.pass(DAY * 2).await;
    if times == 2 {
        stand.says(&gateway, &super::stand::connected()).await;
        let said = [
            "device.connected",
            "device.disconnected no network",
            "device.connected",
        ];
        stand.until_said(&said).await;
    }
    remove(&stand.house).await;
    assert_eq!(stand.said().await.len(), times - 1);
    let device = stand.device;
    let house = stand.house.kill_and_restart().await;
    let stand = Stand { house, device };
    let again = stand.connect().await;
    let lost = ["device.connected", "device.disconnected lost"];
    stand.until_said(&lost[2 - times..]).await;
    let last = stand.house.log.head(stand.house.id()).await.unwrap();
    let found = stand
        .house
        .log
        .read_at(stand.house.id(), last)
        .await
        .unwrap();
    let name = found.unwrap().fields.dedup_id.unwrap();
    let expected = format!("{device}/session:1/{times}/device.disconnected");
    assert!(name.ends_with(&expected), "{name}");
    drop((gateway, again));
}

#[actix::test]
async fn a_device_that_was_connected_for_longer_than_events_are_kept_is_said_to_be_lost() {
    long_connected(1).await;
}

#[actix::test]
async fn a_device_whose_first_time_is_no_longer_kept_is_lost_in_its_last_one() {
    long_connected(2).await;
}

#[actix::test]
async fn a_node_that_died_between_the_row_and_the_log_says_nothing_twice_and_nothing_too_much() {
    let stand = Stand::open().await;
    let (tenant, device) = (stand.house.id(), stand.device);
    let gateway = stand.connected().await;
    drop(gateway);
    stand.until_quiet().await;
    // As if it had died after the log was told and before the control plane was.
    let control = &stand.house.control;
    let now = stand.engine().clock().now();
    let row = control.set_device_state(
        tenant,
        device,
        Fence::new(1),
        DeviceState::Connected,
        None,
        None,
        now,
    );
    assert!(row.await.unwrap());
    stand.connect().await;
    stand.until_quiet().await;
    let said = ["device.connected", "device.disconnected connection_lost"];
    assert_eq!(stand.said().await, said);
}

#[actix::test]
async fn an_append_of_a_session_that_was_replaced_is_refused_by_the_store_and_spoils_nothing_after_it()
 {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    // Somebody else takes the device, and nobody here is told.
    stand.raise_fence(Fence::new(7)).await;
    let late = stand
        .engine()
        .ingest_from_device(&gateway.session, vec![message("message.received", "1")]);
    assert!(matches!(late.await, Err(SessionError::Replaced)));
    assert!(gateway.session.is_over());
    assert_eq!(gateway.bye().await, Some(ByeReason::Replaced));
    stand.house.ingest(&["order.paid"]).await;
    stand.until_said(&["device.connected", "order.paid"]).await;
}

#[actix::test]
async fn a_state_that_a_replaced_session_reports_is_refused_and_ends_it() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    assert_eq!(stand.open_elsewhere().await, Fence::new(2));
    let told = stand
        .engine()
        .report(&gateway.session, super::stand::connected())
        .await;
    assert!(matches!(told, Err(SessionError::Replaced)), "{told:?}");
    assert_eq!(gateway.bye().await, Some(ByeReason::Replaced));
    assert!(stand.said().await.is_empty());
}

#[actix::test]
async fn a_control_plane_that_was_restored_catches_up_with_the_fence_of_the_region() {
    let stand = Stand::open().await;
    stand.raise_fence(Fence::new(41)).await;
    let gateway = stand.connected().await;
    assert_eq!(gateway.session.fence, Fence::new(42));
}

#[actix::test]
async fn a_node_that_ends_tells_all_gateways_to_connect_again_and_says_so_in_the_log() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    stand.engine().leave();
    let told = async {
        let told = gateway.bye().await;
        stand.until_quiet().await;
        told
    };
    let passing = async {
        loop {
            stand.pass(Duration::from_millis(1)).await;
        }
    };
    let told = tokio::select! {
        told = told => told,
        () = passing => None,
    };
    assert_eq!(told, Some(ByeReason::Shutdown));
    let ended = ["device.connected", "device.disconnected shutdown"];
    stand.until_said(&ended).await;
    let refused = super::stand::connect(stand.engine(), stand.key()).await;
    assert!(matches!(refused.err(), Some(OpenError::Engine(_))));
}

#[actix::test]
async fn a_tenants_actor_that_dies_costs_a_try_and_no_event() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    let tenant = stand.house.id();
    stand.house.ingest(&["order.paid"]).await;
    assert!(
        stand
            .engine()
            .inject_panic(ActorKind::Tenant, &tenant.to_string())
    );
    let events = || vec![message("message.received", "1")];
    until(async || {
        let put = stand
            .engine()
            .ingest_from_device(&gateway.session, events())
            .await;
        match put {
            Ok(items) => items.len() == 1,
            Err(error) => {
                assert!(error.is_passing(), "{error}");
                false
            }
        }
    })
    .await;
    stand.until_said(&["order.paid", "message.received"]).await;
}

#[actix::test]
async fn what_a_session_could_not_say_and_the_next_one_died_too_early_to_say_is_said_by_the_third()
{
    let stand = Stand::open().await;
    let mut first = stand.connected().await;
    let fence = stand.open_elsewhere().await;
    stand.raise_fence(fence).await;
    let third = stand.connect().await;
    assert_eq!(first.bye().await, Some(ByeReason::Replaced));
    stand.says(&third, &super::stand::connected()).await;
    let expected = [
        "device.connected",
        "device.disconnected replaced",
        "device.connected",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn a_fence_that_the_region_holds_already_is_not_given_out_a_second_time() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    // As if the control plane had been restored from a copy that is one session old.
    let held = gateway.session.fence.next();
    stand.raise_fence(held).await;
    let newer = stand.connect().await;
    assert!(newer.session.fence > held);
}

#[actix::test]
async fn a_connection_that_has_gone_before_its_turn_takes_the_device_from_nobody() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    let (link, receiver) = link();
    drop(receiver);
    let open = OpenSession {
        tenant: stand.house.id(),
        device: stand.device,
        gateway: None,
        transport: Transport::WebSocket,
        link,
    };
    let late = stand.engine().open_session(open).await;
    assert!(matches!(late, Err(OpenError::Engine(_))));
    let still = message("message.received", "1");
    let taken = stand
        .engine()
        .ingest_from_device(&gateway.session, vec![still]);
    taken.await.unwrap();
}

#[actix::test]
async fn a_session_of_which_it_is_heard_too_early_that_it_was_replaced_does_not_stay() {
    let stand = Stand::open().await;
    let fence = Fence::new(2);
    let key = stand.key();
    let actors = &stand.engine().inner.devices.actors;
    let heard = async { drop(actors.post(&key, |reply| Taken { fence, reply })) };
    let (mut gateway, ()) = futures_util::future::join(stand.connect(), heard).await;
    assert_eq!(gateway.session.fence, Fence::new(1));
    assert!(gateway.session.is_over());
    assert_eq!(gateway.bye().await, Some(ByeReason::Replaced));
    stand.until_quiet().await;
}

#[actix::test]
async fn an_end_that_is_asked_for_while_a_session_is_opened_says_goodbye_to_that_one_too() {
    let stand = Stand::open().await;
    let older = stand.connected().await;
    let ending = stand
        .engine()
        .disconnect_device(stand.house.id(), stand.device);
    let (mut newer, was_there) = futures_util::future::join(stand.connect(), ending).await;
    assert!(was_there.unwrap());
    assert_eq!(newer.bye().await, Some(ByeReason::Revoked));
    drop(older);
}

#[actix::test]
async fn whoever_ends_a_session_hears_within_seconds_that_it_cannot_be_written_down() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    stand.house.log.close().await;
    let engine = stand.engine();
    let ending = engine.disconnect_device(stand.house.id(), stand.device);
    let passing = async {
        for _ in 0..600 {
            stand.pass(Duration::from_millis(50)).await;
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::select! {
        ended = ending => ended,
        () = passing => panic!("nobody is answered in half a minute"),
    };
    assert!(
        matches!(ended, Err(EngineError::Unavailable(_))),
        "{ended:?}"
    );
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
}
