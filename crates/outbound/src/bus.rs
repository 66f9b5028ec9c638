//! The bus: how the nodes of a cluster talk to each other, over NATS.
//!
//! Brings a request to one node and its answer back, and tells all nodes what may interest them. Decides neither who is
//! asked nor what is said. Nothing that is on the bus is the truth: what must not be lost is in the stores.

mod address;
mod assembly;
mod backlog;
mod clock;
mod frame;
mod link;
mod metering;
mod requests;
mod serving;
mod subscription;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::ids::TenantId;
use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use frame::Share;
use link::{Link, Outgoing};

pub use serving::Serving;
pub use subscription::Subscription;

/// What a bus needs to start.
pub struct BusOptions {
    /// `nats://` or `tls://`, host and port, with a user and password or a token in it; several with commas between.
    pub url: String,
    /// A PEM file with the authorities that may sign certificates of servers. Without one they are the public ones.
    pub authorities: Option<PathBuf>,
    /// What NATS's own tools call this node.
    pub name: String,
    /// What all subjects begin with.
    pub prefix: String,
    /// Where the connection and everything around it runs.
    pub runtime: Handle,
}

/// See the module. Cheap to clone; with the last clone the connection ends.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

/// What nodes tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// What others should forget, because it has changed.
    Changes,
    /// Nodes that come and go.
    Nodes,
    /// Which logs are read where.
    Readers,
    /// How a tenant's log grew.
    Log(TenantId),
}

/// Whether there is a way to the other nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// There is none. What is published is kept for a while; what others publish is missed.
    Away,
    /// There is one, and all subscriptions are in force. The number grows with every new connection: whoever sees another
    /// one may have missed something.
    Up(u64),
}

/// Answers requests of other nodes.
pub type Handler = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// Why there is no answer, or no bus.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BusError {
    /// Nobody serves under this name, or not any more. The request was not carried out.
    #[error("nobody answers there")]
    NoResponder,
    /// No answer came in time, or the connection was lost first. Whether the request was carried out is unknown.
    #[error("no answer came")]
    TimedOut,
    /// There is no connection. The request was not sent.
    #[error("there is no connection to the bus")]
    Disconnected,
    /// The message is longer than may be sent. The request was not sent.
    #[error("a message of {bytes} bytes is too large for the bus")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// Too much is in flight, here or there. The request was not carried out.
    #[error("too many requests are in flight on the bus")]
    Busy,
    /// The other node does not understand the request, and did not carry it out.
    #[error("the other node speaks another version")]
    Refused,
    /// The request did not get there in time to be begun. It was not carried out, and will not be.
    #[error("the request came too late to be begun")]
    Late,
    /// The request was carried out, but its answer cannot be brought back.
    #[error("the answer was lost on its way")]
    AnswerLost,
    /// A text may not stand in a subject.
    #[error("not a name on the bus: {0:?}")]
    Name(String),
    /// The URL is of no use.
    #[error("the URL of the bus is of no use: {0}")]
    Address(&'static str),
    /// The file of authorities is of no use.
    #[error("the authorities of the bus in {path} cannot be used: {why}", path = path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
}

struct Inner {
    link: Arc<Link>,
    tasks: Vec<AbortHandle>,
}

/// How long a new server of requests waits until others can reach it.
const SERVE_SETTLES_WITHIN: Duration = Duration::from_secs(2);

impl Bus {
    /// Starts to connect, and goes on trying for ever, now and whenever the connection is lost. Does not wait.
    pub fn start(options: BusOptions) -> Result<Bus, BusError> {
        let (link, tasks) = link::start(options)?;
        Ok(Bus {
            inner: Arc::new(Inner { link, tasks }),
        })
    }

    /// Whether there is a connection.
    pub fn is_connected(&self) -> bool {
        self.inner.link.is_up()
    }

    /// The number of the connection, or of the last one; 0 before the first. When it has grown, something may have been missed.
    pub fn connects(&self) -> u64 {
        self.inner.link.connects()
    }

    /// The runtime that the bus runs on: a place for whatever has to do with it.
    pub fn runtime(&self) -> Handle {
        self.inner.link.runtime.clone()
    }

    /// Tells of every change of the connection.
    pub fn connections(&self) -> watch::Receiver<Connection> {
        self.inner.link.connections()
    }

    /// Asks a node and waits for its answer. The request is sent at most once, and what has not begun when this answers never
    /// will: not even if it was held up on its way.
    pub async fn request(
        &self,
        node: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, BusError> {
        self.ask(node, self.inner.link.share, body, within).await
    }

    /// Like [`Bus::request`], for a tenant: if it asks for much at once, requests of others have room none the less.
    pub async fn request_for(
        &self,
        tenant: TenantId,
        node: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, BusError> {
        self.ask(node, Share::of(tenant), body, within).await
    }

    async fn ask(
        &self,
        node: &str,
        share: Share,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, BusError> {
        let link = &self.inner.link;
        let request = requests::Request {
            node,
            share,
            body,
            within,
        };
        let outcome = requests::ask(link, request).await;
        link.metering.request(&outcome);
        outcome
    }

    /// Answers the requests to a node, until what it returns is dropped. More than `in_flight_max` at once are refused.
    /// Without a connection it returns at once, and others reach the node when there is one.
    pub async fn serve(
        &self,
        node: &str,
        in_flight_max: usize,
        handler: Handler,
    ) -> Result<Serving, BusError> {
        let link = &self.inner.link;
        let (serving, subscribed) = serving::start(link, node, in_flight_max, handler)?;
        if link.is_up() {
            let settled = async {
                // The error says that the server has ended, which nobody waits for.
                if subscribed.await.is_ok() {
                    link.settle(SERVE_SETTLES_WITHIN).await;
                }
            };
            let waited = tokio::time::timeout(SERVE_SETTLES_WITHIN, settled).await;
            if waited.is_err() {
                tracing::warn!("others may not reach this node yet: the bus is slow");
            }
        }
        Ok(serving)
    }

    /// Tells whoever listens. Never waits and may be lost: without a connection a few are kept, and the oldest go first.
    pub fn publish(&self, topic: &Topic, body: Bytes) {
        let link = &self.inner.link;
        link.send(Outgoing {
            subject: link.topic_subject(topic),
            body,
        });
    }

    /// Listens, also across lost connections, until what it returns is dropped. What is not taken in time is lost, the
    /// oldest first.
    pub fn subscribe(&self, topic: &Topic) -> Subscription {
        let link = &self.inner.link;
        Subscription::start(link, link.topic_subject(topic))
    }

    /// Waits until everything that was published before has reached the server. False if it has not within this time.
    pub async fn settle(&self, within: Duration) -> bool {
        self.inner.link.settle(within).await
    }
}

impl BusError {
    /// Whether the request was surely not carried out, so that it may be sent again.
    pub fn is_not_carried_out(&self) -> bool {
        match self {
            BusError::TimedOut | BusError::AnswerLost => false,
            BusError::NoResponder
            | BusError::Disconnected
            | BusError::TooLarge { .. }
            | BusError::Busy
            | BusError::Refused
            | BusError::Late
            | BusError::Name(_)
            | BusError::Address(_)
            | BusError::Authorities { .. }
            | BusError::Tls(_) => true,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("connection", &*self.connections().borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusOptions")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
