//! Posts bodies to the URLs of tenants and says what came of it.
//!
//! Follows no redirect, keeps no cookie, uses no proxy, decompresses nothing and speaks HTTP/1.1. Does not decide
//! whether an answer is a success, nor whether or when a post is repeated.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{clock::Clock, ids::TenantId};
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{self, HeaderName},
};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

use crate::{
    dial::{Dialler, Origin},
    guard::{Guard, Refusal},
    host_limit::HostLimit,
    link::{Broken, Reply},
    metering::Metering,
    pool::Pool,
    post_error::PostError,
    resolver::{GuardedResolver, Lookup, SystemLookup},
    retry_after,
};

mod tls;

/// Headers that belong to the connection or say where the body ends. A post may not set them: a second opinion on
/// either would let a tenant smuggle a request to somebody else's host.
static HEADERS_DROPPED: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

/// Posts to webhook targets. Clones share connections and limits.
#[derive(Clone)]
pub struct WebhookClient {
    inner: Arc<Inner>,
}

struct Inner {
    dialler: Dialler,
    pool: Pool,
    user_agent: HeaderValue,
    guard: Guard,
    host_limit: HostLimit,
    metering: Metering,
    clock: Clock,
    runtime: Handle,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Which addresses may be reached.
    pub guard: Guard,
    /// How long resolving, connecting and the TLS handshake may take together. Within the post's own time.
    pub connect_timeout: Duration,
    /// How many posts one tenant may have in flight to one host; further ones wait.
    pub per_host_in_flight_max: usize,
    /// How many idle connections to one host are kept.
    pub pool_idle_per_host_max: usize,
    /// The `User-Agent` of posts that bring none.
    pub user_agent: String,
    /// Authorities to trust beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Turns a date in `Retry-After` into a wait.
    pub clock: Clock,
    /// Where connections live: [`crate::Outside::handle`].
    pub runtime: Handle,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// One of the extra roots is not a certificate of an authority.
    #[error("extra root certificate number {number} cannot be used")]
    Root {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The `User-Agent` cannot stand in a header.
    #[error("the user agent cannot stand in a header")]
    UserAgent(#[source] http::header::InvalidHeaderValue),
}

/// One request to a target.
#[derive(Clone)]
pub struct Post {
    /// On whose behalf: the limit of posts in flight to a host is counted per tenant.
    pub tenant: TenantId,
    /// Where to. Checked again before it is dialled. A user and password in it become an `Authorization` header.
    pub url: Url,
    /// Sent as they are, but for those that belong to the connection (`Host`, `Content-Length`, …), which are dropped.
    pub headers: HeaderMap,
    /// Sent as it is.
    pub body: Bytes,
    /// How long all of it may take: waiting for the host, connecting, sending, and the whole answer.
    pub timeout: Duration,
}

/// What came of a post.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How long it took, the wait for a full host included.
    pub duration: Duration,
    /// The answer, whatever its status, or why there is none.
    pub result: Result<Answer, PostError>,
}

/// What a target answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The first KiB of the body.
    pub body: Bytes,
}

impl WebhookClient {
    /// Makes a client. Opens no connection yet.
    pub fn new(options: ClientOptions) -> Result<WebhookClient, ClientError> {
        WebhookClient::with_lookup(options, Arc::new(SystemLookup))
    }

    /// Makes a client that finds addresses by `lookup`.
    pub(crate) fn with_lookup(
        options: ClientOptions,
        lookup: Arc<dyn Lookup>,
    ) -> Result<WebhookClient, ClientError> {
        let tls = tls::config(options.extra_roots)?;
        let resolver = GuardedResolver::new(options.guard.clone(), lookup);
        let user_agent =
            HeaderValue::try_from(options.user_agent).map_err(ClientError::UserAgent)?;
        let guard = options.guard.clone();
        let inner = Inner {
            dialler: Dialler::new(guard, resolver, tls, options.connect_timeout),
            pool: Pool::new(options.pool_idle_per_host_max),
            user_agent,
            guard: options.guard,
            host_limit: HostLimit::new(options.per_host_in_flight_max),
            metering: Metering::default(),
            clock: options.clock,
            runtime: options.runtime,
        };
        Ok(WebhookClient {
            inner: Arc::new(inner),
        })
    }

    /// Which addresses this client may reach.
    pub fn guard(&self) -> &Guard {
        &self.inner.guard
    }

    /// Sends one post and waits for its outcome, at most as long as the post allows.
    ///
    /// May be called from any runtime; the work is done on the client's own. A call that is dropped before it has
    /// ended breaks the post off, which may have arrived by then.
    pub async fn post(&self, post: Post) -> Outcome {
        let started = Instant::now();
        let is_home = Handle::try_current().is_ok_and(|here| here.id() == self.inner.runtime.id());
        let result = if is_home {
            self.inner.post(post, started).await
        } else {
            let inner = Arc::clone(&self.inner);
            let task = self
                .inner
                .runtime
                .spawn(async move { inner.post(post, started).await });
            let mut task = AbortOnDrop(task);
            let joined = (&mut task.0).await;
            joined.unwrap_or_else(|error| {
                if error.is_panic() {
                    tracing::error!("a post to a webhook target panicked");
                    return Err(PostError::Fault);
                }
                Err(PostError::BrokenOff)
            })
        };
        Outcome {
            duration: started.elapsed(),
            result,
        }
    }
}

impl Inner {
    async fn post(&self, post: Post, started: Instant) -> Result<Answer, PostError> {
        let in_flight = self.metering.begin();
        let result = self.admit_and_send(post, started).await;
        in_flight.end(&result, started.elapsed());
        result
    }

    async fn admit_and_send(&self, post: Post, started: Instant) -> Result<Answer, PostError> {
        // An address in the URL itself never reaches the resolver, and the allow-list may be another than at the time
        // when the URL was given.
        self.guard.check_parsed(&post.url)?;
        // A time so long that no clock can show its end is a day.
        let deadline = started
            .checked_add(post.timeout)
            .unwrap_or(started + Duration::from_secs(86_400));
        let mut is_admitted = false;
        let exchange = async {
            let host = post.url.host_str().unwrap_or_default();
            let _slot = self.host_limit.admit(post.tenant, host).await;
            is_admitted = true;
            self.send(post).await
        };
        match timeout_at(deadline, exchange).await {
            Ok(result) => result,
            Err(_elapsed) if is_admitted => Err(PostError::Timeout),
            Err(_elapsed) => Err(PostError::HostBusy),
        }
    }

    async fn send(&self, post: Post) -> Result<Answer, PostError> {
        let origin = Origin::of(&post.url)?;
        let tenant = post.tenant;
        let mut request = self.request(post)?;
        let mut idle = self.pool.take(&origin);
        loop {
            let is_used = idle.is_some();
            let mut link = match idle.take() {
                Some(link) => link,
                // Rare, and larger than all the rest of a post, which is moved about for each.
                None => Box::pin(self.dialler.dial(tenant, &origin)).await?,
            };
            match link.exchange(request).await {
                Ok(reply) => {
                    if reply.is_reusable {
                        self.pool.keep(&origin, link);
                    }
                    return Ok(self.answer(reply));
                }
                // Targets close idle connections when they like. As nothing was sent, a new one may carry it.
                Err(Broken {
                    unsent: Some(unsent),
                    ..
                }) if is_used => request = unsent,
                Err(broken) => return Err(broken.error),
            }
        }
    }

    fn answer(&self, reply: Reply) -> Answer {
        let retry_after = reply
            .head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, self.clock.now()));
        Answer {
            status: reply.head.status.as_u16(),
            retry_after,
            body: reply.body,
        }
    }

    fn request(&self, post: Post) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut headers = post.headers;
        for name in &HEADERS_DROPPED {
            headers.remove(name);
        }
        let (host, uri) = host_and_path(&post.url)?;
        headers.insert(header::HOST, host);
        if !headers.contains_key(header::USER_AGENT) {
            headers.insert(header::USER_AGENT, self.user_agent.clone());
        }
        if let Some(credentials) = credentials(&post.url)
            && !headers.contains_key(header::AUTHORIZATION)
        {
            headers.insert(header::AUTHORIZATION, credentials);
        }
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// What stands in the request's first line, and in its `Host`.
fn host_and_path(url: &Url) -> Result<(HeaderValue, Uri), Refusal> {
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::from_str(host),
    };
    let path = match url.query() {
        Some(query) => Uri::try_from(format!("{}?{query}", url.path())),
        None => Uri::try_from(url.path()),
    };
    match (host, path) {
        (Ok(host), Ok(path)) => Ok((host, path)),
        (Err(error), _) => Err(malformed(&error)),
        (_, Err(error)) => Err(malformed(&error)),
    }
}

fn malformed(error: &dyn std::error::Error) -> Refusal {
    Refusal::Malformed {
        reason: error.to_string(),
    }
}

/// The user and password of a URL, as they go into a header.
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient")
            .field("guard", &self.inner.guard)
            .finish_non_exhaustive()
    }
}

/// Shows neither headers nor body: both may hold secrets, and so may the URL beyond its host.
impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("tenant", &self.tenant)
            .field("host", &self.url.host_str())
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Ends a task whose outcome nobody waits for any more.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
