//! Whom a gateway trusts when the engine is reached over TLS.
//!
//! The well-known authorities, and those that the caller names. Nothing can be switched off.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::builder::SetupError;

/// Reads the certificates of a PEM text.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(SetupError::Certificate)
}

/// A configuration that trusts these too.
pub(crate) fn config(trusted: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, SetupError> {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in trusted {
        roots
            .add(certificate.clone())
            .map_err(|_not_a_certificate| SetupError::Certificate)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_no_version| SetupError::Certificate)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
