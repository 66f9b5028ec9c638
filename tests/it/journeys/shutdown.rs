//! SIGTERM: nothing is lost, nothing is cut off, the exit is clean.

use serde_json::json;

use crate::harness::{
    Behaviour, Engine, Settings, Sink, export::events_of, export::fetch, export::verify,
    load::Load, until,
};

#[tokio::test]
async fn sigterm_under_load_answers_or_refuses_every_request_and_exits_with_0() {
    for _ in 0..3 {
        let mut engine = Engine::start().await;
        let sink = Sink::start().await;
        engine
            .client()
            .post("/v1/webhooks", &json!({ "url": sink.url() }))
            .await
            .ok(201);
        let load = Load::start(&engine.client(), 16, "a");
        until("the load runs", async || (load.count() > 300).then_some(())).await;
        engine.send_sigterm().await;
        let status = engine.ended().await;
        assert_eq!(status.code(), Some(0), "{}", engine.log());
        let refused = load.refused();
        let acknowledged = load.stop().await;
        for answer in refused {
            assert!(
                matches!(answer.status, 503),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        engine.start_again().await;
        let path = fetch(&engine, &engine.client(), "after.ndjson", "").await;
        assert_eq!(verify(&path).await.code, Some(0));
        let kept = events_of(&path);
        // A request that was sent and got no answer may be there or not; what was acknowledged must be.
        for one in &acknowledged {
            let index = usize::try_from(one.position - 1).unwrap();
            assert_eq!(kept[index]["id"], one.id.as_str());
        }
        until("the webhook has every event", async || {
            (sink.count() >= kept.len()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_end_in_order_is_no_error_in_the_log() {
    let mut engine = Engine::start().await;
    engine.send_sigterm().await;
    assert_eq!(engine.ended().await.code(), Some(0));
    assert!(!engine.log().contains("ERROR"), "{}", engine.log());
}

#[tokio::test]
async fn sigint_ends_it_too() {
    let mut engine = Engine::start().await;
    crate::harness::process::signal(engine.process_id(), "INT").await;
    assert_eq!(engine.ended().await.code(), Some(0));
}

#[tokio::test]
async fn tails_end_in_order_when_it_stops() {
    let mut engine = Engine::start().await;
    let client = engine.client();
    let mut tail = client.tail("", None).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    assert_eq!(tail.event().await.unwrap().id, Some(1));
    engine.send_sigterm().await;
    assert_eq!(tail.event().await, None);
    assert_eq!(engine.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_delivery_that_is_on_its_way_may_finish_and_is_not_repeated() {
    let mut engine = Engine::start().await;
    let pause = std::time::Duration::from_secs(2);
    let sink = Sink::that(Behaviour::After(pause, 200)).await;
    engine
        .client()
        .post("/v1/webhooks", &json!({ "url": sink.url() }))
        .await
        .ok(201);
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    sink.wait_for(1).await;
    engine.send_sigterm().await;
    assert_eq!(engine.ended().await.code(), Some(0));
    engine.start_again().await;
    let other = engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    let received = sink.wait_for(2).await;
    assert_eq!(
        received[1].event_id(),
        other["id"].as_str().unwrap(),
        "the first is settled"
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let settings = Settings::default().with("TRUNKLINE__SERVER__SHUTDOWN_SECONDS", "600");
    let mut engine = Engine::start_with(settings).await;
    let sink = Sink::that(Behaviour::Hang).await;
    let body = json!({ "url": sink.url(), "timeout_ms": 60_000 });
    engine.client().post("/v1/webhooks", &body).await.ok(201);
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    sink.wait_for(1).await;
    engine.send_sigterm().await;
    // It has heard the first signal when it takes no more connections.
    until("it stops accepting", async || {
        engine
            .anonymous()
            .get("/health")
            .attempt()
            .await
            .is_err()
            .then_some(())
    })
    .await;
    engine.send_sigterm().await;
    assert_eq!(engine.ended().await.code(), Some(130));
}
