//! One transaction on one connection, which nobody else gets before it has certainly ended.
//!
//! A caller may go away at any moment. Then the transaction is ended in the background, and commits that begin later wait for
//! that: what was given up is over, one way or the other, before anything else is written.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::Object;
use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::StoreError;

/// How long the end of a transaction that was given up may take; then its connection is thrown away.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How many transactions were given up and have not ended.
#[derive(Clone)]
pub(super) struct GivenUp {
    count: Arc<watch::Sender<usize>>,
    runtime: Handle,
}

/// A connection with a transaction that may be open.
pub(super) struct Session {
    connection: Option<Object>,
    given_up: GivenUp,
}

impl GivenUp {
    /// None, on the present runtime.
    pub(super) fn new() -> GivenUp {
        GivenUp {
            count: Arc::new(watch::Sender::new(0)),
            runtime: Handle::current(),
        }
    }

    /// Waits until all of them have ended.
    pub(super) async fn none(&self) {
        if *self.count.borrow() == 0 {
            return;
        }
        let mut count = self.count.subscribe();
        // The sender is `self`'s own: it is there.
        count
            .wait_for(|count| *count == 0)
            .await
            .map(drop)
            .unwrap_or_default();
    }
}

impl GivenUp {
    /// Runs `work` on the runtime where connections live. If the caller goes away, the work is broken off, and counts as given
    /// up until it has certainly ended.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut apart = Apart {
            task: Some(self.runtime.spawn(work)),
            given_up: self.clone(),
        };
        let task = apart.task.as_mut();
        let ended = task.expect("it is taken only below and at the end").await;
        apart.task.take();
        ended.map_err(|error| StoreError::Unavailable(format!("the commit broke off: {error}")))
    }
}

/// Work on another runtime, of somebody who may go away.
struct Apart<T: Send + 'static> {
    task: Option<JoinHandle<T>>,
    given_up: GivenUp,
}

impl<T: Send + 'static> Drop for Apart<T> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        let count = Arc::clone(&self.given_up.count);
        count.send_modify(|count| *count += 1);
        task.abort();
        drop(self.given_up.runtime.spawn(async move {
            // Only now is it over: what it had begun has told by itself that it was given up.
            drop(task.await);
            count.send_modify(|count| *count -= 1);
        }));
    }
}

impl Session {
    /// Takes a connection on which a transaction is about to begin.
    pub(super) fn new(connection: Object, given_up: &GivenUp) -> Session {
        Session {
            connection: Some(connection),
            given_up: given_up.clone(),
        }
    }

    /// The connection.
    pub(super) fn client(&self) -> &Object {
        self.connection
            .as_ref()
            .expect("it is taken only when the session ends")
    }

    /// Gives the connection back: the transaction has ended for certain.
    pub(super) fn end(mut self) {
        self.connection.take();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if connection.is_closed() {
            drop(Object::take(connection));
            return;
        }
        let count = Arc::clone(&self.given_up.count);
        count.send_modify(|count| *count += 1);
        drop(self.given_up.runtime.spawn(async move {
            // Answered after everything that was sent before it, a `COMMIT` too.
            let ending = connection.batch_execute("ROLLBACK");
            match tokio::time::timeout(END_PATIENCE, ending).await {
                Ok(Ok(())) => drop(connection),
                Ok(Err(_)) | Err(_) => drop(Object::take(connection)),
            }
            count.send_modify(|count| *count -= 1);
        }));
    }
}
