//! The ceiling of delivery: the HTTP client that the engine uses, posting ready-made bodies to the same sink.
//!
//! No signature, no log, no cursor: what is left is the client's own cost.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use domain::{clock::Clock, ids::TenantId};
use outbound::{
    ClientOptions, Guard, HeaderMap, HeaderName, HeaderValue, Outside, Post, Url, WebhookClient,
};
use reqwest::{Client, redirect::Policy};
use tokio::{task::JoinSet, time::Instant};

use crate::clock;

/// Ready-made posts.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    /// To whom.
    pub(crate) sink: SocketAddr,
    /// To how many paths of it.
    pub(crate) endpoints: usize,
    /// Posts in flight.
    pub(crate) in_flight: usize,
    /// Posts altogether.
    pub(crate) posts: u64,
    /// Bytes of each body.
    pub(crate) body_length: usize,
}

/// Threads of the client, as the engine has by default.
const THREADS: usize = 1;

/// A client for management calls.
pub(crate) fn client() -> anyhow::Result<Client> {
    Client::builder()
        .http1_only()
        .no_proxy()
        .redirect(Policy::none())
        .tls_certs_only([])
        .connect_timeout(Duration::from_secs(5))
        .build()
        .context("build the HTTP client")
}

/// The URL of one endpoint of the sink.
pub(crate) fn endpoint(sink: SocketAddr, number: usize) -> String {
    format!("http://{sink}/hook/{number}")
}

impl Posting {
    /// Posts everything; answers how long it took.
    pub(crate) async fn run(&self) -> anyhow::Result<Duration> {
        let outside = Outside::start(THREADS).context("start the client's runtime")?;
        let client = deliverer(&outside)?;
        let tenant: TenantId = "ten_01930000000070008000000000000001".parse()?;
        let body = Bytes::from(vec![b'x'; self.body_length]);
        let left = Arc::new(AtomicU64::new(self.posts));
        let mut tasks = JoinSet::new();
        let started_at = Instant::now();
        for number in 0..self.in_flight {
            let url = endpoint(self.sink, number % self.endpoints);
            let post = Post {
                tenant,
                url: Url::parse(&url).context("read the sink's address")?,
                headers: HeaderMap::from_iter([(
                    HeaderName::from_static("content-type"),
                    HeaderValue::from_static("application/json"),
                )]),
                body: body.clone(),
                timeout: Duration::from_secs(15),
            };
            let posting = post_all(client.clone(), post, Arc::clone(&left));
            tasks.spawn_on(posting, &outside.handle());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a posting task ended early")??;
        }
        let elapsed = started_at.elapsed();
        outside.shutdown(Duration::from_secs(1));
        Ok(elapsed)
    }
}

/// The engine's own client, with the engine's own defaults.
fn deliverer(outside: &Outside) -> anyhow::Result<WebhookClient> {
    let started_at = Instant::now();
    let options = ClientOptions {
        guard: Guard::new(vec!["127.0.0.0/8".parse().context("read a network")?]),
        connect_timeout: Duration::from_secs(5),
        per_host_in_flight_max: 256,
        pool_idle_per_host_max: 256,
        user_agent: "bench".to_owned(),
        extra_roots: Vec::new(),
        clock: Clock::new(clock::now(), move || started_at.elapsed()),
        runtime: outside.handle(),
    };
    WebhookClient::new(options).context("build the engine's client")
}

async fn post_all(client: WebhookClient, post: Post, left: Arc<AtomicU64>) -> anyhow::Result<()> {
    let take = |left: u64| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        let answer = client.post(post.clone()).await.result;
        let status = answer.context("post to the sink")?.status;
        ensure!((200..300).contains(&status), "the sink answered {status}");
    }
    Ok(())
}
