//! Commands are carried out, once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use domain::device::CommandName;
use tokio::sync::{Notify, mpsc};

use super::{engine::Engine, *};
use crate::RefusedBy;

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
        let mut peer = engine.accept().await;
        peer.welcome(fence).await;
        peer.command("msg_1", CommandName::MessageSend).await;
        let result = peer.result("msg_1").await;
        assert_eq!(result, Ok(Bytes::from_static(b"[\"message.send\",0]")));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    drop(gateway);
}

#[tokio::test]
async fn a_command_that_comes_again_while_it_is_carried_out_is_answered_once() {
    let engine = Engine::start().await;
    let (began, mut beginnings) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let may_go_on = Arc::clone(&go_on);
    let _gateway = builder(&engine)
        .on_command(move |command| {
            began.send(command.id).unwrap();
            let may_go_on = Arc::clone(&may_go_on);
            async move {
                may_go_on.notified().await;
                Ok(Bytes::from_static(b"1"))
            }
        })
        .start();
    let mut peer = engine.accept().await;
    peer.welcome(1).await;
    peer.command("cmd_1", CommandName::HistorySync).await;
    assert_eq!(beginnings.recv().await.as_deref(), Some("cmd_1"));
    drop(peer);
    let mut peer = engine.accept().await;
    peer.welcome(2).await;
    peer.command("cmd_1", CommandName::HistorySync).await;
    peer.command("cmd_2", CommandName::HistorySync).await;
    assert_eq!(beginnings.recv().await.as_deref(), Some("cmd_2"));
    go_on.notify_one();
    assert_eq!(peer.result("cmd_1").await, Ok(Bytes::from_static(b"1")));
    go_on.notify_one();
    assert_eq!(peer.result("cmd_2").await, Ok(Bytes::from_static(b"1")));
}

#[tokio::test]
async fn messages_are_sent_one_after_the_other_while_other_commands_go_on() {
    let engine = Engine::start().await;
    let (began, mut beginnings) = mpsc::unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let may_go_on = Arc::clone(&go_on);
    let _gateway = builder(&engine)
        .on_command(move |command| {
            let (began, may_go_on) = (began.clone(), Arc::clone(&may_go_on));
            async move {
                began.send(command.id).unwrap();
                if command.name == CommandName::MessageSend {
                    may_go_on.notified().await;
                }
                Ok(Bytes::from_static(b"null"))
            }
        })
        .start();
    let mut peer = engine.accept().await;
    peer.welcome(1).await;
    peer.command("msg_1", CommandName::MessageSend).await;
    peer.command("msg_2", CommandName::MessageSend).await;
    peer.command("cmd_1", CommandName::GroupInfo).await;
    assert!(peer.result("cmd_1").await.is_ok());
    let mut begun = [beginnings.recv().await, beginnings.recv().await].map(Option::unwrap);
    begun.sort();
    assert_eq!(begun.each_ref().map(|id| &**id), ["cmd_1", "msg_1"]);
    assert!(beginnings.is_empty());
    go_on.notify_one();
    assert!(peer.result("msg_1").await.is_ok());
    assert_eq!(beginnings.recv().await.as_deref(), Some("msg_2"));
    go_on.notify_one();
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
    let mut peer = engine.accept().await;
    peer.welcome(1).await;
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
