//! What one reader hears of a topic.
//!
//! A reader that does not keep up loses the oldest messages, and nobody waits for it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::Subject;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    backlog::{Backlog, Limits},
    link::Link,
    metering::Dropped,
};

/// What waits for its reader, at most.
const LIMITS: Limits = Limits {
    messages_max: 1_024,
    bytes_max: 4 * 1024 * 1024,
};

/// See the module. Ends when it is dropped.
pub struct Subscription {
    link: Arc<Link>,
    heard: Arc<Backlog<Bytes>>,
    is_begun: watch::Receiver<bool>,
    listening: AbortHandle,
}

impl Subscription {
    pub(super) fn start(link: &Arc<Link>, subject: Subject) -> Subscription {
        let heard = Arc::new(Backlog::new(LIMITS));
        let (begun, is_begun) = watch::channel(false);
        let task = listen(Arc::clone(link), subject, Arc::clone(&heard), begun);
        Subscription {
            link: Arc::clone(link),
            heard,
            is_begun,
            listening: link.runtime.spawn(task).abort_handle(),
        }
    }

    /// Waits until whatever is published from now on will be heard. False if that is not so within this time, as when there
    /// is no connection.
    pub async fn settled(&mut self, within: Duration) -> bool {
        let settled = async {
            let is_begun = self.is_begun.wait_for(|is_begun| *is_begun).await.is_ok();
            is_begun && self.link.settle(within).await
        };
        timeout(within, settled).await.unwrap_or(false)
    }
}

impl Stream for Subscription {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.heard.poll_take(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

async fn listen(
    link: Arc<Link>,
    subject: Subject,
    heard: Arc<Backlog<Bytes>>,
    begun: watch::Sender<bool>,
) {
    match link.client.subscribe(subject).await {
        Ok(mut messages) => {
            begun.send_replace(true);
            while let Some(message) = messages.next().await {
                let dropped = heard.push(message.payload);
                link.metering.dropped(Dropped::Incoming, dropped);
            }
        }
        Err(error) => tracing::error!("a topic of the bus cannot be heard: {error}"),
    }
    heard.close();
}
