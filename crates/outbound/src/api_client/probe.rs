//! Asks a server how it is, without a key.
//!
//! Reads nothing into the answer.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use reqwest::Client;

/// Which certificates a server may show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Those that are valid for its name.
    Valid,
    /// Any: for a server on this machine, whose certificate names it as others call it. Nothing secret may be sent then.
    Any,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no client.
    #[error("make a client")]
    NoClient(#[source] reqwest::Error),
    /// No answer came.
    #[error("ask {url}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why none came.
        #[source]
        cause: reqwest::Error,
    },
    /// The answer broke off.
    #[error("read the answer")]
    Broken(#[source] reqwest::Error),
}

/// Asks once, past every proxy.
pub async fn probe(
    url: &str,
    certificates: Certificates,
    within: Duration,
) -> Result<Answered, ProbeError> {
    let client = Client::builder()
        .timeout(within)
        .no_proxy()
        .tls_danger_accept_invalid_certs(certificates == Certificates::Any)
        .build()
        .map_err(ProbeError::NoClient)?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|cause| ProbeError::NoAnswer {
        url: url.to_owned(),
        cause,
    })?;
    Ok(Answered {
        status: answer.status(),
        body: answer.bytes().await.map_err(ProbeError::Broken)?,
    })
}
