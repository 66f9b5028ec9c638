//! Whatever leaves the machine: the runtime it runs on, the guard that says where it may go, and the webhook client.
//!
//! Decides which addresses may be reached and how long a request may take. Does not decide what is sent, what an
//! answer means for a delivery, or when to try again.

pub mod guard;
mod host_limit;
mod metering;
pub mod outside;
pub mod post_error;
mod resolver;
mod retry_after;
mod slots;
pub mod webhook_client;

pub use guard::{AddressClass, Guard, Refusal};
pub use outside::Outside;
pub use post_error::PostError;
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use rustls::pki_types::CertificateDer;
pub use url::Url;
pub use webhook_client::{Answer, ClientError, ClientOptions, Outcome, Post, WebhookClient};

#[cfg(test)]
mod fake_target;
