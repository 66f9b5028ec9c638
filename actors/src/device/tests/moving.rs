//! Devices that get another workspace: what their sessions say belongs to one of the two, and is lost in neither.

use domain::{device::ByeReason, ids::WorkspaceId};
use futures_util::FutureExt as _;
use store::control::ChangedDevice;

use super::stand::{Stand, all, change, message};
use crate::engine::WorkspaceInput;

impl Stand {
    async fn make_other(&self) -> WorkspaceId {
        self.make_workspace("other").await
    }

    async fn make_workspace(&self, slug: &str) -> WorkspaceId {
        let input = WorkspaceInput {
            slug: slug.into(),
            name: slug.into(),
            retention_days: None,
        };
        let made = self.engine().create_workspace(self.house.id(), input);
        made.await.unwrap().id
    }

    /// Moves the device, and does not tell its session.
    async fn move_silently(&self, slug: &str) -> ChangedDevice {
        let patch = format!(r#"{{"workspace":"{slug}"}}"#);
        let engine = self.engine();
        let moved = engine.update_device(self.house.id(), None, self.device, change(&patch));
        moved.await.unwrap()
    }

    async fn move_to(&self, slug: &str) -> ChangedDevice {
        let moved = self.move_silently(slug).await;
        self.tell().await;
        moved
    }

    /// Tells the session that its device has moved.
    async fn tell(&self) {
        let told = self.engine().leave_workspace(self.house.id(), self.device);
        told.await.unwrap();
    }
}

#[actix::test]
async fn a_session_that_is_opened_while_its_device_moves_is_in_the_new_workspace_or_ended() {
    let stand = Stand::open().await;
    stand.make_other().await;
    for steps in 0..40 {
        let slug = ["other", "default"][steps % 2];
        let moving = async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            stand.move_to(slug).await;
        };
        let (mut gateway, ()) = tokio::join!(stand.connect(), moving);
        let told = gateway.bye().now_or_never().flatten();
        if gateway.session.workspace != stand.row().await.workspace {
            assert_eq!(told, Some(ByeReason::Shutdown), "after {steps} steps");
        }
        drop(gateway);
        stand.until_quiet().await;
        stand.engine().inner.devices.board.forget_flapping();
    }
}

#[actix::test]
async fn naming_the_workspace_where_a_device_has_always_been_ends_no_session() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    stand.move_to("default").await;
    assert_eq!(gateway.bye().now_or_never(), None);
}

#[actix::test]
async fn naming_the_workspace_to_which_a_device_has_come_changes_nothing_and_ends_no_session() {
    let stand = Stand::open().await;
    stand.make_other().await;
    assert!(stand.move_to("other").await.has_changed);
    let mut gateway = stand.connect().await;
    let before = stand.row().await;
    assert!(!stand.move_to("other").await.has_changed);
    assert_eq!(gateway.bye().now_or_never(), None);
    assert_eq!(stand.row().await, before);
    let still = vec![message("message.received", "1")];
    let taken = stand.engine().ingest_from_device(&gateway.session, still);
    taken.await.unwrap();
}

#[actix::test]
async fn a_session_that_could_not_be_told_that_its_device_has_moved_is_told_by_the_same_call() {
    let stand = Stand::open().await;
    stand.make_other().await;
    let mut gateway = stand.connect().await;
    assert!(stand.move_silently("other").await.has_changed);
    assert_eq!(gateway.bye().now_or_never(), None);
    assert!(!stand.move_to("other").await.has_changed);
    assert_eq!(gateway.bye().await, Some(ByeReason::Shutdown));
}

#[actix::test]
async fn a_session_where_its_device_has_moved_on_to_goes_on_when_the_first_move_is_told_late() {
    let stand = Stand::open().await;
    stand.make_other().await;
    let third = stand.make_workspace("third").await;
    stand.move_silently("other").await;
    stand.move_silently("third").await;
    let mut gateway = stand.connect().await;
    assert_eq!(gateway.session.workspace, third);
    stand.tell().await;
    assert_eq!(gateway.bye().now_or_never(), None);
}

#[actix::test]
async fn the_end_of_a_session_that_died_with_its_node_is_said_where_its_device_was_before_it_moves()
{
    let Stand { house, device } = Stand::open().await;
    let stand = Stand { house, device };
    let gateway = stand.connected().await;
    let house = stand.house.kill_and_restart().await;
    drop(gateway);
    let stand = Stand { house, device };
    let other = stand.make_other().await;
    stand.move_to("other").await;
    let lost = ["device.connected", "device.disconnected lost"];
    stand.until_said(&lost).await;
    let next = stand.connect().await;
    assert_eq!(next.session.workspace, other);
    stand.until_said(&lost).await;
    let events = all(&*stand.house.log, stand.house.id()).await;
    assert!(
        events
            .iter()
            .all(|event| event.workspace == stand.house.workspace)
    );
}
