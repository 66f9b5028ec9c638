//! What ties an actor to its registry: the way to retire, and the notice of its death.
//!
//! Weak, because the registry owns the actors.

use std::sync::{Arc, Weak, atomic::Ordering};

use tokio::time::Instant;
use tracing::{error, warn};

use super::{Keyed, Link, Shared, deaths::Deaths};

/// Held by each actor for as long as it lives. Dropping it without having retired is a death.
pub struct Lifeline<A: Keyed> {
    shared: Weak<Shared<A>>,
    key: A::Key,
    link: Arc<Link>,
    has_retired: bool,
    follows_a_death: bool,
}

impl<A: Keyed> Lifeline<A> {
    pub(super) fn new(
        shared: Weak<Shared<A>>,
        key: A::Key,
        link: Arc<Link>,
        follows_a_death: bool,
    ) -> Lifeline<A> {
        Lifeline {
            shared,
            key,
            link,
            has_retired: false,
            follows_a_death,
        }
    }

    /// Whether an actor for the same key died lately: what it had sent to others may still be on its way.
    pub fn follows_a_death(&self) -> bool {
        self.follows_a_death
    }

    /// Removes the actor from the registry if no message is in flight to it. The actor stops itself exactly when this
    /// returns true.
    pub fn try_retire(&mut self) -> bool {
        if let Some(shared) = self.shared.upgrade() {
            let mut entries = shared.entries.lock();
            let is_idle = self.link.in_flight.available_permits() == shared.options.in_flight_max
                && !self.link.is_poked.load(Ordering::Acquire);
            if !is_idle {
                return false;
            }
            if is_current(&entries, self) {
                entries.by_key.remove(&self.key);
            }
        }
        self.has_retired = true;
        true
    }

    /// The actor stops itself because it was evicted, or because it may not work here: that is no death.
    pub fn retire(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut entries = shared.entries.lock();
            if is_current(&entries, self) {
                entries.by_key.remove(&self.key);
            }
        }
        self.has_retired = true;
    }

    /// To be called first when a poke is handled: from now on a further poke is news.
    pub fn take_poke(&self) {
        self.link.is_poked.store(false, Ordering::Release);
    }
}

fn is_current<A: Keyed>(entries: &super::Entries<A>, lifeline: &Lifeline<A>) -> bool {
    entries
        .by_key
        .get(&lifeline.key)
        .is_some_and(|entry| entry.link.generation == lifeline.link.generation)
}

impl<A: Keyed> Drop for Lifeline<A> {
    fn drop(&mut self) {
        if self.has_retired {
            return;
        }
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let cause = if std::thread::panicking() {
            "panic"
        } else {
            "stop"
        };
        let now = Instant::now();
        let mut entries = shared.entries.lock();
        if is_current(&entries, self) {
            entries.by_key.remove(&self.key);
        }
        if entries.is_closed {
            return;
        }
        entries.deaths.retain(|_, deaths| !deaths.is_forgiven(now));
        let deaths = *entries
            .deaths
            .entry(self.key.clone())
            .and_modify(|deaths| deaths.add(now))
            .or_insert_with(|| Deaths::first(now));
        drop(entries);
        metrics::counter!("actor_deaths_total", "kind" => A::KIND, "cause" => cause).increment(1);
        let (key, count) = (&self.key, deaths.count());
        if cause == "panic" {
            error!(actor.kind = A::KIND, actor.key = %key, cause, count, "an actor died: {} {key}", A::KIND);
        } else {
            warn!(actor.kind = A::KIND, actor.key = %key, cause, count, "an actor stopped: {} {key}", A::KIND);
        }
        if A::RUNS_UNASKED {
            restart_after(&shared, self.key.clone(), &deaths);
        }
    }
}

/// Starts the actor again when it has rested. Nothing but its own start tells it what to do: it looks for work then.
fn restart_after<A: Keyed>(shared: &Arc<Shared<A>>, key: A::Key, deaths: &Deaths) {
    let weak = Arc::downgrade(shared);
    let rest = deaths.rest();
    shared.runtime.spawn(async move {
        tokio::time::sleep(rest).await;
        if let Some(shared) = weak.upgrade() {
            let mut entries = shared.entries.lock();
            // Somebody may have asked for it meanwhile, or the registry may be closed: both are fine.
            drop(shared.find_or_start(&key, &mut entries));
        }
    });
}
