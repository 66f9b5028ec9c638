//! Why a post got no answer, told apart by what a reader of the delivery log can do about it.
//!
//! Does not decide which of them are tried again.

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
    /// The program made a mistake of its own on the way. The post may have arrived.
    #[error("the delivery could not be made because of a fault in this program")]
    Fault,
}
