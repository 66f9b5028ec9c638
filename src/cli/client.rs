//! Calls a running server's API, for the commands that are clients.
//!
//! Decides what a failed call is called. Repeats nothing: whoever calls knows whether it may.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use clap::Args;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use url::{Host, Url, form_urlencoded};

/// How long a connection may take to open.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long nothing may come: three heartbeats of a tail.
const SILENT_FOR: Duration = Duration::from_secs(45);

/// Where the server is, and who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The server's address.
    #[arg(long, env = "TRUNKLINE_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// The API key.
    #[arg(long, env = "TRUNKLINE_KEY", hide_env_values = true)]
    key: String,
}

/// A client of one server.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    base: Url,
    authorization: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No answer came.
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

/// What is read of a refusal.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    error: Option<ProblemCode>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct ProblemCode {
    code: String,
}

#[derive(Deserialize)]
struct FieldProblem {
    pointer: String,
    detail: String,
}

impl Connection {
    /// A connection that is known without arguments.
    pub(crate) fn new(url: Url, key: String) -> Connection {
        Connection { url, key }
    }

    /// A client for it.
    pub(crate) fn open(&self) -> anyhow::Result<Api> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_FOR)
            .user_agent(concat!("trunkline-cli/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&self.url) {
            builder = builder.no_proxy();
        }
        Ok(Api {
            client: builder.build()?,
            base: self.url.clone(),
            authorization: format!("Bearer {}", self.key),
        })
    }
}

impl Api {
    /// Who is called.
    pub(crate) fn server(&self) -> &Url {
        &self.base
    }

    /// A request for a path such as `/v1/events`, to be completed.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        let mut text = form_urlencoded::Serializer::new(String::new());
        let text = text.extend_pairs(query).finish();
        let url = format!("{}?{text}", self.at(path));
        self.client
            .get(url)
            .header(AUTHORIZATION, &self.authorization)
    }

    /// Posts JSON and answers the body of the answer.
    pub(crate) async fn post(&self, path: &str, json: Vec<u8>) -> Result<Bytes, CallError> {
        let request = self
            .client
            .post(self.at(path))
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(json);
        let answer = self.send(request).await?;
        answer.bytes().await.map_err(|error| self.no_answer(&error))
    }

    /// Sends a request; whatever is not a success is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let answer = request
            .send()
            .await
            .map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(CallError::Refused {
            status,
            reason: reason(&body),
        })
    }

    /// What is said of a call without an answer, or with half of one.
    pub(crate) fn no_answer(&self, error: &reqwest::Error) -> CallError {
        // The client tells layer by layer what it tried; the innermost says what went wrong.
        let innermost = anyhow::Chain::new(error).last().map(ToString::to_string);
        CallError::NoAnswer {
            server: self.base.clone(),
            cause: innermost.unwrap_or_default(),
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }
}

impl CallError {
    /// Whether the same call may succeed later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            CallError::NoAnswer { .. } => true,
            CallError::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
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

/// What a refusal says, in one line.
fn reason(body: &[u8]) -> String {
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let text = String::from_utf8_lossy(body);
        return text.chars().take(200).collect();
    };
    let code = problem.error.map(|error| error.code);
    let mut text = code
        .into_iter()
        .chain(problem.detail)
        .collect::<Vec<String>>()
        .join(": ");
    for FieldProblem { pointer, detail } in problem.errors {
        // A lone wrong field is told in the detail already.
        if !text.contains(&detail) {
            text += &format!("; {pointer}: {detail}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_one_line() {
        let body = br#"{"type":"/problems/invalid_field","title":"t","status":422,"detail":"two fields are wrong",
            "error":{"code":"invalid_field","message":"m"},"errors":[{"pointer":"/type","detail":"expected a type"}]}"#;
        assert_eq!(
            reason(body),
            "invalid_field: two fields are wrong; /type: expected a type"
        );
        assert_eq!(reason(b"<html>"), "<html>");
    }

    #[test]
    fn paths_stand_below_the_address() {
        let connection = Connection::new("https://a.example/below/".parse().unwrap(), "k".into());
        drop(rustls::crypto::ring::default_provider().install_default());
        assert_eq!(
            connection.open().unwrap().at("/v1/events"),
            "https://a.example/below/v1/events"
        );
    }

    #[test]
    fn only_this_machine_is_called_past_every_proxy() {
        let is = |url: &str| is_this_machine(&url.parse().unwrap());
        assert!(is("http://127.0.0.1:1") && is("http://[::1]") && is("http://localhost"));
        assert!(!is("http://10.0.0.1") && !is("http://a.example"));
    }
}
