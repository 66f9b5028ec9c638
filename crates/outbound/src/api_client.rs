//! Calls the API of a server of ours, for the commands that are clients.
//!
//! Decides what a failed call is called. Repeats nothing: whoever calls knows whether it may. Asks no guard where it may go:
//! whoever types a server's address means it.

pub mod probe;
mod refusal;

use std::{error::Error, fmt, net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
};
use reqwest::{Client, RequestBuilder, Response};
use url::{Host, Url, form_urlencoded};

/// How long a connection may take to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long nothing may come: three heartbeats of a tail.
const SILENT_FOR: Duration = Duration::from_secs(45);
/// Where a tail that is opened again goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A client of one server, with one key.
#[derive(Clone)]
pub struct ApiClient {
    client: Client,
    base: Url,
    authorization: String,
}

/// What a server answers bit by bit.
#[derive(Debug)]
pub struct ApiStream {
    server: Url,
    answer: Response,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("set up a client")]
pub struct NoClient(#[source] reqwest::Error);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came, or half of one.
    #[error("{server} does not answer: {cause}")]
    NoAnswer {
        /// Who does not.
        server: Url,
        /// Why.
        cause: String,
    },
    /// The answer is a refusal.
    #[error("{status}: {reason}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What it says.
        reason: String,
    },
}

impl ApiClient {
    /// A client of the server at `base`, whose paths stand below that.
    pub fn new(base: Url, key: &str) -> Result<ApiClient, NoClient> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_FOR)
            .user_agent(concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&base) {
            builder = builder.no_proxy();
        }
        Ok(ApiClient {
            client: builder.build().map_err(NoClient)?,
            base,
            authorization: format!("Bearer {key}"),
        })
    }

    /// Who is called.
    pub fn server(&self) -> &Url {
        &self.base
    }

    /// Opens a stream of events at a path such as `/v1/events/tail`, behind the event with that id if one is named.
    pub async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
        last_event_id: Option<&str>,
    ) -> Result<ApiStream, CallError> {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let text = text.extend_pairs(query).finish();
        let mut request = self.client.get(format!("{}?{text}", self.at(path)));
        if let Some(id) = last_event_id {
            request = request.header(LAST_EVENT_ID, id);
        }
        Ok(ApiStream {
            server: self.base.clone(),
            answer: self.send(request).await?,
        })
    }

    /// Posts JSON and answers the body of the answer.
    pub async fn post(&self, path: &str, json: Vec<u8>) -> Result<Bytes, CallError> {
        let request = self
            .client
            .post(self.at(path))
            .header(CONTENT_TYPE, "application/json")
            .body(json);
        let answer = self.send(request).await?;
        answer
            .bytes()
            .await
            .map_err(|error| no_answer(&self.base, &error))
    }

    /// Sends a request under the key; whatever is not a success is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let answer = request
            .header(AUTHORIZATION, &self.authorization)
            .send()
            .await
            .map_err(|error| no_answer(&self.base, &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(CallError::Refused {
            status,
            reason: refusal::reason(&body),
        })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }
}

impl ApiStream {
    /// What comes next; `None` if the server has ended it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let next = self.answer.chunk().await;
        next.map_err(|error| no_answer(&self.server, &error))
    }
}

/// Shows the server, and not the key.
impl fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiClient")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            CallError::NoAnswer { .. } => true,
            CallError::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// What is said of a call without an answer, or with half of one.
fn no_answer(server: &Url, error: &reqwest::Error) -> CallError {
    // The client tells layer by layer what it tried; the innermost says what went wrong.
    let mut innermost: &dyn Error = error;
    while let Some(deeper) = innermost.source() {
        innermost = deeper;
    }
    CallError::NoAnswer {
        server: server.clone(),
        cause: innermost.to_string(),
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stand_below_the_address() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let base = "https://a.example/below/".parse().unwrap();
        let client = ApiClient::new(base, "k").unwrap();
        assert_eq!(client.at("/v1/events"), "https://a.example/below/v1/events");
    }

    #[test]
    fn only_this_machine_is_called_past_every_proxy() {
        let is = |url: &str| is_this_machine(&url.parse().unwrap());
        assert!(is("http://127.0.0.1:1") && is("http://[::1]") && is("http://localhost"));
        assert!(!is("http://10.0.0.1") && !is("http://a.example"));
    }

    #[test]
    fn only_a_refusal_that_may_pass_is_worth_another_try() {
        let refused = |status: StatusCode| CallError::Refused {
            status,
            reason: String::new(),
        };
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).is_passing());
        assert!(refused(StatusCode::TOO_MANY_REQUESTS).is_passing());
        assert!(!refused(StatusCode::UNAUTHORIZED).is_passing());
    }
}
