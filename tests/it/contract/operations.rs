//! API §9: health, readiness, and what operators see.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Engine, Settings, client::text};

#[tokio::test]
async fn health_and_readiness_want_no_key() {
    let engine = Engine::start().await;
    for path in ["/health", "/ready", "/metrics", "/openapi.json", "/docs"] {
        engine.anonymous().get(path).await.ok(200);
    }
}

#[tokio::test]
async fn the_metrics_have_a_port_of_their_own_when_wished() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = Settings::default().with("TRUNKLINE__METRICS__PORT", port.to_string());
    let engine = Engine::start_with(settings).await;
    let metrics = Client::new(format!("http://127.0.0.1:{port}"));
    metrics.get("/metrics").await.ok(200);
    assert_eq!(
        metrics
            .with_key(engine.key())
            .get("/v1/events")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn operators_calls_want_the_token() {
    let engine = Engine::start().await;
    for client in [
        engine.anonymous(),
        engine.client(),
        engine.anonymous().with_header("x-internal-token", "wrong"),
        engine.anonymous().with_header("x-internal-token", ""),
    ] {
        for path in [
            "/internal/health",
            "/internal/metrics",
            "/internal/region-health",
            "/internal/actors",
            "/internal/tenants",
        ] {
            let answer = client.get(path).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn without_a_token_operators_calls_are_closed() {
    let settings = Settings::default().with("INTERNAL_TOKEN", "");
    let engine = Engine::start_with(settings).await;
    for token in ["", "anything"] {
        let client = engine.anonymous().with_header("x-internal-token", token);
        let answer = client.get("/internal/tenants").await;
        assert!(matches!(answer.status, 401 | 404), "{}", answer.text());
    }
}

#[tokio::test]
async fn operators_see_health_counts_and_actors() {
    let engine = Engine::start().await;
    engine
        .client()
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    let operator = engine.operator();
    operator.get("/internal/health").await.ok(200);
    let regions = operator.get("/internal/region-health").await.ok(200).text();
    assert!(regions.contains("AU"), "{regions}");
    let metrics = operator.get("/internal/metrics").await.ok(200);
    assert!(metrics.json().is_object());
    let actors = operator.get("/internal/actors").await.ok(200).text();
    assert!(actors.contains(&engine.first_tenant_id().await), "{actors}");
    assert!(
        actors.contains("tenant") && actors.contains("region"),
        "{actors}"
    );
}

#[tokio::test]
async fn operators_make_list_and_change_tenants() {
    let engine = Engine::start().await;
    let operator = engine.operator();
    let tenant = engine.tenant("acme", "starter").await;
    tenant
        .client
        .send_event(&json!({ "type": "a", "payload": 1 }))
        .await;
    tenant
        .client
        .get("/v1/events/tail")
        .await
        .problem(403, "plan_required");
    let listed = operator.get("/internal/tenants").await.ok(200).data();
    let slugs: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|tenant| text(tenant, "slug"))
        .collect();
    assert_eq!(slugs, ["default", "acme"]);
    let path = format!("/internal/tenants/{}", tenant.id);
    let call = operator
        .call(Method::PATCH, &path)
        .json(&json!({ "plan": "growth" }));
    call.await.ok(200);
    tenant.client.tail("", None).await;
}

#[tokio::test]
async fn wrong_tenants_are_refused_with_a_pointer() {
    let engine = Engine::start().await;
    let operator = engine.operator();
    let good = json!({ "name": "N", "slug": "n", "plan": "free", "region": "AU" });
    for (member, value) in [
        ("slug", json!("Not A Slug")),
        ("slug", json!(null)),
        ("plan", json!("platinum")),
        ("region", json!("MARS")),
        ("name", json!(7)),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let problem = operator
            .post("/internal/tenants", &body)
            .await
            .problem(422, "invalid_field");
        assert_eq!(
            problem["errors"][0]["pointer"],
            format!("/{member}"),
            "{problem}"
        );
    }
    let mut body = good.clone();
    body["slug"] = json!("default");
    operator
        .post("/internal/tenants", &body)
        .await
        .problem(409, "conflict");
    let path = "/internal/tenants/ten_00000000000000000000000000000000";
    let call = operator
        .call(Method::PATCH, path)
        .json(&json!({ "plan": "free" }));
    call.await.problem(404, "not_found");
}

#[tokio::test]
async fn faults_can_be_made_only_where_they_are_allowed() {
    let engine = Engine::start().await;
    let body = json!({ "kind": "tenant", "key": engine.first_tenant_id().await });
    let answer = engine
        .operator()
        .post("/internal/faults/panic", &body)
        .await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[tokio::test]
async fn tls_is_spoken_when_a_certificate_is_configured() {
    let (chain, key) = crate::harness::certificate::files();
    let home = tempfile::TempDir::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut child = crate::harness::program::program()
        .arg("serve")
        .current_dir(home.path())
        .env("DATA_DIR", home.path().join("data"))
        .env("PORT", port.to_string())
        .env("TRUNKLINE__SERVER__TLS_CERT", &chain)
        .env("TRUNKLINE__SERVER__TLS_KEY", &key)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ca = chain.with_file_name("ca.pem");
    let url = format!("https://127.0.0.1:{port}/health");
    let output = crate::harness::until("it answers over TLS", async || {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "-D", "-", "--cacert"]).arg(&ca).arg(&url);
        let output = curl.output().await.expect("curl is installed");
        assert!(child.try_wait().unwrap().is_none(), "it goes on running");
        output.status.success().then_some(output.stdout)
    })
    .await;
    let output = String::from_utf8_lossy(&output).to_lowercase();
    assert!(output.starts_with("http/1.1 200"), "{output}");
    assert!(output.contains("strict-transport-security:"), "{output}");
}

#[tokio::test]
async fn readiness_says_what_it_looked_at() {
    let engine = Engine::start().await;
    let ready: Value = engine.anonymous().get("/ready").await.ok(200).json();
    assert!(ready.is_object(), "{ready}");
}
