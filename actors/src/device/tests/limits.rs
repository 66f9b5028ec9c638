//! What others do not have to pay for a device: for its last will, for its replacement, for a connection that has gone.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    device::{ByeReason, DeviceEvent, EndReason},
    event::EventType,
    plan::PlanName,
};
use futures_util::FutureExt as _;
use store::control::{NewDevice, TenantChange};

use super::stand::{Stand, all, connect, message, offline, until};
use crate::device::{
    LinkReceiver, OpenError, SessionError,
    intake::{Batch, NotTaken, Word},
    link,
    opening::take,
};

/// An event that nobody has to know from before.
fn plain(kind: &str) -> DeviceEvent {
    DeviceEvent {
        id: Box::default(),
        kind: EventType::new(kind).unwrap(),
        at: None,
        key: None,
        data: Bytes::from_static(b"{}"),
    }
}

#[actix::test]
async fn a_last_will_is_said_although_the_plans_events_are_spent_and_holds_nothing_up() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    let change = TenantChange {
        plan: Some(PlanName::Free),
        ..TenantChange::default()
    };
    let changed = stand.engine().update_tenant(stand.house.id(), change, None);
    changed.await.unwrap();
    until(async || {
        let events = vec![plain("sensor.read")];
        let put = stand.engine().ingest_from_device(&gateway.session, events);
        match put.await {
            Ok(_) => false,
            Err(error) => matches!(error, SessionError::RateLimited { .. }),
        }
    })
    .await;
    let will = Some(plain("sensor.alarm"));
    stand
        .engine()
        .close_session(gateway.session, EndReason::Will, will);
    // The clock stands still: what waited for the next minute would wait for ever.
    stand.until_quiet().await;
    let said = stand.said().await;
    assert!(said.ends_with(&[
        "sensor.alarm".to_owned(),
        "device.disconnected will".to_owned()
    ]));
}

#[actix::test]
async fn a_last_will_has_a_name_that_no_other_sessions_will_has() {
    let stand = Stand::open().await;
    let older = stand.connected().await;
    let will = || Some(plain("sensor.alarm"));
    let engine = stand.engine();
    // The first one ends while the second one is being opened, which appends both wills.
    let ended = async { engine.close_session(older.session, EndReason::Will, will()) };
    let (newer, ()) = tokio::join!(stand.connect(), ended);
    engine.close_session(newer.session, EndReason::Will, will());
    let expected = [
        "device.connected",
        "sensor.alarm",
        "device.disconnected will",
        "sensor.alarm",
    ];
    stand.until_said(&expected).await;
    let events = all(&*stand.house.log, stand.house.id()).await;
    assert!(events.iter().all(|event| event.fields.dedup_id.is_some()));
}

#[actix::test]
async fn the_late_writes_of_a_replaced_session_spoil_no_append_of_others() {
    let stand = Stand::open().await;
    let older = stand.connected().await.session;
    let _newer = stand.connected().await;
    let late = || async {
        let batch = Batch {
            tenant: older.tenant,
            device: older.device,
            workspace: older.workspace,
            fence: older.fence,
            // Nothing has to be looked up for it: it is numbered at once.
            events: vec![plain("sensor.late")],
            word: Word::Device,
        };
        stand.engine().inner.devices.context.intake.put(batch).await
    };
    // The first one flies alone, and the others come together into the next append.
    let ((), refused, ()) = tokio::join!(
        stand.house.ingest(&["order.paid"]),
        late(),
        stand.house.ingest(&["order.sent"]),
    );
    assert!(
        matches!(refused, Err(NotTaken::Fenced { .. })),
        "{refused:?}"
    );
}

#[actix::test]
async fn a_connection_that_goes_before_the_lease_is_taken_takes_it_from_nobody() {
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    let (way, receiver) = link();
    let context = Arc::clone(&stand.engine().inner.devices.context);
    let taking = take(context, stand.key(), None, None, way.watch());
    drop::<LinkReceiver>(receiver);
    assert!(matches!(taking.await.err(), Some(OpenError::Engine(_))));
    assert_eq!(stand.row().await.fence, gateway.session.fence.get());
    let still = vec![message("message.received", "1")];
    let taken = stand.engine().ingest_from_device(&gateway.session, still);
    taken.await.unwrap();
}

#[actix::test]
async fn a_session_that_is_opened_while_the_node_ends_is_told_to_connect_elsewhere_or_refused() {
    let mut stand = Stand::open().await;
    for steps in 0..30 {
        let ends = async {
            let mut opening = pin!(connect(stand.engine(), stand.key()));
            for _ in 0..steps {
                if opening.as_mut().now_or_never().is_some() {
                    // It was there before: every session that is there is told.
                    return;
                }
                tokio::task::yield_now().await;
            }
            stand.engine().leave();
            match opening.await {
                Ok(mut gateway) => {
                    assert_eq!(gateway.bye().await, Some(ByeReason::Shutdown), "{steps}");
                }
                Err(error) => assert!(matches!(error, OpenError::Engine(_)), "{error}"),
            }
            stand.until_quiet().await;
        };
        let passing = async {
            loop {
                stand.pass(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = ends => {}
            () = passing => {}
        }
        let Stand { house, device } = stand;
        let house = house.kill_and_restart().await;
        stand = Stand { house, device };
    }
}

impl Stand {
    /// The device's row as a copy has it that is older than its first session, or none.
    async fn restore_control_plane(&self, has_device: bool) {
        let row = self.row().await;
        let control = &self.house.control;
        control
            .mark_device_leaving(row.tenant, row.id, None)
            .await
            .unwrap();
        assert!(control.delete_device(row.tenant, row.id).await.unwrap());
        if has_device {
            let old = NewDevice {
                id: row.id,
                tenant: row.tenant,
                workspace: row.workspace,
                name: row.name,
                connector: row.connector,
                settings: row.settings,
            };
            let made = control.create_device(&old, None, row.created_at).await;
            assert_eq!(made.unwrap().fence, 0);
        }
    }
}

#[actix::test]
async fn a_session_that_a_restored_control_plane_does_not_know_is_to_come_back() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    stand.restore_control_plane(true).await;
    let told = stand
        .engine()
        .report(&gateway.session, offline("no network"));
    assert!(told.await.unwrap_err().is_passing());
    assert_eq!(gateway.bye().await, Some(ByeReason::Shutdown));
    stand.until_quiet().await;
    let again = stand.connected().await;
    assert!(again.session.fence > gateway.session.fence);
    let expected = [
        "device.connected",
        "device.disconnected no network",
        "device.connected",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn a_will_that_waits_to_be_said_is_said_although_the_control_plane_does_not_know_the_session()
{
    let stand = Stand::open().await;
    let gateway = stand.connected().await;
    stand.restore_control_plane(true).await;
    let (engine, session) = (stand.engine(), gateway.session.clone());
    let why = EndReason::Will;
    let ended = async { engine.close_session(session, why, Some(plain("sensor.alarm"))) };
    let (told, ()) = tokio::join!(engine.report(&gateway.session, offline("away")), ended);
    assert!(told.unwrap_err().is_passing());
    let expected = [
        "device.connected",
        "device.disconnected away",
        "sensor.alarm",
    ];
    stand.until_said(&expected).await;
}

#[actix::test]
async fn a_session_of_a_device_that_is_no_more_stays_down() {
    let stand = Stand::open().await;
    let mut gateway = stand.connected().await;
    stand.restore_control_plane(false).await;
    let told = stand
        .engine()
        .report(&gateway.session, offline("no network"));
    told.await.unwrap_err();
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
    stand.until_quiet().await;
}
