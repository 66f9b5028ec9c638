//! Commands and their results, on one node.

use std::time::Duration;

use bytes::Bytes;
use domain::{
    device::{ByeReason, CommandName, CommandResult, MessageState, RefusedBy},
    fence::Fence,
};
use store::log::{Direction, MessageQuery};

use super::stand::{Gateway, Stand};
use crate::{
    device::SessionError,
    engine::{CommandError, DeviceMessages, SentMessage, UnsentMessage},
};

const WITHIN: Duration = Duration::from_secs(30);

impl Stand {
    pub(super) async fn ask(&self) -> Result<Bytes, CommandError> {
        let (tenant, device) = (self.house.id(), self.device);
        let args = Bytes::from_static(b"{\"group\":\"g\"}");
        self.engine()
            .command(tenant, device, CommandName::GroupInfo, args, WITHIN)
            .await
    }

    async fn send(&self) -> Result<SentMessage, UnsentMessage> {
        let (tenant, device) = (self.house.id(), self.device);
        let args = Bytes::from_static(b"{\"to\":\"c\",\"text\":\"hi\"}");
        self.engine()
            .send_message(tenant, device, "c".into(), args, WITHIN)
            .await
    }

    async fn answer(&self, gateway: &Gateway, id: &str, outcome: Result<&str, RefusedBy>) {
        let result = CommandResult {
            id: id.into(),
            outcome: outcome.map(|data| Bytes::from(data.to_owned())),
        };
        let taken = self.engine().command_result(&gateway.session, result);
        taken.await.unwrap();
    }

    async fn messages(&self) -> DeviceMessages {
        let query = MessageQuery {
            device: self.device,
            before: None,
            after: None,
            chat: None,
            direction: Some(Direction::Out),
            state: None,
            limit: 10,
            scan_max: 100,
        };
        let tenant = self.house.id();
        self.engine().device_messages(tenant, &query).await.unwrap()
    }
}

fn refused() -> RefusedBy {
    RefusedBy {
        code: "not_allowed".into(),
        message: "the group is closed".into(),
    }
}

#[actix::test]
async fn a_command_goes_to_the_gateway_and_its_result_comes_back() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let answering = async {
        let command = gateway.command().await;
        assert!(command.id.starts_with("cmd_"));
        assert_eq!(command.name, CommandName::GroupInfo);
        assert_eq!(command.args, Bytes::from_static(b"{\"group\":\"g\"}"));
        stand.answer(&gateway, "cmd_unknown", Ok("1")).await;
        stand
            .answer(&gateway, &command.id, Ok("{\"n\": 1.0}"))
            .await;
    };
    let (done, ()) = tokio::join!(stand.ask(), answering);
    assert_eq!(done.unwrap(), Bytes::from_static(b"{\"n\": 1.0}"));
}

#[actix::test]
async fn a_command_fails_if_nobody_is_there_or_the_gateway_refuses() {
    let stand = Stand::open().await;
    assert!(matches!(stand.ask().await, Err(CommandError::Offline)));
    let mut gateway = stand.connect().await;
    let answering = async {
        let command = gateway.command().await;
        stand.answer(&gateway, &command.id, Err(refused())).await;
    };
    let (done, ()) = tokio::join!(stand.ask(), answering);
    let Err(CommandError::Refused { code, message }) = done else {
        panic!("{done:?}");
    };
    assert_eq!((code, message), (refused().code, refused().message));
    let elsewhere = domain::ids::DeviceId::from_uuid(uuid::Uuid::from_u128(1));
    let name = CommandName::PrivacyGet;
    let args = Bytes::from_static(b"{}");
    let tenant = stand.house.id();
    let unknown = stand
        .engine()
        .command(tenant, elsewhere, name, args, WITHIN);
    assert!(matches!(unknown.await, Err(CommandError::NotFound)));
}

#[actix::test]
async fn a_command_waits_until_its_deadline_and_no_longer() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let passing = async {
        let command = gateway.command().await;
        stand.pass(WITHIN + Duration::from_millis(10)).await;
        command
    };
    let (done, command) = tokio::join!(stand.ask(), passing);
    assert!(matches!(done, Err(CommandError::TimedOut)), "{done:?}");
    // What comes too late is taken all the same.
    stand.answer(&gateway, &command.id, Ok("null")).await;
}

#[actix::test]
async fn a_command_survives_its_gateway_which_is_asked_again_when_it_comes_back() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let returning = async {
        let first = gateway.command().await;
        drop(gateway);
        stand.until_quiet().await;
        let mut again = stand.connect().await;
        assert_eq!(again.command().await, first);
        stand.answer(&again, &first.id, Ok("true")).await;
    };
    let (done, ()) = tokio::join!(stand.ask(), returning);
    assert_eq!(done.unwrap(), Bytes::from_static(b"true"));
}

#[actix::test]
async fn a_session_that_is_ended_on_purpose_takes_its_commands_with_it_which_may_have_been_done() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let ending = async {
        gateway.command().await;
        let (tenant, device) = (stand.house.id(), stand.device);
        stand
            .engine()
            .disconnect_device(tenant, device)
            .await
            .unwrap();
        assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
    };
    let (done, ()) = tokio::join!(stand.send(), ending);
    let unsent = done.unwrap_err();
    assert!(matches!(unsent.error, CommandError::Ended), "{unsent:?}");
    let failed = stand.messages().await.messages.remove(0).message;
    assert_eq!(unsent.id, Some(failed.id));
    assert_eq!(&*failed.error.unwrap().code, "device_timeout");
}

#[actix::test]
async fn no_more_commands_wait_for_a_gateway_than_may() {
    let stand = Stand::open().await;
    let gateway = stand.connect().await;
    let waiting = futures_util::future::join_all((0..256).map(|_| stand.ask()));
    let too_many = async {
        let board = &stand.engine().inner.devices;
        super::stand::until(async || board.actors.is_busy()).await;
        loop {
            if let Err(CommandError::Busy) = stand.ask().await {
                return drop(gateway);
            }
        }
    };
    tokio::select! {
        biased;
        _ = waiting => panic!("nobody answers"),
        () = too_many => {}
    }
}

#[actix::test]
async fn a_message_is_on_record_and_its_state_follows_what_the_gateway_says() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let answering = async {
        let command = gateway.command().await;
        let shown = stand.messages().await.messages;
        assert_eq!(shown[0].message.state, Some(MessageState::Pending));
        assert_eq!(
            command.args,
            format!("{{\"id\":\"{}\",\"to\":\"c\",\"text\":\"hi\"}}", command.id)
        );
        let sent = r#"{"key":{"chat":"c","sender":"","id":"x"}}"#;
        stand.answer(&gateway, &command.id, Ok(sent)).await;
    };
    let (sent, ()) = tokio::join!(stand.send(), answering);
    let sent = sent.unwrap();
    assert_eq!(&*sent.key.unwrap().id, "x");
    let shown = stand.messages().await.messages.remove(0).message;
    assert_eq!((shown.id, shown.state), (sent.id, Some(MessageState::Sent)));
    assert_eq!(shown.network_id.as_deref(), Some("x"));
}

#[actix::test]
async fn a_message_that_was_not_sent_says_why_unless_it_was_sent_after_all() {
    let stand = Stand::open().await;
    let unsent = stand.send().await.unwrap_err();
    assert!(matches!(unsent.error, CommandError::Offline));
    let failed = stand.messages().await.messages.remove(0).message;
    assert_eq!(unsent.id, Some(failed.id));
    assert_eq!(failed.state, Some(MessageState::Failed));
    assert_eq!(&*failed.error.unwrap().code, "device_offline");
    // Ids sort by the moment at which they were made.
    stand.pass(Duration::from_millis(2)).await;
    let mut gateway = stand.connect().await;
    let passing = async {
        let command = gateway.command().await;
        stand.pass(WITHIN + Duration::from_millis(10)).await;
        command
    };
    let (done, command) = tokio::join!(stand.send(), passing);
    let unsent = done.unwrap_err();
    assert!(matches!(unsent.error, CommandError::TimedOut), "{unsent}");
    let late = stand.messages().await.messages.remove(0).message;
    assert_eq!(&*late.error.unwrap().code, "device_timeout");
    stand.answer(&gateway, &command.id, Ok("null")).await;
    let late = stand.messages().await.messages.remove(0).message;
    assert_eq!(late.state, Some(MessageState::Sent));
}

#[actix::test]
async fn nobody_is_told_that_nothing_was_done_by_an_engine_that_fails_after_a_gateway_was_asked() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let failing = async {
        gateway.command().await;
        // Somebody else takes the device, and where it is now nobody can find out.
        stand.lose_to_another(&mut gateway).await;
        stand.house.control.close().await;
        loop {
            stand.pass(Duration::from_millis(50)).await;
            // The store gets the time to answer.
            let fence = stand.house.log.device_fence(stand.house.id(), stand.device);
            fence.await.unwrap();
        }
    };
    let asked = tokio::select! {
        asked = stand.ask() => asked,
        () = failing => unreachable!("it goes on for ever"),
    };
    assert!(matches!(asked, Err(CommandError::TimedOut)), "{asked:?}");
}

#[actix::test]
async fn what_a_replaced_session_says_about_a_message_is_refused() {
    let stand = Stand::open().await;
    let mut gateway = stand.connect().await;
    let answering = async {
        let command = gateway.command().await;
        // Somebody else takes the device, and nobody here is told.
        stand.raise_fence(Fence::new(7)).await;
        let result = CommandResult {
            id: command.id,
            outcome: Ok(Bytes::from_static(b"{}")),
        };
        let late = stand.engine().command_result(&gateway.session, result);
        assert!(matches!(late.await, Err(SessionError::Replaced)));
        assert!(gateway.session.is_over());
        assert_eq!(gateway.bye().await, Some(ByeReason::Replaced));
        let state = stand.messages().await.messages.remove(0).message.state;
        assert_eq!(state, Some(MessageState::Pending));
        // Whoever asked waits for the gateway of the newer session, up to the deadline. The store has no part in the clock that is
        // moved here: it gets the time to answer.
        loop {
            stand.pass(Duration::from_millis(50)).await;
            stand.messages().await;
        }
    };
    let sent = tokio::select! {
        sent = stand.send() => sent,
        () = answering => unreachable!("it goes on for ever"),
    };
    let unsent = sent.unwrap_err();
    assert!(matches!(unsent.error, CommandError::TimedOut), "{unsent:?}");
    let failed = stand.messages().await.messages.remove(0).message;
    assert_eq!(unsent.id, Some(failed.id));
    assert_eq!(&*failed.error.unwrap().code, "device_timeout");
}
