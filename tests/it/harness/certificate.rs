//! A receiver behind TLS whose certificate nobody trusts.

use std::{
    fs::File,
    io::BufReader,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection};

/// A receiver whose handshakes fail at the certificate. Its thread ends with the test's process.
#[derive(Debug)]
pub(crate) struct UntrustedSink {
    addr: SocketAddr,
}

impl UntrustedSink {
    /// Starts one.
    pub(crate) fn start() -> UntrustedSink {
        let config = Arc::new(server_config());
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let connection = ServerConnection::new(Arc::clone(&config));
                let mut connection = connection.expect("the configuration is complete");
                // It fails, as it should: the client trusts nobody who signs for himself.
                connection.complete_io(&mut stream).ok();
            }
        });
        UntrustedSink { addr }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("https://{}/hook", self.addr)
    }
}

/// The paths of a certificate for `localhost` and `127.0.0.1`, signed by nobody that anybody knows, and of its key.
pub(crate) fn files() -> (PathBuf, PathBuf) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/outbound/fixtures");
    (folder.join("server.pem"), folder.join("server-key.pem"))
}

fn server_config() -> ServerConfig {
    let (chain_path, key_path) = files();
    let open = |path: PathBuf| BufReader::new(File::open(path).expect("the fixture is there"));
    let chain = rustls_pemfile::certs(&mut open(chain_path))
        .collect::<Result<Vec<_>, _>>()
        .expect("the fixture is PEM");
    let key = rustls_pemfile::private_key(&mut open(key_path))
        .expect("the fixture is PEM")
        .expect("the fixture holds a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the usual versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate belong together")
}
