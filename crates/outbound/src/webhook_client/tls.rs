//! Which certificates of targets are trusted: those of public authorities and of the operator's own.
//!
//! Nothing can turn the check off.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::ClientError;

/// The TLS side of the client.
pub(super) fn config(
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for (index, root) in extra_roots.into_iter().enumerate() {
        let number = index + 1;
        roots
            .add(root)
            .map_err(|source| ClientError::Root { number, source })?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
