//! Keeps this node's session with the control plane alive, and says at once when it is lost.
//!
//! An answer that does not come is no answer: the session then stands for as long as its time was confirmed, and is asked
//! for more often. See [`super::session`] for what may be done meanwhile.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use store::{StoreError, control::Renewal};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Placement, Shared, Standing, session::Session};

/// Heartbeats in the time of a lease, and while the control plane does not answer.
const BEATS: u32 = 3;
const HASTY_BEATS: u32 = 15;

impl Placement {
    /// Begins this node's session and keeps it, and looks for free tenants from now on. Does nothing for a node that is alone.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        let Some(shared) = self.shared() else {
            return Ok(());
        };
        shared.begin_session().await?;
        shared.runtime.spawn(beat(Arc::downgrade(shared)));
        Ok(())
    }
}

/// The heart. Ends with the placement, or when the node has left.
async fn beat(weak: Weak<Shared>) {
    let mut is_answered = true;
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let pause = shared.ttl / if is_answered { BEATS } else { HASTY_BEATS };
        let wait = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.beat_now.notified() => {}
            }
        };
        wait.await;
        let session = shared.session.read().clone();
        is_answered = match session {
            Some(session) => shared.renew(&session).await,
            None if shared.is_leaving() => return,
            None => shared.begin_again().await,
        };
        metrics::gauge!("leases_held").set(u32::try_from(shared.holds.len()).unwrap_or(u32::MAX));
    }
}

impl Shared {
    async fn begin_session(&self) -> Result<(), StoreError> {
        let sent_at = Instant::now();
        let id = self.control.begin_session(&self.node, self.ttl).await?;
        let session = Arc::new(Session::begun(id, self.ttl, sent_at));
        *self.session.write() = Some(session);
        self.session_told.send_replace(Some(id));
        info!(session.id = %id, node = self.node.as_str(), "node {} has begun session {id}", self.node);
        Ok(())
    }

    async fn begin_again(&self) -> bool {
        match within(self.ttl / BEATS, self.begin_session()).await {
            Ok(()) => {
                self.sweep_now.notify_one();
                true
            }
            Err(error) => {
                warn!(%error, "no session could be begun yet: {error}");
                false
            }
        }
    }

    /// Sends one heartbeat. Answers whether it was answered.
    async fn renew(self: &Arc<Self>, session: &Arc<Session>) -> bool {
        let sent_at = Instant::now();
        let renewal = self.control.renew_session(session.id(), self.ttl);
        match within(self.ttl / BEATS, renewal).await {
            Ok(Renewal::Renewed) => {
                let was = session.standing(Instant::now());
                session.renewed(sent_at);
                if was == Standing::Unknown
                    && let Some(household) = self.household()
                {
                    info!(session.id = %session.id(), "session {} stands: work goes on", session.id());
                    household.revive();
                }
                true
            }
            Ok(Renewal::Lost) => {
                self.lose(session);
                self.is_leaving() || self.begin_again().await
            }
            Err(error) => {
                let standing = session.standing(Instant::now());
                warn!(session.id = %session.id(), ?standing, %error, "a heartbeat was not answered: {error}");
                false
            }
        }
    }

    /// The session is no more: nothing is held from this moment on.
    fn lose(self: &Arc<Self>, session: &Arc<Session>) {
        if !session.lost() {
            return;
        }
        let lost = self.holds.lose(session);
        let count = lost.len();
        *self.session.write() = None;
        self.session_told.send_replace(None);
        self.doubtful.lock().clear();
        metrics::counter!("lease_losses_total").increment(count as u64);
        error!(session.id = %session.id(), count, "session {} is lost, and with it {count} tenants: all work for them stops", session.id());
        if let Some(household) = self.household() {
            household.evict(None);
            // Of those that nothing used at this moment no user tells that it has gone.
            lost.into_iter().for_each(|tenant| household.unheld(tenant));
        }
    }

    /// Ends the session: whatever is still held is free from now on.
    pub(super) async fn end_session(self: &Arc<Self>) {
        let session = self.session.write().take();
        let Some(session) = session else { return };
        self.session_told.send_replace(None);
        let ending = self.control.end_session(session.id());
        if let Err(error) = within(self.ttl / BEATS, ending).await {
            warn!(session.id = %session.id(), %error, "session {} was not ended: what it held is free when its time is over: {error}", session.id());
        }
        session.lost();
        drop(self.holds.lose(&session));
    }
}

/// A store that does not answer in time has not answered.
async fn within<T>(
    time: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(time, asked)
        .await
        .unwrap_or_else(|_elapsed| {
            Err(StoreError::Unavailable(format!(
                "no answer within {time:?}"
            )))
        })
}
