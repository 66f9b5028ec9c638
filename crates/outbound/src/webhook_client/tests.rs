//! The client against targets that behave and targets that do not.

use std::net::TcpListener;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use domain::time::Timestamp;
use futures_util::FutureExt as _;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

use super::*;
use crate::{
    fake_target::{Behaviour, FakeTarget, Names, tenant},
    outside::Outside,
};

mod faults;
mod reach;

const OK: Behaviour = Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
const AUTHORITY: &str = include_str!("../../fixtures/ca.pem");
const CERTIFICATE: &str = include_str!("../../fixtures/server.pem");
const KEY: &str = include_str!("../../fixtures/server-key.pem");

/// Long enough for any machine; no test waits for it.
const AMPLE: Duration = Duration::from_secs(60);
/// How long a test waits for what never comes.
const SCANT: Duration = Duration::from_millis(150);

fn options() -> ClientOptions {
    ClientOptions {
        guard: Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
        connect_timeout: Duration::from_secs(30),
        per_host_in_flight_max: 8,
        pool_idle_per_host_max: 8,
        user_agent: "Trunkline/test".to_owned(),
        extra_roots: Vec::new(),
        clock: Clock::new(Timestamp::parse("1994-11-06T08:49:00Z").unwrap(), || {
            Duration::ZERO
        }),
        runtime: Handle::current(),
    }
}

fn client() -> WebhookClient {
    WebhookClient::new(options()).unwrap()
}

fn client_with_names(names: &[(&str, &[&str])]) -> WebhookClient {
    WebhookClient::with_lookup(options(), Arc::new(Names::new(names))).unwrap()
}

fn client_that_trusts_the_fixture() -> WebhookClient {
    let mut options = options();
    options.extra_roots = vec![CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap()];
    let names = Names::new(&[
        ("target.test", &["127.0.0.1"]),
        ("other.test", &["127.0.0.1"]),
    ]);
    WebhookClient::with_lookup(options, Arc::new(names)).unwrap()
}

fn post_to(url: Url, timeout: Duration) -> Post {
    Post {
        tenant: tenant(1),
        url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        timeout,
    }
}

async fn result_of(behaviour: Behaviour, timeout: Duration) -> Result<Answer, PostError> {
    let target = FakeTarget::start(behaviour).await;
    client().post(post_to(target.url(), timeout)).await.result
}

/// A real server that echoes the body, with TLS if asked for.
fn echo(with_tls: bool) -> (u16, ServerHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |request: HttpRequest, body: Bytes| async move {
        let agent = request.headers().get("user-agent").cloned().unwrap();
        HttpResponse::Ok()
            .insert_header(("x-agent", agent))
            .body(body)
    };
    let server = HttpServer::new(move || App::new().route("/hook", web::post().to(answer)))
        .workers(1)
        .disable_signals();
    let server = if with_tls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap(),
            )
            .unwrap();
        server.listen_rustls_0_23(listener, config).unwrap()
    } else {
        server.listen(listener).unwrap()
    };
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    (port, handle)
}

#[actix_web::test]
async fn an_answer_comes_back_with_status_and_body() {
    let (port, server) = echo(false);
    let mut post = post_to(
        format!("http://127.0.0.1:{port}/hook").parse().unwrap(),
        AMPLE,
    );
    post.body = Bytes::from_static(b"{\"n\":1.50}");
    let answer = client().post(post).await.result.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "{\"n\":1.50}");
    server.stop(false).await;
}

#[tokio::test]
async fn a_post_arrives_with_its_headers_and_body_as_they_were() {
    let mut target = FakeTarget::start(OK).await;
    let mut post = post_to(target.url(), AMPLE);
    post.headers
        .insert("webhook-id", HeaderValue::from_static("evt_1"));
    post.body = Bytes::from_static(b"{\"a\":  1}");
    client().post(post).await.result.unwrap();
    let request = target.request().await;
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("webhook-id: evt_1\r\n"), "{request}");
    assert!(
        request.contains("user-agent: Trunkline/test\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\n{\"a\":  1}"), "{request}");
}

#[tokio::test]
async fn headers_of_the_connection_cannot_be_set() {
    let mut target = FakeTarget::start(OK).await;
    let mut post = post_to(target.url(), AMPLE);
    for name in &HEADERS_DROPPED {
        post.headers
            .insert(name, HeaderValue::from_static("intruder"));
    }
    client().post(post).await.result.unwrap();
    let request = target.request().await;
    assert!(!request.contains("intruder"), "{request}");
    assert!(request.contains("content-length: 2\r\n"), "{request}");
}

#[tokio::test]
async fn a_user_in_the_url_becomes_a_header() {
    let mut target = FakeTarget::start(OK).await;
    let mut url = target.url();
    url.set_username("me").unwrap();
    url.set_password(Some("secret")).unwrap();
    let mut post = post_to(url, AMPLE);
    post.headers
        .insert("webhook-id", HeaderValue::from_static("evt_1"));
    client().post(post).await.result.unwrap();
    let request = target.request().await;
    assert!(
        request.contains("authorization: Basic bWU6c2VjcmV0\r\n"),
        "{request}"
    );
    assert!(request.contains("webhook-id: evt_1\r\n"), "{request}");
}

#[tokio::test]
async fn one_connection_serves_post_after_post() {
    let mut target = FakeTarget::start(OK).await;
    let client = client();
    for _ in 0..20 {
        client
            .post(post_to(target.url(), AMPLE))
            .await
            .result
            .unwrap();
    }
    assert_eq!(target.requests_so_far(), 20);
    drop(client);
    target.connection_closed().await;
    assert_eq!(target.connection_closed().now_or_never(), None);
}

#[tokio::test]
async fn a_connection_that_the_target_has_closed_does_not_serve_again() {
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let mut target = FakeTarget::start(Behaviour::CloseAfter(last)).await;
    let client = client();
    for _ in 0..5 {
        let answer = client.post(post_to(target.url(), AMPLE)).await.result;
        assert_eq!(answer.unwrap().status, 200);
        target.connection_closed().await;
        // The runtime hears of the end of the connection when it looks at its sockets, as it does between tasks.
        tokio::task::yield_now().await;
    }
    assert_eq!(target.requests_so_far(), 5);
}

#[tokio::test]
async fn a_target_that_announces_the_end_of_its_connection_gets_another() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let unmeasured = "HTTP/1.0 200 OK\r\n\r\nok";
    for behaviour in [
        Behaviour::CloseAfter(last),
        Behaviour::CloseAfter(chunked),
        Behaviour::CloseAfter(unmeasured),
    ] {
        let mut target = FakeTarget::start(behaviour).await;
        let client = client();
        for _ in 0..3 {
            let answer = client.post(post_to(target.url(), AMPLE)).await.result;
            assert_eq!(answer.unwrap().body, "ok", "{behaviour:?}");
            target.connection_closed().await;
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn query_and_path_arrive_as_they_were_and_the_fragment_stays() {
    let mut target = FakeTarget::start(OK).await;
    let url = format!("{}/a%20b?x=1&y=%2F#part", target.url());
    client()
        .post(post_to(url.parse().unwrap(), AMPLE))
        .await
        .result
        .unwrap();
    let request = target.request().await;
    let first = "POST /hook/a%20b?x=1&y=%2F HTTP/1.1\r\n";
    assert!(request.starts_with(first), "{request}");
}

#[test]
fn a_post_from_elsewhere_runs_on_the_outside() {
    let outside = Outside::start(1).unwrap();
    let target = outside.handle().block_on(FakeTarget::start(OK));
    let client = outside.handle().block_on(async { client() });
    let elsewhere = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let post = post_to(target.url(), AMPLE);
    let outcome = elsewhere.block_on(client.post(post.clone()));
    assert_eq!(outcome.result.unwrap().body, "ok");
    outside.shutdown(Duration::from_secs(1));
    let outcome = elsewhere.block_on(client.post(post));
    assert_eq!(outcome.result, Err(PostError::BrokenOff));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let metadata = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n\
                    content-length: 0\r\n\r\n";
    let result = result_of(Behaviour::Answer(metadata), AMPLE).await;
    assert_eq!(result.unwrap().status, 302);
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_and_as_a_date() {
    let seconds = "HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let answer = result_of(Behaviour::Answer(seconds), AMPLE).await.unwrap();
    assert_eq!(
        (answer.status, answer.retry_after),
        (429, Some(Duration::from_secs(7)))
    );
    let date = "HTTP/1.1 503 No\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                content-length: 0\r\n\r\n";
    let answer = result_of(Behaviour::Answer(date), AMPLE).await.unwrap();
    assert_eq!(
        (answer.status, answer.retry_after),
        (503, Some(Duration::from_secs(37)))
    );
}

#[tokio::test]
async fn an_error_names_neither_password_nor_path() {
    let url = "http://me:secret@unknown.test/token";
    let client = client_with_names(&[]);
    let error = client
        .post(post_to(url.parse().unwrap(), AMPLE))
        .await
        .result
        .unwrap_err();
    let text = error.to_string();
    assert!(
        !text.contains("secret") && !text.contains("token"),
        "{text}"
    );
}

#[test]
fn a_post_shows_no_secret_in_a_log() {
    let url = "https://me:secret@example.com/token?key=secret"
        .parse()
        .unwrap();
    let mut post = post_to(url, AMPLE);
    post.headers
        .insert("authorization", HeaderValue::from_static("Bearer secret"));
    post.body = Bytes::from_static(b"secret");
    let shown = format!("{post:?}");
    assert!(
        !shown.contains("secret") && !shown.contains("token"),
        "{shown}"
    );
}
