//! Whatever leaves the machine: the runtime it runs on, the guard that says where it may go, the webhook client, the bus
//! between nodes, and the client of our own API.
//!
//! Decides which addresses may be reached and how long a request may take. Does not decide what is sent, what an
//! answer means for a delivery, or when to try again.

pub mod api_client;
pub mod bus;
mod dial;
pub mod guard;
mod host_limit;
mod link;
mod metering;
pub mod outside;
mod pool;
pub mod post_error;
mod resolver;
mod retry_after;
mod slots;
mod stream;
pub mod webhook_client;

pub use api_client::{ApiClient, ApiStream, CallError};
pub use bus::{Bus, BusError, BusOptions, Connection, Serving, Subscription, Topic};
pub use guard::{AddressClass, Guard, Refusal};
pub use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
pub use outside::Outside;
pub use post_error::PostError;
pub use rustls::pki_types::CertificateDer;
pub use url::Url;
pub use webhook_client::{Answer, ClientError, ClientOptions, Outcome, Post, WebhookClient};

#[cfg(test)]
mod fake_target;
