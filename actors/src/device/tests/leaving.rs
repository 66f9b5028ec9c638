//! Devices that are deleted, and what fails meanwhile.

use std::time::Duration;

use bytes::Bytes;
use domain::device::ByeReason;
use store::log::MessageQuery;

use super::stand::{Stand, connect, keeper, make_device};
use crate::{
    device::OpenError,
    engine::{CommandError, EngineError},
};

impl Stand {
    /// Deletes the device as far as it goes.
    async fn delete(&self) -> Result<(), EngineError> {
        let engine = self.engine();
        let gone = engine.delete_device(self.house.id(), None, self.device, None);
        engine.forget_device(&gone.await?).await
    }

    async fn has_credentials(&self) -> bool {
        let kept = self.house.log.credentials(self.house.id(), self.device);
        kept.await.unwrap().is_some()
    }

    async fn has_messages(&self) -> bool {
        let query = MessageQuery {
            device: self.device,
            before: None,
            after: None,
            chat: None,
            direction: None,
            state: None,
            limit: 1,
            scan_max: 1,
        };
        let page = self.house.log.messages(self.house.id(), &query);
        !page.await.unwrap().messages.is_empty()
    }

    /// A device with credentials, whose region failed while it was deleted.
    async fn half_deleted() -> Stand {
        let stand = Stand::open().await;
        let (tenant, device) = (stand.house.id(), stand.device);
        let gateway = stand.connected().await;
        let fence = gateway.session.fence.get();
        let secret = Bytes::from_static(b"secret");
        let kept = stand
            .engine()
            .put_device_credentials(tenant, device, fence, keeper(), secret);
        kept.await.unwrap();
        drop(gateway);
        stand.until_quiet().await;
        stand.house.log.close().await;
        stand.delete().await.unwrap_err();
        let house = stand.house.kill_and_restart().await;
        let stand = Stand { house, device };
        assert!(stand.has_credentials().await);
        stand
    }

    async fn is_gone(&self) -> bool {
        let row = self.house.control.device(self.house.id(), self.device);
        row.await.unwrap().is_none()
    }
}

#[actix::test]
async fn a_deletion_that_failed_midway_is_finished_by_the_next_one() {
    let stand = Stand::half_deleted().await;
    stand.delete().await.unwrap();
    assert!(!stand.has_credentials().await);
    assert!(stand.is_gone().await);
    let again = stand.delete().await;
    assert!(matches!(again, Err(EngineError::NotFound("device"))));
}

#[actix::test]
async fn a_deletion_that_failed_midway_is_finished_by_the_engine_itself() {
    let stand = Stand::half_deleted().await;
    stand.engine().forget_leaving().await;
    assert!(!stand.has_credentials().await);
    assert!(stand.is_gone().await);
    stand.engine().forget_leaving().await;
}

#[actix::test]
async fn a_device_that_is_half_deleted_is_nobodys_any_more() {
    let stand = Stand::half_deleted().await;
    let (tenant, device, engine) = (stand.house.id(), stand.device, stand.engine());
    let shown = engine.device(tenant, None, device).await;
    assert!(matches!(shown, Err(EngineError::NotFound("device"))));
    let listed = engine.devices(tenant, None, None, 10).await.unwrap();
    assert!(listed.is_empty());
    let opened = connect(engine, stand.key()).await;
    assert!(matches!(opened.err(), Some(OpenError::NotFound)));
    let args = Bytes::from_static(b"{}");
    let sent = engine.send_message(tenant, device, "c".into(), args, Duration::ZERO);
    let unsent = sent.await.unwrap_err();
    assert!(matches!(unsent.error, CommandError::NotFound));
    assert_eq!(unsent.id, None, "it is not even on record");
    let kept = engine.device_credentials(tenant, device).await;
    assert!(matches!(kept, Err(EngineError::NotFound("device"))));
}

#[actix::test]
async fn the_session_of_a_device_that_is_deleted_is_told_and_an_old_version_deletes_nothing() {
    let stand = Stand::open().await;
    let (tenant, device, engine) = (stand.house.id(), stand.device, stand.engine());
    let mut gateway = stand.connected().await;
    let old = engine.delete_device(tenant, None, device, Some(9)).await;
    assert!(matches!(old, Err(EngineError::VersionMismatch)));
    stand.delete().await.unwrap();
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
    stand
        .until_said(&["device.connected", "device.disconnected revoked"])
        .await;
}

#[actix::test]
async fn a_command_whose_device_is_deleted_after_its_gateway_was_asked_may_have_been_done() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let deleting = async {
        gateway.command().await;
        stand.delete().await.unwrap();
    };
    let (asked, ()) = tokio::join!(stand.ask(), deleting);
    assert!(matches!(asked, Err(CommandError::Ended)), "{asked:?}");
    assert!(matches!(stand.ask().await, Err(CommandError::NotFound)));
}

#[actix::test]
async fn a_command_that_looks_for_its_device_which_is_deleted_meanwhile_may_have_been_done() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let deleting = async {
        gateway.command().await;
        // Somebody else takes the device, and the command is on its way to there.
        stand.lose_to_another(&mut gateway).await;
        stand.delete().await.unwrap();
        loop {
            stand.pass(Duration::from_millis(50)).await;
            assert!(stand.is_gone().await);
        }
    };
    let asked = tokio::select! {
        asked = stand.ask() => asked,
        () = deleting => unreachable!("it goes on for ever"),
    };
    assert!(matches!(asked, Err(CommandError::Ended)), "{asked:?}");
}

#[actix::test]
async fn the_end_of_a_session_that_died_with_its_node_is_said_before_its_device_is_deleted() {
    let Stand { house, device } = Stand::open().await;
    let stand = Stand { house, device };
    let gateway = stand.connected().await;
    let house = stand.house.kill_and_restart().await;
    drop(gateway);
    let stand = Stand { house, device };
    stand.delete().await.unwrap();
    assert!(stand.is_gone().await);
    stand
        .until_said(&["device.connected", "device.disconnected lost"])
        .await;
}

#[actix::test]
async fn a_message_that_is_sent_while_its_device_is_deleted_leaves_nothing_behind() {
    let mut stand = Stand::open().await;
    for steps in 0..60 {
        stand.device = make_device(stand.engine(), stand.house.id()).await;
        let sending = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            let (tenant, device) = (stand.house.id(), stand.device);
            let args = Bytes::from_static(b"{}");
            let within = Duration::ZERO;
            let sent = stand
                .engine()
                .send_message(tenant, device, "c".into(), args, within);
            sent.await.unwrap_err()
        };
        let (deleted, _unsent) = tokio::join!(stand.delete(), sending);
        deleted.unwrap();
        assert!(!stand.has_messages().await, "after {steps} steps");
    }
}
