//! API §8: commands of which nobody knows what became: they may have been carried out, so nothing is told twice.

use serde_json::json;

use super::{
    device_messages::{messages, only_message},
    devices::made,
};
use crate::harness::{Engine, Gateway, Reply, Settings, client::text, until};

#[tokio::test]
async fn a_message_that_nobody_answers_for_times_out() {
    let settings = Settings::default().with("TRUNKLINE__DEVICES__COMMAND_TIMEOUT_MS", "300");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let device = made(&client).await;
    let gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    let serving = gateway.serve(|_| Reply::Silence);
    let body = json!({ "to": "1234567890", "text": "hi" });
    let post = || {
        let call = client.post(&messages(&device), &body);
        call.header("idempotency-key", "one")
    };
    post().await.problem(504, "device_timeout");
    // It may have been sent all the same: asking again must not send another.
    let again = post().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let problem = again.problem(504, "device_timeout");
    assert_eq!(serving.wait_for(1).await.len(), 1);
    until("the message has failed", async || {
        let message = only_message(&client, &device).await;
        assert_eq!(problem["message"], message["id"]);
        (message["state"] == "failed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_whose_session_is_ended_meanwhile_may_have_been_sent_and_is_not_sent_again() {
    let engine = Engine::start().await;
    let client = engine.client();
    let device = made(&client).await;
    let mut gateway = Gateway::connected(client.base(), engine.key(), &device).await;
    let post = || {
        let body = json!({ "to": "1234567890", "text": "hi" });
        let call = client.post(&messages(&device), &body);
        call.header("idempotency-key", "one")
    };
    let ending = async {
        gateway.expect("command").await;
        let path = format!("/v1/devices/{device}/disconnect");
        client.post(&path, &json!({})).await.ok(200);
    };
    let (unsent, ()) = tokio::join!(async { post().await }, ending);
    let problem = unsent.problem(504, "device_timeout");
    assert!(text(&problem, "detail").contains("was ended"), "{problem}");
    let (gateway, again) = tokio::join!(
        Gateway::connected(client.base(), engine.key(), &device),
        async { post().await }
    );
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        again.problem(504, "device_timeout")["detail"],
        problem["detail"]
    );
    let serving = gateway.serve(|_| Reply::Done(json!({})));
    let other = json!({ "to": "1234567890", "text": "ho" });
    client.post(&messages(&device), &other).await.ok(202);
    assert_eq!(
        serving.commands().len(),
        1,
        "the first one is not sent again"
    );
}
