//! The life of a gateway: dials, holds a session, waits, dials again, until it is over.
//!
//! What is said within a session stands in [`crate::session`].

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, rngs::SmallRng};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tracing::{debug, warn};

use crate::{
    backoff::Backoff,
    builder::Settings,
    commands::Commands,
    dial::{DialError, dial},
    ended::{Ended, Status},
    handle::Said,
    session::{Left, Session},
    unacked::{Outgoing, Unacked},
};

/// A session that lasted this long was no failure to connect.
const LASTED: Duration = Duration::from_secs(10);

/// Everything that outlives a session.
pub(crate) struct Task {
    pub(crate) settings: Arc<Settings>,
    pub(crate) commands: Commands,
    pub(crate) events: mpsc::Receiver<Outgoing>,
    pub(crate) unacked: Unacked,
    pub(crate) said: Arc<Said>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Task {
    pub(crate) fn new(
        settings: Arc<Settings>,
        commands: Commands,
        events: mpsc::Receiver<Outgoing>,
        said: Arc<Said>,
        (status, stop): (watch::Sender<Status>, watch::Receiver<bool>),
    ) -> Task {
        let unacked = Unacked::new(settings.events_in_flight, settings.bytes_in_flight);
        Task {
            settings,
            commands,
            events,
            unacked,
            said,
            status,
            stop,
        }
    }

    /// Runs until the gateway is over.
    pub(crate) async fn run(mut self) {
        let ended = self.live().await;
        debug!("the gateway is over: {ended}");
        self.unacked.end(&ended);
        self.events.close();
        while let Ok(event) = self.events.try_recv() {
            drop(event.reply.send(Err(ended.clone().into())));
        }
        self.status.send_replace(Status::Ended(ended));
    }

    async fn live(&mut self) -> Ended {
        let (least, most) = self.settings.backoff;
        let mut backoff = Backoff::new(least, most);
        let mut random: SmallRng = rand::make_rng();
        let mut stop = self.stop.clone();
        loop {
            let wait = match self.attempt(&mut backoff, &mut random).await {
                Ok(wait) => wait,
                Err(ended) => return ended,
            };
            self.status.send_replace(Status::Connecting);
            tokio::select! {
                () = stopped(&mut stop) => return Ended::Closed,
                () = sleep(wait) => {}
            }
        }
    }

    /// One session, or the attempt to have one. Answers how long to wait before the next.
    async fn attempt(
        &mut self,
        backoff: &mut Backoff,
        random: &mut SmallRng,
    ) -> Result<Duration, Ended> {
        let mut stop = self.stop.clone();
        let settings = Arc::clone(&self.settings);
        let dialled = tokio::select! {
            () = stopped(&mut stop) => return Err(Ended::Closed),
            dialled = dial(&settings) => dialled,
        };
        let socket = match dialled {
            Ok(socket) => socket,
            Err(DialError::Final(ended)) => return Err(ended),
            Err(error) => {
                let wait = wait_after(&error, backoff.next(random.random()));
                debug!(cause = ?error, "no session, next attempt in {wait:?}: {error}");
                return Ok(wait);
            }
        };
        let opened_at = Instant::now();
        let left = Session::new(self, socket).hold().await;
        if opened_at.elapsed() >= LASTED {
            backoff.reset();
        }
        match left {
            Left::Ended(ended) => Err(ended),
            Left::Asked => Ok(backoff.soon(random.random())),
            Left::Lost(why) => {
                let wait = backoff.next(random.random());
                warn!("the session is lost, next attempt in {wait:?}: {why}");
                Ok(wait)
            }
        }
    }
}

/// Waits until the caller has closed the gateway or dropped its last handle.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error says that the last handle is gone.
    drop(stop.wait_for(|stop| *stop).await);
}

/// The engine knows better than chance when to come back, but not all shall come at once.
fn wait_after(error: &DialError, wait: Duration) -> Duration {
    match error {
        DialError::NotNow {
            retry_after: Some(after),
            ..
        } => wait.saturating_add(*after),
        DialError::NotNow { .. }
        | DialError::Failed(_)
        | DialError::TimedOut
        | DialError::Final(_) => wait,
    }
}
