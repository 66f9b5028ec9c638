//! Posts bodies to the URLs of tenants and says what came of it.
//!
//! Follows no redirect, keeps no cookie, uses no proxy, decompresses nothing and speaks HTTP/1.1. Does not decide
//! whether an answer is a success, nor whether or when a post is repeated.

use std::{fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use domain::{clock::Clock, ids::TenantId};
use reqwest::{
    Client, Request,
    header::{self, HeaderMap, HeaderName},
    redirect,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use url::Url;

use crate::{
    guard::Guard,
    host_limit::HostLimit,
    metering::Metering,
    post_error::PostError,
    resolver::{GuardedResolver, Lookup, SystemLookup, TENANT},
    retry_after,
};

mod tls;

/// How much of an answer's body is read. What is longer ends with its connection.
const BODY_READ_MAX: usize = 64 * 1024;
/// How much of an answer's body is kept.
const BODY_KEPT_MAX: usize = 1024;
/// How long an idle connection is kept. Most targets close theirs after a minute, and a post on a connection that is
/// closed at that moment fails.
const POOL_IDLE: Duration = Duration::from_secs(30);
/// After how much silence the system probes whether an idle connection still leads anywhere.
const KEEPALIVE: Duration = Duration::from_secs(15);

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
    client: Client,
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
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
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
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(resolver)
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(options.pool_idle_per_host_max)
            .user_agent(options.user_agent)
            .build()
            .map_err(ClientError::Http)?;
        let inner = Inner {
            client,
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
        let host = post.url.host_str().unwrap_or_default();
        let slot = timeout_at(deadline, self.host_limit.admit(post.tenant, host));
        let _slot = slot.await.map_err(|_elapsed| PostError::HostBusy)?;
        let exchange = TENANT.scope(post.tenant, self.send(post));
        match timeout_at(deadline, exchange).await {
            Ok(result) => result.map_err(|error| PostError::of(&error)),
            Err(_elapsed) => Err(PostError::Timeout),
        }
    }

    async fn send(&self, post: Post) -> Result<Answer, reqwest::Error> {
        let mut response = self.client.execute(self.request(post)?).await?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry_after::parse(value, self.clock.now()));
        let body = read_body(&mut response).await?;
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }

    fn request(&self, mut post: Post) -> Result<Request, reqwest::Error> {
        for name in &HEADERS_DROPPED {
            post.headers.remove(name);
        }
        // The builder moves a user and password out of the URL into a header.
        let mut request = self.client.post(post.url).body(post.body).build()?;
        if request.headers().is_empty() {
            *request.headers_mut() = post.headers;
        } else {
            request.headers_mut().extend(post.headers);
        }
        Ok(request)
    }
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

/// Reads a body to its end, so that the connection can serve again, or to the limit, and keeps the beginning.
async fn read_body(response: &mut reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut kept = BytesMut::new();
    let mut read = 0;
    while read < BODY_READ_MAX {
        let Some(chunk) = response.chunk().await? else {
            break;
        };
        let room = BODY_KEPT_MAX - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        read += chunk.len();
    }
    Ok(kept.freeze())
}

#[cfg(test)]
mod tests;
