//! Reads the server's certificate and key. Decides which protocol is spoken inside of TLS: HTTP/1.1.

use std::path::{Path, PathBuf};

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The certificate's file cannot be read.
    #[error("server.tls_cert: {}: {}", path.display(), Reason(cause))]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: pem::Error,
    },
    /// The file has no certificate.
    #[error("server.tls_cert: {}: expected a `BEGIN CERTIFICATE` section", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The key's file cannot be read, or has no key.
    #[error("server.tls_key: {}: {}", path.display(), Reason(cause))]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: pem::Error,
    },
    /// The two do not fit together.
    #[error("server.tls_cert and server.tls_key do not work together: {0}")]
    Pair(#[from] rustls::Error),
}

/// What is wrong with a PEM file, in words for people.
struct Reason<'a>(&'a pem::Error);

/// Makes the configuration of a TLS server from PEM files.
pub(crate) fn load(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let wrong = |cause| TlsError::Certificate {
        path: cert.to_owned(),
        cause,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .map_err(wrong)?
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: cert.to_owned(),
        });
    }
    let wrong = |cause| TlsError::Key {
        path: key.to_owned(),
        cause,
    };
    let key = PrivateKeyDer::from_pem_file(key).map_err(wrong)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl std::fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let pem::Error::NoItemsFound = self.0 {
            f.write_str("expected a `BEGIN PRIVATE KEY` section")
        } else if let pem::Error::Io(cause) = self.0 {
            write!(f, "cannot be read: {cause}")
        } else {
            self.0.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("crates/outbound/fixtures")
            .join(name)
    }

    fn refused(cert: &str, key: &str) -> String {
        let error = load(&fixture(cert), &fixture(key))
            .map(|_config| ())
            .unwrap_err();
        error
            .to_string()
            .replace(&*fixture("").to_string_lossy(), "")
    }

    fn with_provider() {
        // Another test may have been first, which does as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    }

    #[test]
    fn a_certificate_and_its_key_make_a_server() {
        with_provider();
        let config = load(&fixture("server.pem"), &fixture("server-key.pem")).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_setting_and_the_file() {
        with_provider();
        assert!(
            refused("none.pem", "server-key.pem")
                .starts_with("server.tls_cert: none.pem: cannot be read")
        );
        assert!(
            refused("server.pem", "none.pem")
                .starts_with("server.tls_key: none.pem: cannot be read")
        );
        assert!(
            refused("server-key.pem", "server-key.pem")
                .contains("expected a `BEGIN CERTIFICATE` section")
        );
        assert!(
            refused("server.pem", "server.pem").contains("expected a `BEGIN PRIVATE KEY` section")
        );
        assert!(refused("ca.pem", "server-key.pem").contains("do not work together"));
    }
}
