//! Devices whose gateways connect to one node while their tenants live on another.

use std::{
    future::ready,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use domain::device::{ByeReason, CommandName, CommandResult, DeviceState};

use futures_util::FutureExt as _;

use super::stand::{Gateway, change, connect, connected, make_device, message, said};
use crate::{
    Engine,
    device::{
        DeviceItem, DeviceKey, Peers as _, SessionError,
        remote::{Answer, Failure, write_answer},
    },
    engine::{CommandError, EngineError, WorkspaceInput},
    placement::tests::stand::{Node, Stand, until},
};

const WITHIN: Duration = Duration::from_secs(30);

struct Two {
    stand: Stand,
    a: Node,
    b: Node,
    key: DeviceKey,
}

impl Two {
    /// Two nodes; the tenant lives on the first.
    async fn open() -> Two {
        let stand = Stand::open().await;
        let (a, b) = (stand.node("a").await, stand.node("b").await);
        let customer = a.customer("acme").await;
        a.ingest(customer).await.unwrap();
        assert_eq!(stand.owner(customer).await.unwrap().session, a.session());
        let device = make_device(&a.engine, customer.id).await;
        let key = DeviceKey {
            tenant: customer.id,
            device,
        };
        Two { stand, a, b, key }
    }

    /// A gateway on this node that says that it is connected to its network.
    async fn connected(&self, node: &Node) -> Gateway {
        let gateway = connect(&node.engine, self.key).await.unwrap();
        let told = node.engine.report(&gateway.session, connected());
        told.await.unwrap();
        gateway
    }

    /// Ends the session of the second node, and nobody tells it.
    async fn end_b(&self) {
        let ended = self.stand.control.end_session(self.b.session());
        ended.await.unwrap();
    }

    async fn said(&self) -> Vec<String> {
        said(&*self.stand.log, self.key.tenant).await.split_off(1)
    }

    async fn until_said(&self, expected: &[&str]) {
        until(async || self.said().await.len() >= expected.len()).await;
        assert_eq!(self.said().await, expected);
    }
}

async fn ask(engine: &Engine, key: DeviceKey) -> Result<Bytes, CommandError> {
    let args = Bytes::from_static(b"{}");
    let name = CommandName::PrivacyGet;
    engine
        .command(key.tenant, key.device, name, args, WITHIN)
        .await
}

async fn answer(engine: &Engine, gateway: &mut Gateway) {
    let result = CommandResult {
        id: gateway.command().await.id,
        outcome: Ok(Bytes::from_static(b"{\"online\":\"all\"}")),
    };
    engine
        .command_result(&gateway.session, result)
        .await
        .unwrap();
}

#[actix::test]
async fn events_go_to_the_tenants_owner_and_commands_to_the_devices_node() {
    let two = Two::open().await;
    let mut gateway = two.connected(&two.b).await;
    let events = vec![message("message.received", "1")];
    let items = two.b.engine.ingest_from_device(&gateway.session, events);
    assert!(matches!(items.await.unwrap()[..], [DeviceItem::Stored(_)]));
    assert!(two.a.engine.is_here(two.key.tenant));
    two.until_said(&["device.connected", "message.received"])
        .await;
    let asked = ask(&two.a.engine, two.key);
    let (done, ()) = tokio::join!(asked, answer(&two.b.engine, &mut gateway));
    assert_eq!(done.unwrap(), Bytes::from_static(b"{\"online\":\"all\"}"));
    let DeviceKey { tenant, device } = two.key;
    assert!(
        two.a
            .engine
            .disconnect_device(tenant, device)
            .await
            .unwrap()
    );
    assert_eq!(gateway.bye().await, Some(ByeReason::Revoked));
}

#[actix::test]
async fn why_another_node_has_not_ended_a_session_is_told_as_it_says_it() {
    let two = Two::open().await;
    let _gateway = two.connected(&two.b).await;
    let DeviceKey { tenant, device } = two.key;
    for failure in [Failure::Overloaded, Failure::Unavailable("full".into())] {
        let answer = write_answer(Answer::NotTaken(failure.clone()));
        let handler = Arc::new(move |_| ready(answer.clone()).boxed());
        let serving = two.stand.peers.serve(two.b.session(), handler).await;
        let ended = two.a.engine.disconnect_device(tenant, device).await;
        match (failure, ended) {
            (Failure::Overloaded, Err(EngineError::Overloaded(_))) => {}
            (_, Err(EngineError::Unavailable(why))) => assert_eq!(why, "full"),
            (_, other) => panic!("{other:?}"),
        }
        drop(serving);
    }
}

#[actix::test]
async fn a_session_on_another_node_goes_on_if_it_is_where_its_device_has_been_moved() {
    let two = Two::open().await;
    let DeviceKey { tenant, device } = two.key;
    let input = WorkspaceInput {
        slug: "other".into(),
        name: "Other".into(),
        retention_days: None,
    };
    let made = two.a.engine.create_workspace(tenant, input).await.unwrap();
    let mut gateway = connect(&two.b.engine, two.key).await.unwrap();
    let first = gateway.session.workspace;
    for told in [Some(ByeReason::Shutdown), None] {
        let engine = &two.a.engine;
        let to_other = change(r#"{"workspace":"other"}"#);
        let moved = engine.update_device(tenant, None, device, to_other);
        let moved = moved.await.unwrap();
        assert_eq!(moved.device.workspace, made.id);
        engine.leave_workspace(tenant, device).await.unwrap();
        assert_eq!(gateway.bye().now_or_never().flatten(), told);
        if told.is_some() {
            assert_eq!(gateway.session.workspace, first);
            gateway = connect(&two.b.engine, two.key).await.unwrap();
        }
    }
}

#[actix::test]
async fn a_device_that_connects_to_another_node_leaves_the_first_one_which_is_told() {
    let two = Two::open().await;
    let mut first = two.connected(&two.a).await;
    let second = connect(&two.b.engine, two.key).await.unwrap();
    assert_eq!(first.bye().await, Some(ByeReason::Replaced));
    let late = two
        .a
        .engine
        .ingest_from_device(&first.session, vec![message("message.received", "1")]);
    assert!(matches!(late.await, Err(SessionError::Replaced)));
    two.b
        .engine
        .report(&second.session, connected())
        .await
        .unwrap();
    two.until_said(&[
        "device.connected",
        "device.disconnected replaced",
        "device.connected",
    ])
    .await;
}

#[actix::test]
async fn a_device_that_connects_to_another_node_leaves_the_first_one_even_if_no_news_comes() {
    let two = Two::open().await;
    let mut first = connect(&two.a.engine, two.key).await.unwrap();
    two.stand.wire.lost_percent.store(100, Ordering::Relaxed);
    let _second = connect(&two.b.engine, two.key).await.unwrap();
    let late = two
        .a
        .engine
        .ingest_from_device(&first.session, vec![message("message.received", "1")]);
    assert!(matches!(late.await, Err(SessionError::Replaced)));
    assert_eq!(first.bye().await, Some(ByeReason::Replaced));
}

#[actix::test]
async fn a_command_follows_its_device_to_another_node() {
    let two = Two::open().await;
    let mut first = connect(&two.a.engine, two.key).await.unwrap();
    let moving = async {
        let command = first.command().await;
        let mut second = connect(&two.b.engine, two.key).await.unwrap();
        assert_eq!(first.bye().await, Some(ByeReason::Replaced));
        let again = second.command().await;
        assert_eq!(again.id, command.id);
        let result = CommandResult {
            id: again.id,
            outcome: Ok(Bytes::from_static(b"7")),
        };
        two.b
            .engine
            .command_result(&second.session, result)
            .await
            .unwrap();
    };
    let (done, ()) = tokio::join!(ask(&two.a.engine, two.key), moving);
    assert_eq!(done.unwrap(), Bytes::from_static(b"7"));
}

#[actix::test]
async fn a_node_that_loses_its_session_ends_all_sessions_of_devices() {
    let two = Two::open().await;
    let mut gateway = two.connected(&two.b).await;
    two.end_b().await;
    two.b.beat();
    assert_eq!(gateway.bye().await, Some(ByeReason::Shutdown));
    two.until_said(&["device.connected", "device.disconnected shutdown"])
        .await;
    // It comes back under the node's next session.
    until(async || connect(&two.b.engine, two.key).await.is_ok()).await;
}

#[actix::test]
async fn a_device_of_a_node_that_is_gone_is_offline_and_said_to_be_lost() {
    let two = Two::open().await;
    let _gateway = two.connected(&two.b).await;
    // As if it had been killed: nobody tells it.
    two.end_b().await;
    let DeviceKey { tenant, device } = two.key;
    let shown = two.a.engine.device(tenant, None, device).await.unwrap();
    assert_eq!(shown.state, DeviceState::Offline);
    let asked = ask(&two.a.engine, two.key).await;
    assert!(matches!(asked, Err(CommandError::Offline)), "{asked:?}");
    let _next = connect(&two.a.engine, two.key).await.unwrap();
    two.until_said(&["device.connected", "device.disconnected lost"])
        .await;
}
