//! Commands are carried out, once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use domain::device::CommandName;
use tokio::sync::{Notify, mpsc};

use super::{engine::Engine, *};
use crate::RefusedBy;

/// A gateway whose commands say that they have begun.
struct Slow {
    engine: Engine,
    _gateway: Gateway,
    begun: mpsc::UnboundedReceiver<Box<str>>,
    /// Lets one of those that wait end.
    go_on: Arc<Notify>,
}

impl Slow {
    /// Commands that `waits` names end when the test lets them, the others at once.
    async fn start(waits: fn(CommandName) -> bool) -> Slow {
        let engine = Engine::start().await;
        let (began, begun) = mpsc::unbounded_channel();
        let go_on = Arc::new(Notify::new());
        let may_go_on = Arc::clone(&go_on);
        let gateway = builder(&engine)
            .on_command(move |command| {
                let (began, may_go_on) = (began.clone(), Arc::clone(&may_go_on));
                async move {
                    began.send(command.id).unwrap();
                    if waits(command.name) {
                        may_go_on.notified().await;
                    }
                    Ok(Bytes::from_static(b"1"))
                }
            })
            .start();
        Slow {
            engine,
            _gateway: gateway,
            begun,
            go_on,
        }
    }

    async fn next_begun(&mut self) -> Box<str> {
        self.begun.recv().await.unwrap()
    }
}

#[tokio::test]
async fn a_command_that_comes_again_is_answered_from_memory() {
    let engine = Engine::start().await;
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let gateway = builder(&engine)
        .on_command(move |command| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            async move { Ok(Bytes::from(format!("[\"{}\",{number}]", command.name))) }
        })
        .start();
    for fence in 1..=3 {
        let mut peer = engine.welcome(fence).await;
        peer.command("msg_1", CommandName::MessageSend).await;
        let result = peer.result("msg_1").await;
        assert_eq!(result, Ok(Bytes::from_static(b"[\"message.send\",0]")));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    drop(gateway);
}

#[tokio::test]
async fn a_command_that_comes_again_while_it_is_carried_out_is_answered_once() {
    let mut slow = Slow::start(|_| true).await;
    let mut peer = slow.engine.welcome(1).await;
    peer.command("cmd_1", CommandName::HistorySync).await;
    assert_eq!(&*slow.next_begun().await, "cmd_1");
    drop(peer);
    let mut peer = slow.engine.welcome(2).await;
    peer.command("cmd_1", CommandName::HistorySync).await;
    peer.command("cmd_2", CommandName::HistorySync).await;
    assert_eq!(&*slow.next_begun().await, "cmd_2");
    slow.go_on.notify_one();
    assert_eq!(peer.result("cmd_1").await, Ok(Bytes::from_static(b"1")));
    slow.go_on.notify_one();
    assert_eq!(peer.result("cmd_2").await, Ok(Bytes::from_static(b"1")));
}

#[tokio::test]
async fn messages_are_sent_one_after_the_other_while_other_commands_go_on() {
    let mut slow = Slow::start(|name| name == CommandName::MessageSend).await;
    let mut peer = slow.engine.welcome(1).await;
    peer.command("msg_1", CommandName::MessageSend).await;
    peer.command("msg_2", CommandName::MessageSend).await;
    peer.command("cmd_1", CommandName::GroupInfo).await;
    assert!(peer.result("cmd_1").await.is_ok());
    let mut begun = [slow.next_begun().await, slow.next_begun().await];
    begun.sort();
    assert_eq!(begun.each_ref().map(|id| &**id), ["cmd_1", "msg_1"]);
    assert!(slow.begun.is_empty());
    slow.go_on.notify_one();
    assert!(peer.result("msg_1").await.is_ok());
    assert_eq!(&*slow.next_begun().await, "msg_2");
    slow.go_on.notify_one();
    assert!(peer.result("msg_2").await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_a_panic_is_one() {
    let engine = Engine::start().await;
    let _gateway = builder(&engine)
        .on_command(|command| async move {
            assert!(command.name != CommandName::GroupInfo, "a mistake");
            if command.name == CommandName::PrivacyGet {
                return Ok(Bytes::from_static(b"{"));
            }
            Err(RefusedBy {
                code: "not_on_whatsapp".to_owned(),
                message: "no such number".to_owned(),
            })
        })
        .start();
    let mut peer = engine.welcome(1).await;
    peer.command("msg_1", CommandName::MessageSend).await;
    assert_eq!(
        peer.result("msg_1").await,
        Err("not_on_whatsapp".to_owned())
    );
    peer.command("cmd_1", CommandName::GroupInfo).await;
    assert_eq!(peer.result("cmd_1").await, Err("internal".to_owned()));
    peer.command("cmd_2", CommandName::PrivacyGet).await;
    assert_eq!(peer.result("cmd_2").await, Err("internal".to_owned()));
}
