//! Why a post got no answer, told apart by what a reader of the delivery log can do about it.
//!
//! Does not decide which of them are tried again.

use std::{error::Error, io};

use crate::guard::Refusal;

/// Why a post got no answer. The text is shown to the tenant and names no address that a name resolved to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The URL, or all it resolves to, may not be reached; nothing was sent.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The host name has no address.
    #[error("the host name could not be resolved: {0}")]
    Resolve(String),
    /// No connection came about, be it refused or not answered within the time for connecting.
    #[error("no connection could be made: {0}")]
    Connect(String),
    /// A connection came about, but no trusted TLS session on it.
    #[error("no TLS session could be made: {0}")]
    Tls(String),
    /// The answer was not complete when the time for the post was over. It may have arrived.
    #[error("no complete answer came in time")]
    Timeout,
    /// The connection broke, or what came was no HTTP answer. The post may have arrived.
    #[error("the connection ended without a complete answer: {0}")]
    Reset(String),
    /// As many posts as allowed were in flight to this host until the time was over; nothing was sent.
    #[error("too many deliveries to this host were in flight")]
    HostBusy,
    /// The program is shutting down. The post may have arrived.
    #[error("the delivery was broken off by a shutdown")]
    BrokenOff,
}

impl PostError {
    /// Finds out what happened from the client's error, whose own kinds are too coarse.
    pub(crate) fn of(error: &reqwest::Error) -> PostError {
        let chain = Chain::of(error);
        if let Some(refusal) = chain.refusal {
            return PostError::Refused(refusal);
        }
        if error.is_builder() {
            return PostError::Refused(Refusal::Malformed {
                reason: chain.innermost,
            });
        }
        if error.is_dns() {
            return PostError::Resolve(chain.innermost);
        }
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => PostError::Connect("no answer within the time for connecting".into()),
            (true, false) if chain.is_tls => PostError::Tls(chain.innermost),
            (true, false) => PostError::Connect(chain.innermost),
            (false, true) => PostError::Timeout,
            (false, false) => PostError::Reset(chain.innermost),
        }
    }
}

/// What a chain of causes tells.
struct Chain {
    refusal: Option<Refusal>,
    /// True if a TLS handshake failed, also when that was because the other side hung up in the middle of it.
    is_tls: bool,
    innermost: String,
}

impl Chain {
    fn of(error: &reqwest::Error) -> Chain {
        let mut chain = Chain {
            refusal: None,
            is_tls: false,
            innermost: String::new(),
        };
        // The outermost error says no more than "error sending request", and names the URL, which may hold a password.
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                chain.refusal = Some(refusal.clone());
            }
            chain.is_tls |= cause.is::<rustls::Error>();
            chain.innermost = cause.to_string();
            next = match cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
            {
                // `source` would skip what an I/O error wraps.
                Some(wrapped) => {
                    // The connector wraps an I/O error in a second one for a failed handshake only.
                    chain.is_tls |= wrapped.is::<io::Error>();
                    Some(wrapped)
                }
                None => cause.source(),
            };
        }
        chain
    }
}
