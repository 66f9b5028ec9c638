//! Endpoints that misbehave, one by one: what becomes of the delivery, and that the engine stays well.

use serde_json::{Value, json};

use crate::harness::{
    Behaviour, Engine, Settings, Sink, certificate::UntrustedSink, client::text, until,
};

/// Sends one event to a URL with one attempt; answers the delivery when it is dead, or delivered.
async fn settle(engine: &Engine, url: &str) -> Value {
    let client = engine.client();
    let body = json!({ "url": url, "timeout_ms": 500, "retry": { "schedule": [0] } });
    let made = client.post("/v1/webhooks", &body).await.ok(201).data();
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let list = format!("/v1/webhooks/{}/deliveries", text(&made, "id"));
    let listed = until("the delivery is settled", async || {
        let listed = client.get(&list).await.ok(200).data();
        let is_settled =
            |one: &&Value| one["state"] == "delivered" || one["state"] == "dead_letter";
        listed.as_array()?.iter().find(is_settled).cloned()
    })
    .await;
    let path = format!("/v1/deliveries/{}", text(&listed, "id"));
    let delivery = client.get(&path).await.ok(200).data();
    let webhook = format!("/v1/webhooks/{}", text(&made, "id"));
    client.call(reqwest::Method::DELETE, &webhook).await.ok(204);
    delivery
}

#[tokio::test]
async fn endpoints_that_misbehave_get_a_dead_letter_with_a_reason() {
    let engine = Engine::start().await;
    let refused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (hang, drip, reset) = (
        Sink::that(Behaviour::Hang).await,
        Sink::that(Behaviour::Drip).await,
        Sink::that(Behaviour::Reset).await,
    );
    let untrusted = UntrustedSink::start();
    for (what, url) in [
        ("hangs", hang.url()),
        ("drips", drip.url()),
        ("resets", reset.url()),
        ("listens not", format!("http://{refused}/hook")),
        ("speaks no TLS", reset.https_url()),
        ("has a certificate of nobody", untrusted.url()),
        (
            "has a name that nobody knows",
            "http://nobody.invalid/hook".to_owned(),
        ),
    ] {
        let delivery = settle(&engine, &url).await;
        assert_eq!(delivery["state"], "dead_letter", "{what}: {delivery}");
        assert!(
            !text(&delivery["attempts"][0], "error").is_empty(),
            "{what}: {delivery}"
        );
    }
}

#[tokio::test]
async fn ten_megabytes_of_answer_are_not_read_and_a_success_all_the_same() {
    let engine = Engine::start().await;
    let sink = Sink::that(Behaviour::Huge).await;
    let delivery = settle(&engine, &sink.url()).await;
    assert_eq!(delivery["state"], "delivered", "{delivery}");
    assert_eq!(text(&delivery["attempts"][0], "response").len(), 1024);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let engine = Engine::start().await;
    let other = Sink::start().await;
    for target in [
        other.url(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let header = ("location", target);
        let sink = Sink::that(Behaviour::AnswerWith(302, header, String::new())).await;
        let delivery = settle(&engine, &sink.url()).await;
        assert_eq!(delivery["state"], "dead_letter", "{delivery}");
        assert_eq!(delivery["attempts"][0]["status"], 302);
    }
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn an_address_that_is_no_longer_allowed_is_not_called() {
    let mut engine = Engine::start().await;
    let sink = Sink::start().await;
    let body = json!({ "url": sink.url(), "retry": { "schedule": [0] } });
    engine.client().post("/v1/webhooks", &body).await.ok(201);
    engine.send_sigterm().await;
    engine.ended().await;
    engine.change(|settings: Settings| settings.with("TRUNKLINE__OUTBOUND__ALLOW", ""));
    engine.start_again().await;
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    until("it is dead", async || {
        (engine.client().every_page("/v1/dead-letters").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(sink.connections(), 0);
}
