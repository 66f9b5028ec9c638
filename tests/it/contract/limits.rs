//! What happens when too much is asked at once.

use serde_json::json;

use crate::harness::{Engine, Settings};

#[tokio::test]
async fn a_tenant_with_too_much_in_flight_is_told_to_come_back() {
    let settings = Settings::default().with("TRUNKLINE__ENGINE__TENANT_IN_FLIGHT_MAX", "1");
    let engine = Engine::start_with(settings).await;
    let client = engine.client();
    let event = json!({ "type": "a", "payload": 1 });
    let calls = (0..200).map(|_| client.post("/v1/events", &event).into_future());
    let answers = futures_util::future::join_all(calls).await;
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    for answer in answers.into_iter().filter(|answer| answer.status != 202) {
        answer.problem(503, "overloaded");
    }
    assert!((1..200).contains(&accepted), "{accepted}");
    let kept = client.every_page("/v1/events?limit=500").await;
    assert_eq!(kept.len(), accepted, "what was refused is not there");
}

#[tokio::test]
async fn a_suspended_tenant_may_do_nothing() {
    let engine = Engine::start().await;
    let tenant = engine.tenant("late-payer", "growth").await;
    tenant.client.get("/v1/events").await.ok(200);
    let path = format!("/internal/tenants/{}", tenant.id);
    let suspend = |is_suspended: bool| {
        let call = engine.operator().call(reqwest::Method::PATCH, &path);
        call.json(&json!({ "suspended": is_suspended }))
    };
    suspend(true).await.ok(200);
    tenant
        .client
        .get("/v1/events")
        .await
        .problem(403, "permission_denied");
    suspend(false).await.ok(200);
    tenant.client.get("/v1/events").await.ok(200);
}
