//! What a gateway has to know before it starts.
//!
//! Connects to nothing.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    device::{Command, RefusedBy},
    ids::DeviceId,
};
use rustls::{ClientConfig, pki_types::CertificateDer};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use url::Url;

use crate::{Gateway, commands::Handler, tls};

/// How many events may be unanswered, if nothing else is said: as many as the engine takes of one device.
const EVENTS_IN_FLIGHT: usize = 64;
/// How many bytes of events may be unanswered.
const BYTES_IN_FLIGHT: usize = 4 * 1024 * 1024;
/// The shortest and the longest wait between two attempts, if nothing else is said.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// Builds a [`Gateway`].
#[derive(Clone, Debug)]
pub struct Builder {
    url: Url,
    device: DeviceId,
    authorization: HeaderValue,
    name: Box<str>,
    trusted: Vec<CertificateDer<'static>>,
    events_in_flight: usize,
    backoff: (Duration, Duration),
    handler: Handler,
}

/// What the parts of a gateway share.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Where sessions are opened: `ws://…` or `wss://…`.
    pub(crate) session_url: Url,
    /// Where credentials are kept: `http://…` or `https://…`.
    pub(crate) credentials_url: Url,
    pub(crate) authorization: HeaderValue,
    pub(crate) name: Box<str>,
    /// There if the addresses are ones of TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) events_in_flight: usize,
    pub(crate) bytes_in_flight: usize,
    pub(crate) backoff: (Duration, Duration),
}

/// What is wrong with a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The engine's address.
    #[error(
        "the engine's address must be an http, https, ws or wss URL, such as https://events.example.com"
    )]
    Url,
    /// The API key.
    #[error("the API key must be visible ASCII characters")]
    Key,
    /// A certificate to trust.
    #[error("the certificates to trust must be PEM")]
    Certificate,
}

impl Builder {
    /// A gateway for a device of the engine at this address (with a path before `/v1`, if there is one).
    pub fn new(url: &str, device: DeviceId, key: &str) -> Result<Builder, SetupError> {
        let url = Url::parse(url).map_err(|_not_a_url| SetupError::Url)?;
        let is_known = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
        if !is_known || !url.has_host() {
            return Err(SetupError::Url);
        }
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic());
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .ok()
            .filter(|_| is_key)
            .ok_or(SetupError::Key)?;
        authorization.set_sensitive(true);
        Ok(Builder {
            url,
            device,
            authorization,
            name: concat!("trunkline-gateway/", env!("CARGO_PKG_VERSION")).into(),
            trusted: Vec::new(),
            events_in_flight: EVENTS_IN_FLIGHT,
            backoff: BACKOFF,
            handler: Handler::default(),
        })
    }

    /// Name and version of the program, as operators see it.
    #[must_use]
    pub fn name(mut self, name: &str) -> Builder {
        self.name = name.into();
        self
    }

    /// Trusts the certificates of a PEM text besides the well-known authorities.
    pub fn trust_pem(mut self, pem: &[u8]) -> Result<Builder, SetupError> {
        self.trusted.extend(tls::certificates(pem)?);
        tls::config(&self.trusted)?;
        Ok(self)
    }

    /// How many events may be unanswered before [`Gateway::send`] waits.
    #[must_use]
    pub fn events_in_flight(mut self, events: usize) -> Builder {
        self.events_in_flight = events.max(1);
        self
    }

    /// The shortest and the longest wait between two attempts to connect.
    #[must_use]
    pub fn backoff(mut self, least: Duration, most: Duration) -> Builder {
        self.backoff = (least, most.max(least));
        self
    }

    /// What carries out commands: answers with one JSON value, or with why not. Without it all are refused.
    ///
    /// A command that came twice is carried out once. Its future is dropped if the gateway ends.
    #[must_use]
    pub fn on_command<F, Fut>(mut self, handle: F) -> Builder
    where
        F: Fn(Command) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, RefusedBy>> + Send + 'static,
    {
        self.handler = Handler::new(handle);
        self
    }

    /// Starts the gateway within the present Tokio runtime. It ends when it is closed, when every handle is dropped, or
    /// when the engine ends it for good.
    pub fn start(self) -> Gateway {
        let is_tls = matches!(self.url.scheme(), "https" | "wss");
        let (ws, http) = if is_tls {
            ("wss", "https")
        } else {
            ("ws", "http")
        };
        let settings = Settings {
            session_url: self.at(ws, "session"),
            credentials_url: self.at(http, "credentials"),
            authorization: self.authorization,
            name: self.name,
            tls: is_tls.then(|| {
                tls::config(&self.trusted).expect("the certificates were checked when they came")
            }),
            events_in_flight: self.events_in_flight,
            bytes_in_flight: BYTES_IN_FLIGHT,
            backoff: self.backoff,
        };
        Gateway::start(settings, self.handler)
    }

    fn at(&self, scheme: &str, what: &str) -> Url {
        let base = self.url.as_str();
        let rest = base.split_once("://").map_or("", |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let rest = rest.trim_end_matches('/');
        let url = format!("{scheme}://{rest}/v1/devices/{}/{what}", self.device);
        Url::parse(&url).expect("a path after an address that was parsed")
    }
}
