//! API §6: webhooks as resources, and what a receiver gets.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, Settings, Sink, client::text, until};

/// Makes a webhook; answers it, secret included.
pub(crate) async fn make(client: &Client, body: Value) -> Value {
    client.post("/v1/webhooks", &body).await.ok(201).data()
}

#[tokio::test]
async fn a_webhook_is_made_with_its_defaults() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = make(&client, json!({ "url": "https://example.com/hook" })).await;
    insta::assert_json_snapshot!(made, {
        ".id" => "wh_…", ".secret" => "whsec_…", ".created_at" => "…", ".updated_at" => "…",
    }, @r#"
    {
      "created_at": "…",
      "description": "",
      "enabled": true,
      "events": [
        "*"
      ],
      "headers": {},
      "id": "wh_…",
      "max_in_flight": 64,
      "ordered": false,
      "previous_secret_until": null,
      "rate_per_second": null,
      "retry": "standard",
      "secret": "whsec_…",
      "state": "active",
      "timeout_ms": 15000,
      "updated_at": "…",
      "url": "https://example.com/hook",
      "version": 1,
      "workspace": null
    }
    "#);
    assert!(text(&made, "id").starts_with("wh_"));
    assert!(text(&made, "secret").starts_with("whsec_"));
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = make(&client, json!({ "url": "https://example.com/hook" })).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    let secret = text(&made, "secret");
    for answer in [client.get(&path).await, client.get("/v1/webhooks").await] {
        assert!(!answer.ok(200).text().contains(secret));
    }
    let patched = client
        .call(Method::PATCH, &path)
        .json(&json!({ "description": "d" }))
        .await;
    assert!(!patched.ok(200).text().contains(secret));
}

#[tokio::test]
async fn a_webhook_is_read_listed_changed_and_deleted() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = make(
        &client,
        json!({ "url": "https://example.com/hook", "description": "one" }),
    )
    .await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    assert_eq!(client.get(&path).await.ok(200).data()["description"], "one");

    let patch = json!({ "events": ["a.*"], "timeout_ms": 900 });
    let patched = client
        .call(Method::PATCH, &path)
        .json(&patch)
        .await
        .ok(200)
        .data();
    assert_eq!(patched["events"], json!(["a.*"]));
    assert_eq!(patched["timeout_ms"], 900);
    assert_eq!(patched["description"], "one", "PATCH leaves the rest");

    let put = json!({ "url": "https://example.com/other" });
    let replaced = client
        .call(Method::PUT, &path)
        .json(&put)
        .await
        .ok(200)
        .data();
    assert_eq!(replaced["url"], "https://example.com/other");
    assert_eq!(
        replaced["events"],
        json!(["*"]),
        "PUT brings the defaults back"
    );
    assert_eq!(replaced["description"], "");

    assert_eq!(client.every_page("/v1/webhooks").await.len(), 1);
    client.call(Method::DELETE, &path).await.ok(204);
    client.get(&path).await.problem(404, "not_found");
    client
        .call(Method::DELETE, &path)
        .await
        .problem(404, "not_found");
    assert_eq!(client.every_page("/v1/webhooks").await, Vec::<Value>::new());
}

#[tokio::test]
async fn lists_of_webhooks_have_pages() {
    let engine = Engine::start().await;
    let client = engine.client();
    let mut made = Vec::new();
    for n in 0..5 {
        let webhook = make(
            &client,
            json!({ "url": format!("https://example.com/{n}") }),
        )
        .await;
        made.push(webhook["url"].clone());
    }
    let listed = client.every_page("/v1/webhooks?limit=2").await;
    let urls: Vec<_> = listed
        .iter()
        .map(|webhook| webhook["url"].clone())
        .collect();
    assert_eq!(urls.len(), 5);
    assert!(made.iter().all(|url| urls.contains(url)), "{urls:?}");
}

#[tokio::test]
async fn a_change_of_an_old_version_is_refused() {
    let engine = Engine::start().await;
    let client = engine.client();
    let made = make(&client, json!({ "url": "https://example.com/hook" })).await;
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    let first = client.get(&path).await.header("etag").unwrap().to_owned();
    let patch = |tag: &str, description: &str| {
        let body = json!({ "description": description });
        client
            .call(Method::PATCH, &path)
            .header("if-match", tag)
            .json(&body)
    };
    let second = patch(&first, "two")
        .await
        .ok(200)
        .header("etag")
        .unwrap()
        .to_owned();
    assert_ne!(first, second);
    patch(&first, "three")
        .await
        .problem(412, "version_mismatch");
    let put = client.call(Method::PUT, &path).header("if-match", &first);
    put.json(&json!({ "url": "https://example.com" }))
        .await
        .problem(412, "version_mismatch");
    let delete = client
        .call(Method::DELETE, &path)
        .header("if-match", &first);
    delete.await.problem(412, "version_mismatch");
    patch("*", "four").await.ok(200);
    assert_eq!(client.get(&path).await.data()["description"], "four");
}

#[tokio::test]
async fn a_receiver_gets_what_the_contract_says() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    let made = make(
        &client,
        json!({ "url": sink.url(), "headers": { "X-Mine": "yes" } }),
    )
    .await;
    let body = r#"{"type":"order.paid","payload":{ "b":1,"a" : 12345678901234567890.10 },"trace_id":"t-1"}"#;
    let call = client
        .call(Method::POST, "/v1/events")
        .body("application/json", body);
    let receipt = call.await.ok(202).data();
    let received = &sink.wait_for(1).await[0];

    received.verify(text(&made, "secret"));
    assert_eq!(received.method, "POST");
    assert_eq!(received.path, "/hook");
    let expected = format!(
        r#"{{"id":"{}","type":"order.paid","timestamp":"{}","workspace":"{}","position":1,"data":{{ "b":1,"a" : 12345678901234567890.10 }}}}"#,
        text(&receipt, "id"),
        text(&receipt, "received_at"),
        text(&receipt, "workspace"),
    );
    assert_eq!(String::from_utf8_lossy(&received.body), expected);
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", text(&receipt, "id")),
        ("x-event-id", text(&receipt, "id")),
        ("x-event-type", "order.paid"),
        ("x-trunkline-attempt", "1"),
        ("x-trace-id", "t-1"),
        ("x-mine", "yes"),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    let agent = received.header("user-agent").unwrap();
    assert!(agent.starts_with("Trunkline/"), "{agent}");
    assert_eq!(received.header("x-trunkline-signature").unwrap().len(), 64);
    assert_eq!(received.header("traceparent").unwrap().len(), 55);
    assert_eq!(received.header("accept-encoding"), None);
}

#[tokio::test]
async fn the_plain_signature_is_the_hmac_of_the_body() {
    let engine = Engine::start().await;
    let client = engine.client();
    let sink = Sink::start().await;
    // 24 bytes of `k`; what `openssl dgst -sha256 -hmac` makes of a body under them is checked below by its verifier.
    let secret = "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr";
    make(&client, json!({ "url": sink.url(), "secret": secret })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let received = &sink.wait_for(1).await[0];
    received.verify(secret);
    let body = engine.home().join("body");
    std::fs::write(&body, &received.body).unwrap();
    let openssl = tokio::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "kkkkkkkkkkkkkkkkkkkkkkkk"])
        .arg(&body)
        .output()
        .await
        .expect("openssl is installed");
    let output = String::from_utf8(openssl.stdout).unwrap();
    let signature = received.header("x-trunkline-signature").unwrap();
    assert!(output.trim().ends_with(signature), "{output} {signature}");
}

#[tokio::test]
async fn a_webhook_gets_the_types_and_the_workspace_that_it_asked_for() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .post(
            "/v1/workspaces",
            &json!({ "slug": "other", "name": "Other" }),
        )
        .await
        .ok(201);
    let (exact, prefix, workspace) = (
        Sink::start().await,
        Sink::start().await,
        Sink::start().await,
    );
    make(
        &client,
        json!({ "url": exact.url(), "events": ["order", "end"] }),
    )
    .await;
    make(
        &client,
        json!({ "url": prefix.url(), "events": ["order.*", "end"] }),
    )
    .await;
    make(
        &client,
        json!({ "url": workspace.url(), "workspace": "other" }),
    )
    .await;
    let events = json!([
        { "type": "order", "payload": 1 },
        { "type": "order.paid", "payload": 2 },
        { "type": "user", "payload": 3, "workspace": "other" },
        { "type": "end", "payload": 4, "workspace": "other" },
    ]);
    client.post("/v1/events", &events).await.ok(202);
    for (sink, expected) in [(&exact, [1, 4]), (&prefix, [2, 4]), (&workspace, [3, 4])] {
        let received = sink.wait_for(2).await;
        let mut got: Vec<_> = received
            .iter()
            .filter_map(|received| received.json()["data"].as_u64())
            .collect();
        got.sort_unstable();
        assert_eq!(got, expected);
    }
}

#[tokio::test]
async fn events_from_before_a_webhook_are_not_for_it() {
    let engine = Engine::start().await;
    let client = engine.client();
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let sink = Sink::start().await;
    make(&client, json!({ "url": sink.url() })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    let received = sink.wait_for(1).await;
    assert_eq!(received[0].json()["data"], 2);
}

#[tokio::test]
async fn a_disabled_webhook_gets_nothing_until_it_is_enabled() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (quiet, loud) = (Sink::start().await, Sink::start().await);
    let made = make(&client, json!({ "url": quiet.url(), "enabled": false })).await;
    make(&client, json!({ "url": loud.url() })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    loud.wait_for(1).await;
    assert_eq!(quiet.count(), 0);
    let path = format!("/v1/webhooks/{}", text(&made, "id"));
    client
        .call(Method::PATCH, &path)
        .json(&json!({ "enabled": true }))
        .await
        .ok(200);
    quiet.wait_for(1).await;
}

#[tokio::test]
async fn the_number_of_webhooks_is_the_plans() {
    let settings = Settings::default().with("TRUNKLINE__PLANS__FREE__WEBHOOKS", "2");
    let engine = Engine::start_with(settings).await;
    let client = engine.tenant("small", "free").await.client;
    let body = json!({ "url": "https://example.com" });
    for _ in 0..2 {
        make(&client, body.clone()).await;
    }
    client
        .post("/v1/webhooks", &body)
        .await
        .problem(403, "plan_required");
}

#[tokio::test]
async fn a_deleted_webhook_gets_nothing_more() {
    let engine = Engine::start().await;
    let client = engine.client();
    let (gone, stays) = (Sink::start().await, Sink::start().await);
    let made = make(&client, json!({ "url": gone.url() })).await;
    make(&client, json!({ "url": stays.url() })).await;
    client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    gone.wait_for(1).await;
    client
        .call(
            Method::DELETE,
            &format!("/v1/webhooks/{}", text(&made, "id")),
        )
        .await
        .ok(204);
    client
        .send_event(&json!({ "type": "a", "payload": 2 }))
        .await;
    until("the other webhook has both", async || {
        (stays.count() == 2).then_some(())
    })
    .await;
    assert_eq!(gone.count(), 1);
}
