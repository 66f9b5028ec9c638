//! A small HTTP client for the API, whose answers know how to be checked.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde_json::Value;

use super::tail::Tail;

/// Longer than any answer may take; guards against hanging only.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Calls one engine, with the headers that it was given on every call.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    headers: Vec<(String, String)>,
}

/// A call that is made when it is awaited.
pub(crate) struct Call {
    request: reqwest::RequestBuilder,
    what: String,
    within: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
    what: String,
}

impl Client {
    /// A client without a key.
    pub(crate) fn new(base: String) -> Client {
        Client::built(base, reqwest::Client::builder())
    }

    /// A client without a key that opens a connection for each call.
    pub(crate) fn without_keep_alive(base: String) -> Client {
        Client::built(base, reqwest::Client::builder().pool_max_idle_per_host(0))
    }

    fn built(base: String, builder: reqwest::ClientBuilder) -> Client {
        // Whoever installed it first does not matter: it is always the same one.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let http = builder
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without options can be built");
        Client {
            http,
            base,
            headers: Vec::new(),
        }
    }

    /// The same with one more header on every call.
    pub(crate) fn with_header(&self, name: &str, value: &str) -> Client {
        let mut client = self.clone();
        client
            .headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same with an API key.
    pub(crate) fn with_key(&self, key: &str) -> Client {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// The address of the engine.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Sends a JSON body.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// Makes a call with any method and no body yet.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let what = format!("{method} {path}");
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Call {
            request,
            what,
            within: TIMEOUT,
        }
    }

    /// Sends one event and answers its receipt.
    pub(crate) async fn send_event(&self, event: &Value) -> Value {
        self.post("/v1/events", event).await.ok(202).data()
    }

    /// Opens a live tail. `query` is what follows the `?`.
    pub(crate) async fn tail(&self, query: &str, last_event_id: Option<u64>) -> Tail {
        let mut call = self.get(&format!("/v1/events/tail?{query}"));
        if let Some(id) = last_event_id {
            call = call.header("last-event-id", &id.to_string());
        }
        Tail::of(call.stream().await).await
    }

    /// Reads every page of a list.
    pub(crate) async fn every_page(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => self.get(path).await,
                Some(cursor) => self.get(&format!("{path}{separator}cursor={cursor}")).await,
            }
            .ok(200)
            .json();
            items.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["meta"]["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return items,
            }
        }
    }
}

impl Call {
    /// Adds a JSON body.
    pub(crate) fn json(self, body: &Value) -> Call {
        self.body("application/json", body.to_string())
    }

    /// Adds a body of some media type.
    pub(crate) fn body(mut self, media_type: &str, body: impl Into<reqwest::Body>) -> Call {
        self.request = self.request.header(CONTENT_TYPE, media_type).body(body);
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Call {
        self.request = self.request.header(name, value);
        self
    }

    /// Gives up after a while.
    pub(crate) fn within(mut self, patience: Duration) -> Call {
        self.within = patience;
        self
    }

    /// Makes the call; the body is still to come.
    pub(crate) async fn stream(self) -> reqwest::Response {
        self.try_stream().await.expect("the engine answers")
    }

    /// The same; `Err` if no answer began.
    pub(crate) async fn try_stream(self) -> Result<reqwest::Response, reqwest::Error> {
        self.request.send().await
    }

    /// Makes the call; `Err` if no whole answer came.
    pub(crate) async fn attempt(self) -> Result<Answer, reqwest::Error> {
        let response = self.request.timeout(self.within).send().await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.bytes().await?;
        Ok(Answer {
            status,
            headers,
            body,
            what: self.what,
        })
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = self.what.clone();
            match self.attempt().await {
                Ok(answer) => answer,
                Err(error) => panic!("{what}: no answer: {error:?}"),
            }
        })
    }
}

impl Answer {
    /// Checks the status.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        self
    }

    /// Checks that it is a problem of this status and code, with everything that a problem has; answers the problem.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let what = &self.what;
        assert_eq!(self.status, status, "{what}: {}", self.text());
        let media_type = self.header("content-type").unwrap_or_default();
        assert_eq!(
            media_type,
            "application/problem+json",
            "{what}: {}",
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["error"]["code"], code, "{what}: {problem}");
        assert_eq!(problem["status"], status, "{what}: {problem}");
        for member in ["type", "title", "detail", "instance", "trace_id"] {
            let value = problem[member].as_str().unwrap_or_default();
            assert!(
                !value.is_empty(),
                "{what}: `{member}` is missing: {problem}"
            );
        }
        let message = problem["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{what}: {problem}");
        if matches!(status, 429 | 503) {
            assert!(
                self.header("retry-after").is_some(),
                "{what}: Retry-After is missing"
            );
        }
        problem
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{}: not JSON ({error}): {}", self.what, self.text()),
        }
    }

    /// The member `data` of the body.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let body = self.json();
        assert!(
            body.get("data").is_some(),
            "{}: there is no `data`: {body}",
            self.what
        );
        body["data"].clone()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The text of a member that must be there.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    match value[member].as_str() {
        Some(text) => text,
        None => panic!("`{member}` is no text in {value}"),
    }
}

/// The number of a member that must be there.
#[track_caller]
pub(crate) fn number(value: &Value, member: &str) -> u64 {
    match value[member].as_u64() {
        Some(number) => number,
        None => panic!("`{member}` is no number in {value}"),
    }
}
