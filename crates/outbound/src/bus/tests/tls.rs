//! TLS to the bus: whose certificates are believed.

use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use super::{LONG, fresh_prefix, reverse, server::Server, up};
use crate::bus::{Bus, BusError, BusOptions};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// A server that speaks TLS only, with a certificate for its address that no public authority has signed.
fn server() -> Server {
    let (certificate, key) = (fixture("server.pem"), fixture("server-key.pem"));
    let paths = [&certificate, &key].map(|path| path.to_str().unwrap());
    let mut server = Server::new(&["--tls", "--tlscert", paths[0], "--tlskey", paths[1]]);
    server.start();
    server
}

fn begin_with(url: String, authorities: Option<PathBuf>) -> Bus {
    let options = BusOptions {
        url,
        authorities,
        name: "test".to_owned(),
        prefix: fresh_prefix(),
        runtime: Handle::current(),
    };
    Bus::start(options).unwrap()
}

/// Waits until it is known why there is no connection, and tells it.
async fn trouble(bus: &Bus) -> String {
    loop {
        match bus.inner.link.trouble() {
            // The server may not listen yet.
            Some(trouble) if !trouble.contains("refused") => return trouble,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_server_whose_authority_is_named_is_believed() {
    let server = server();
    for url in [server.url(), server.url().replace("nats://", "tls://")] {
        let bus = begin_with(url, Some(fixture("ca.pem")));
        up(&bus).await;
        let _serving = bus.serve("one", 8, reverse()).await.unwrap();
        assert_eq!(bus.request("one", "abc".into(), LONG).await.unwrap(), "cba");
    }
}

#[tokio::test]
async fn a_server_of_an_authority_that_is_not_named_is_refused_and_the_reason_is_said() {
    let server = server();
    // Public authorities, and one that did not sign it.
    for authorities in [None, Some(fixture("server.pem"))] {
        let bus = begin_with(server.url(), authorities);
        let trouble = trouble(&bus).await;
        assert!(trouble.contains("invalid peer certificate"), "{trouble}");
        assert!(trouble.contains(&server.url()), "{trouble}");
        assert!(!bus.is_connected());
        let answer = bus.request("one", "abc".into(), LONG).await;
        assert_eq!(answer, Err(BusError::Disconnected));
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_whoever_demands_it() {
    let mut server = Server::new(&[]);
    server.start();
    let url = server.url().replace("nats://", "tls://");
    let bus = begin_with(url, Some(fixture("ca.pem")));
    let trouble = trouble(&bus).await;
    assert!(!trouble.is_empty());
    assert!(!bus.is_connected());
}
