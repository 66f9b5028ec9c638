//! The server on a real socket.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use actix_web::{HttpResponse, dev::ServerHandle};
use rand::SeedableRng as _;
use socket2::SockRef;

use super::*;
use crate::{
    config::Loaded,
    http::{body::RawBody, routes},
    shutdown::{self, Stopper},
};

struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    _stopper: Stopper,
}

fn settings(variables: &[(&str, &str)]) -> Settings {
    let fixed = [
        ("TRUNKLINE__SERVER__PORT", "0"),
        ("TRUNKLINE__SERVER__WORKERS", "1"),
    ];
    let pairs = fixed.iter().chain(variables);
    let pairs = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("empty.toml");
    std::fs::write(&file, "").unwrap();
    Loaded::load(Some(&file), pairs).unwrap().settings
}

fn options(variables: &[(&str, &str)]) -> (ServerOptions, Stopper) {
    let (stopper, stopping) = shutdown::stopping();
    let options = ServerOptions {
        settings: Arc::new(settings(variables)),
        random: Arc::new(|| StdRng::seed_from_u64(1)),
        metrics: Metrics::alone(crate::clock::system()),
        stopping,
    };
    (options, stopper)
}

fn running(variables: &[(&str, &str)]) -> Running {
    let (options, stopper) = options(variables);
    let listening = start(&options, |app| {
        app.configure(routes::configure)
            .route("/length", web::post().to(length));
    });
    let Listening {
        server, address, ..
    } = listening.unwrap();
    let handle = server.server.handle();
    actix_rt::spawn(server.server);
    Running {
        address,
        handle,
        _stopper: stopper,
    }
}

async fn length(body: RawBody) -> HttpResponse {
    HttpResponse::Ok().body(body.0.len().to_string())
}

/// Sends what `pieces` says, and answers with all that comes back until the server closes.
async fn exchange(address: SocketAddr, pieces: Vec<Vec<u8>>) -> String {
    let blocking = actix_rt::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for piece in pieces {
            // The server may have answered and closed before all is sent.
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    });
    blocking.await.unwrap()
}

fn get(path: &str) -> Vec<Vec<u8>> {
    vec![format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").into_bytes()]
}

fn post(body: &str, length: usize) -> Vec<Vec<u8>> {
    let head = format!(
        "POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    vec![head.into_bytes(), body.as_bytes().to_vec()]
}

#[actix_web::test]
async fn codes_are_explained_and_other_paths_are_problems() {
    let server = running(&[]);
    let answer = exchange(server.address, get("/problems/rate_limited")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\"code\":\"rate_limited\""), "{answer}");
    let answer = exchange(server.address, get("/nowhere")).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn metrics_are_shown_on_both_listeners() {
    let server = running(&[]);
    let answer = exchange(server.address, get("/metrics")).await;
    assert!(
        answer.contains("# TYPE process_uptime_seconds gauge"),
        "{answer}"
    );
    server.handle.stop(false).await;
    let (options, _stopper) = options(&[("TRUNKLINE__METRICS__PORT", "0")]);
    let second = start_metrics(&options).unwrap().unwrap();
    let (address, handle) = (second.address, second.server.server.handle());
    actix_rt::spawn(second.server.server);
    let answer = exchange(address, get("/metrics")).await;
    assert!(
        answer.contains("# TYPE process_uptime_seconds gauge"),
        "{answer}"
    );
    handle.stop(false).await;
}

#[actix_web::test]
async fn a_body_is_read_up_to_the_limit() {
    let server = running(&[("TRUNKLINE__SERVER__BODY_BYTES_MAX", "100000")]);
    let large = "x".repeat(100_000);
    let answer = exchange(server.address, post(&large, large.len())).await;
    assert!(answer.ends_with("100000"), "{answer}");
    let answer = exchange(server.address, post(&format!("{large}x"), large.len() + 1)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_port_that_is_taken_is_named() {
    let server = running(&[]);
    let port = server.address.port().to_string();
    let (options, _stopper) = options(&[("PORT", &port)]);
    let error = start(&options, |_app| ()).map(|_listening| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("cannot listen on 127.0.0.1:{port}"))
    );
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn tls_answers_with_a_certificate_and_hsts() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/outbound/fixtures");
    let file = |name: &str| fixtures.join(name).to_string_lossy().into_owned();
    drop(rustls::crypto::ring::default_provider().install_default());
    let (cert, key) = (file("server.pem"), file("server-key.pem"));
    let server = running(&[
        ("TRUNKLINE__SERVER__TLS_CERT", &cert),
        ("TRUNKLINE__SERVER__TLS_KEY", &key),
    ]);
    let ca = std::fs::read(fixtures.join("ca.pem")).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://{}/problems/conflict", server.address);
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().contains_key("strict-transport-security"));
    server.handle.stop(false).await;
}

#[cfg(target_os = "linux")]
#[test]
fn connections_inherit_what_the_listener_was_given() {
    let (listener, address) = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let socket = SockRef::from(&accepted);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNREAD_FOR));
    // The kernel doubles what it is asked for, to have room for its own.
    assert_eq!(socket.send_buffer_size().unwrap(), 2 * SEND_BUFFER_BYTES);
}
