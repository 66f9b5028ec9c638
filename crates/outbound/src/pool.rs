//! Idle connections, kept for the next post to the same target.
//!
//! The one that was used last goes first, so that those that are too many grow old and go. Opens nothing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{dial::Origin, link::Link};

/// How long an idle connection is kept. Most targets close theirs after a minute, and a post on a connection that is
/// closed at that moment fails.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How often old connections are looked for while there are any.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// See the module. Ends its connections when it is dropped.
pub(crate) struct Pool {
    idle_per_origin_max: usize,
    idle: Arc<Mutex<Idle>>,
}

#[derive(Default)]
struct Idle {
    by_origin: HashMap<Origin, VecDeque<(Link, Instant)>>,
    /// Whether somebody looks for old ones.
    is_swept: bool,
}

impl Pool {
    /// A pool that keeps so many connections to each target.
    pub(crate) fn new(idle_per_origin_max: usize) -> Pool {
        Pool {
            idle_per_origin_max,
            idle: Arc::default(),
        }
    }

    /// Takes the connection out that was used last, if it still stands.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Link> {
        loop {
            let (mut link, since) = self.idle.lock().by_origin.get_mut(origin)?.pop_back()?;
            if since.elapsed() < IDLE_MAX && link.stands() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next post. Must be called on the runtime on which the connection lives.
    pub(crate) fn keep(&self, origin: &Origin, link: Link) {
        if self.idle_per_origin_max == 0 {
            return;
        }
        let mut idle = self.idle.lock();
        if !idle.by_origin.contains_key(origin) {
            idle.by_origin.insert(origin.clone(), VecDeque::new());
        }
        let links = idle.by_origin.get_mut(origin).expect("put in above");
        let oldest = if links.len() >= self.idle_per_origin_max {
            links.pop_front()
        } else {
            None
        };
        links.push_back((link, Instant::now()));
        if !std::mem::replace(&mut idle.is_swept, true) {
            drop(tokio::spawn(sweep(Arc::downgrade(&self.idle))));
        }
        drop(idle);
        // Closing it takes a call to the system, which nobody needs to wait for under the lock.
        drop(oldest);
    }
}

/// Ends connections that were idle for too long, until there are none.
async fn sweep(idle: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut old = Vec::new();
        let mut idle = idle.lock();
        idle.by_origin.retain(|_, links| {
            while links
                .front()
                .is_some_and(|(_, since)| since.elapsed() >= IDLE_MAX)
            {
                old.extend(links.pop_front());
            }
            !links.is_empty()
        });
        if idle.by_origin.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}
