//! What is done with many actors at once, or with one from outside: looked at, stopped, made to fail.
//!
//! No message of ordinary work passes here.

use std::{sync::Arc, time::Duration};

use actix::{dev::ToEnvelope, prelude::*};
use domain::fence::Fence;

use super::{Entry, Evict, InjectPanic, Keyed, Registry, deaths::Deaths, send};

/// What operators see of one actor.
#[derive(Clone, Debug)]
pub struct ActorInfo {
    /// Its kind.
    pub kind: &'static str,
    /// What it is for.
    pub key: String,
    /// The thread that it runs on, counted from 0.
    pub arbiter: usize,
    /// Messages in flight to it.
    pub in_flight: usize,
    /// How many messages may be.
    pub in_flight_max: usize,
    /// How often an actor for this key has died lately.
    pub restarts: u32,
    /// How long this incarnation has lived.
    pub age: Duration,
    /// The fence under which what it works for is held, among several nodes.
    pub fence: Option<Fence>,
}

impl<A: Keyed> Registry<A> {
    /// Makes the actor panic if it runs; says whether it did.
    pub fn inject_panic(&self, key: &A::Key) -> bool
    where
        A: Handler<InjectPanic>,
        A::Context: ToEnvelope<A, InjectPanic>,
    {
        let entries = self.shared.entries.lock();
        let entry = entries.by_key.get(key).map(Arc::clone);
        drop(entries);
        entry.is_some_and(|entry| {
            send(&entry, InjectPanic);
            true
        })
    }

    /// Stops the actors of all keys that are meant, at once, and answers how many there were. Whoever waits for their answers
    /// is told that they stopped; whoever asks from now on starts new ones.
    pub fn evict(&self, is_meant: impl Fn(&A::Key) -> bool) -> usize
    where
        A: Handler<Evict>,
        A::Context: ToEnvelope<A, Evict>,
    {
        let mut entries = self.shared.entries.lock();
        let evicted = entries.by_key.extract_if(|key, _| is_meant(key));
        let mut count = 0;
        for (_, entry) in evicted {
            send(&entry, Evict);
            count += 1;
        }
        count
    }

    /// What runs where, at most `limit` of them, with the fence that `fence_of` says.
    pub fn infos(
        &self,
        limit: usize,
        fence_of: impl Fn(&A::Key) -> Option<Fence>,
    ) -> Vec<ActorInfo> {
        let options = self.shared.options;
        let entries = self.shared.entries.lock();
        let info = |(key, entry): (&A::Key, &Arc<Entry<A>>)| ActorInfo {
            kind: A::KIND,
            key: key.to_string(),
            arbiter: entry.arbiter,
            in_flight: options.in_flight_max - entry.link.in_flight.available_permits(),
            in_flight_max: options.in_flight_max,
            restarts: entries.deaths.get(key).map_or(0, Deaths::count),
            age: entry.born_at.elapsed(),
            fence: fence_of(key),
        };
        entries.by_key.iter().take(limit).map(info).collect()
    }

    /// Whether a message is in flight to any of them.
    pub fn is_busy(&self) -> bool {
        let all = self.shared.options.in_flight_max;
        let entries = self.shared.entries.lock();
        let mut entries = entries.by_key.values();
        entries.any(|entry| entry.link.in_flight.available_permits() < all)
    }
}
