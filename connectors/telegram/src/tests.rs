//! The connector between an engine and a Telegram that do what a test says, and with a Bot API that is not ours.

mod engine;
mod independent;
mod telegram;

use gateway::{Builder, Gateway};
use serde_json::{Value, json};

use crate::{bot::Bot, relay::Relay, relay::RelayError, sender::Sender};
use engine::Engine;
use telegram::Telegram;

/// Starts what `main` starts.
fn start(engine: &Engine, api: &str) -> (Gateway, tokio::task::JoinHandle<RelayError>) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let bot = Bot::new(&api.parse().unwrap(), "1:token").unwrap();
    let sender = Sender::new(bot.clone());
    let gateway = Builder::new(&engine.url(), engine::device(), "ak_test")
        .unwrap()
        .on_command(move |command| {
            let sender = sender.clone();
            async move { sender.carry_out(command).await }
        })
        .start();
    let relay = Relay::new(bot, gateway.clone());
    (gateway, tokio::spawn(relay.run()))
}

fn update(id: i64) -> Value {
    json!({
        "update_id": id,
        "message": { "message_id": 5, "date": 1, "text": "hi", "chat": { "id": 7 }, "from": { "id": 7 } },
    })
}

#[tokio::test]
async fn an_update_is_confirmed_only_after_the_engine_has_it() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (_gateway, _relay) = start(&engine, &telegram.url());
    let mut session = engine.accept().await;
    telegram.greet().await;
    let call = telegram.expect("getUpdates").await;
    assert_eq!(call.body["offset"], 0);
    call.answer(&json!([update(9), update(10)])).await;
    session.expect_state("connected").await;
    let first = session.expect("event").await;
    let second = session.expect("event").await;
    assert_eq!(first["id"], "update_9.0");
    assert_eq!(second["id"], "update_10.0");
    session.ack(&first).await;
    // Only when the last event is acknowledged too there is another call.
    session.nack(&second).await;
    let call = telegram.expect("getUpdates").await;
    assert_eq!(call.body["offset"], 11);
}

#[tokio::test]
async fn what_the_engine_did_not_acknowledge_is_not_confirmed() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (gateway, relay) = start(&engine, &telegram.url());
    let mut session = engine.accept().await;
    telegram.greet().await;
    telegram
        .expect("getUpdates")
        .await
        .answer(&json!([update(9)]))
        .await;
    session.expect_state("connected").await;
    session.expect("event").await;
    gateway.close().await;
    assert!(matches!(relay.await.unwrap(), RelayError::Ended(_)));
    assert!(telegram.has_no_call());
}

#[tokio::test]
async fn messages_are_sent_edited_and_deleted() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (_gateway, _relay) = start(&engine, &telegram.url());
    let mut session = engine.accept().await;
    let polling = telegram.expect("getMe").await;
    for (args, method, body, result) in [
        (
            json!({ "to": "7", "id": "msg_1", "text": "hi", "reply_to": { "id": "3" } }),
            "sendMessage",
            json!({ "chat_id": 7, "text": "hi", "reply_parameters": { "message_id": 3 } }),
            json!({ "message_id": 5, "chat": { "id": 7 } }),
        ),
        (
            json!({ "to": "7", "edit": { "id": "5", "text": "ho" } }),
            "editMessageText",
            json!({ "chat_id": 7, "message_id": 5, "text": "ho" }),
            json!(true),
        ),
        (
            json!({ "to": "7", "delete": "5" }),
            "deleteMessage",
            json!({ "chat_id": 7, "message_id": 5 }),
            Value::Null,
        ),
    ] {
        session.command(method, "message.send", &args).await;
        let call = telegram.expect(method).await;
        assert_eq!(call.body, body);
        call.answer(&result).await;
        let result = session.expect("result").await;
        assert_eq!(result["ok"], true, "{result}");
        let key = json!({ "chat": "7", "sender": "", "id": "5" });
        assert_eq!(result["data"]["key"], key);
    }
    drop(polling);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_code() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (_gateway, _relay) = start(&engine, &telegram.url());
    let mut session = engine.accept().await;
    let polling = telegram.expect("getMe").await;
    for (number, (name, args, code)) in [
        ("group.create", json!({}), "unsupported"),
        ("history.sync", json!({}), "unsupported"),
        (
            "message.send",
            json!({ "to": "7", "media": {} }),
            "unsupported",
        ),
        (
            "message.send",
            json!({ "to": "x", "text": "a" }),
            "invalid_field",
        ),
        (
            "message.send",
            json!({ "to": "7", "delete": "x" }),
            "invalid_field",
        ),
        ("message.send", json!({ "text": "a" }), "invalid_field"),
    ]
    .into_iter()
    .enumerate()
    {
        session.command(&number.to_string(), name, &args).await;
        let result = session.expect("result").await;
        assert_eq!(result["error"]["code"], code, "{result}");
    }
    for (status, code) in [
        (400, "telegram_refused"),
        (403, "forbidden"),
        (500, "telegram_unreachable"),
    ] {
        let args = json!({ "to": "7", "text": "a" });
        session
            .command(&status.to_string(), "message.send", &args)
            .await;
        telegram.expect("sendMessage").await.refuse(status).await;
        let result = session.expect("result").await;
        assert_eq!(result["error"]["code"], code, "{result}");
        assert!(!result.to_string().contains("token"), "{result}");
    }
    drop(polling);
}

#[tokio::test]
async fn a_wrong_token_is_the_end() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (_gateway, relay) = start(&engine, &telegram.url());
    let mut session = engine.accept().await;
    telegram.expect("getMe").await.refuse(401).await;
    let state = session.expect_state("offline").await;
    assert_eq!(state["reason"], "unauthorized");
    let error = relay.await.unwrap().to_string();
    assert!(!error.contains("1:token"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connector_gives_way_to_another_that_fetches_the_updates() {
    let (engine, telegram) = (Engine::start().await, Telegram::start().await);
    let (_gateway, relay) = start(&engine, &telegram.url());
    let _session = engine.accept().await;
    telegram.greet().await;
    for _ in 0..5 {
        telegram.expect("getUpdates").await.refuse(409).await;
    }
    assert!(matches!(relay.await.unwrap(), RelayError::Bot(_)));
}

#[test]
fn a_token_is_checked_and_never_shown() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let api = "http://127.0.0.1:1".parse().unwrap();
    assert!(Bot::new(&api, "../x").is_err());
    assert!(Bot::new(&api, "").is_err());
    let shown = format!("{:?}", Bot::new(&api, "1:secret").unwrap());
    assert!(!shown.contains("secret"));
}
