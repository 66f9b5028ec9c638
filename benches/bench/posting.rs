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
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect::Policy};
use tokio::{task::JoinSet, time::Instant};

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

/// The HTTP client of the engine's deliveries: HTTP/1.1, no proxy, no redirects.
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
        let client = client()?;
        let body = Bytes::from(vec![b'x'; self.body_length]);
        let left = Arc::new(AtomicU64::new(self.posts));
        let mut tasks = JoinSet::new();
        let started_at = Instant::now();
        for number in 0..self.in_flight {
            let url = endpoint(self.sink, number % self.endpoints);
            let url = Url::parse(&url).context("read the sink's address")?;
            tasks.spawn(post_all(
                client.clone(),
                url,
                body.clone(),
                Arc::clone(&left),
            ));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a posting task ended early")??;
        }
        Ok(started_at.elapsed())
    }
}

async fn post_all(
    client: Client,
    url: Url,
    body: Bytes,
    left: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let take = |left: u64| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        let answer = client
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.clone())
            .send()
            .await
            .context("post to the sink")?;
        let status = answer.status();
        ensure!(status.is_success(), "the sink answered {status}");
        answer.bytes().await.context("read the sink's answer")?;
    }
    Ok(())
}
