//! One live actor per key.
//!
//! The registry never hands out an `Addr`. That one rule gives three properties:
//! - the number of messages in flight to an actor is bounded (actix bounds a mailbox per *sender*, and every clone of an
//!   `Addr` is a new sender);
//! - an idle actor can be retired without losing a message;
//! - a dead actor is replaced, at once the first time, then with growing pauses (see [`deaths`]).
//!
//! It does not use actix's `Supervisor`, which restarts the same value after a stop and nothing after a panic: here every
//! death, of whatever cause, is followed by a new value that loads its state from the store.

pub mod deaths;
mod lifeline;
mod operating;

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt::{Debug, Display},
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix::{ArbiterHandle, dev::ToEnvelope, prelude::*};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use deaths::Deaths;
pub use lifeline::Lifeline;
pub use operating::ActorInfo;

/// Why a message was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The actor has as many messages in flight as it may have. Answer 503 with `Retry-After`.
    #[error("too many messages are in flight to the actor")]
    Full,
    /// The actor died before it answered; whether it acted is not known. Answer 503.
    #[error("the actor stopped before it answered")]
    Stopped,
    /// The actor did not answer in time; whether it acted is not known. Answer 503.
    #[error("the actor did not answer in time")]
    TimedOut,
    /// The actor has died too often and rests. Answer 503 with `Retry-After`.
    #[error("the actor keeps failing and rests for {0:?}")]
    Resting(Duration),
}

/// How a registry treats its actors.
#[derive(Clone, Copy, Debug)]
pub struct RegistryOptions {
    /// Messages that may be in flight to one actor.
    pub in_flight_max: usize,
    /// How long an answer may take.
    pub ask_timeout: Duration,
}

/// An actor that the registry can start for a key.
pub trait Keyed: Actor<Context = Context<Self>> {
    /// What there is one actor for.
    type Key: Clone + Eq + Hash + Send + Sync + Debug + Display + 'static;
    /// The actor's kind, as operators read it.
    const KIND: &'static str;
    /// Whether the actor must be started again when it has died although nobody asks for it.
    const RUNS_UNASKED: bool;
}

/// Tells an actor that there is something to read. Carries no data; many pokes are as good as one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Poke;

/// Makes the actor panic, to show that its neighbours live on. Sent by tests and by operators who enabled faults.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct InjectPanic;

/// Ends the actor now, whatever it is doing: what it works for is not this node's any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Evict;

/// Where an actor sends its one answer. The sender's place in the mailbox is free again when this is dropped.
#[derive(Debug)]
pub struct Reply<R> {
    sender: oneshot::Sender<R>,
    _place: OwnedSemaphorePermit,
}

impl<R> Reply<R> {
    /// Answers. An asker who has gone away does not matter.
    pub fn send(self, answer: R) {
        drop(self.sender.send(answer));
    }
}

type Factory<A> = dyn Fn(<A as Keyed>::Key, Lifeline<A>) -> A + Send + Sync;

/// Finds, starts, bounds and replaces the actors of one kind.
pub struct Registry<A: Keyed> {
    shared: Arc<Shared<A>>,
}

impl<A: Keyed> Clone for Registry<A> {
    fn clone(&self) -> Self {
        Registry {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<A: Keyed> {
    arbiters: Vec<ArbiterHandle>,
    hasher: RandomState,
    factory: Box<Factory<A>>,
    options: RegistryOptions,
    entries: Mutex<Entries<A>>,
    /// Restarts actors that run unasked; a runtime without actors.
    runtime: tokio::runtime::Handle,
}

struct Entries<A: Keyed> {
    by_key: HashMap<A::Key, Arc<Entry<A>>>,
    deaths: HashMap<A::Key, Deaths>,
    generation_next: u64,
    is_closed: bool,
}

struct Entry<A: Keyed> {
    addr: Addr<A>,
    link: Arc<Link>,
    arbiter: usize,
    born_at: Instant,
}

/// What the registry and its actor share.
#[derive(Debug)]
struct Link {
    generation: u64,
    in_flight: Arc<Semaphore>,
    is_poked: AtomicBool,
}

impl<A: Keyed> Registry<A> {
    /// A registry without actors. `arbiters` are the threads that they will live on; `runtime` runs no actor.
    ///
    /// # Panics
    /// If there is no arbiter.
    pub fn new(
        arbiters: Vec<ArbiterHandle>,
        runtime: tokio::runtime::Handle,
        options: RegistryOptions,
        factory: impl Fn(A::Key, Lifeline<A>) -> A + Send + Sync + 'static,
    ) -> Self {
        assert!(!arbiters.is_empty(), "actors need a thread to live on");
        Registry {
            shared: Arc::new(Shared {
                arbiters,
                hasher: RandomState::new(),
                factory: Box::new(factory),
                options,
                entries: Mutex::new(Entries {
                    by_key: HashMap::new(),
                    deaths: HashMap::new(),
                    generation_next: 0,
                    is_closed: false,
                }),
                runtime,
            }),
        }
    }

    /// Sends a message that carries where to answer, and waits for the answer.
    pub async fn ask<M, R>(
        &self,
        key: &A::Key,
        message: impl FnOnce(Reply<R>) -> M,
    ) -> Result<R, AskError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let answer = self.post(key, message)?;
        match tokio::time::timeout(self.shared.options.ask_timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dropped)) => Err(AskError::Stopped),
            Err(_elapsed) => Err(AskError::TimedOut),
        }
    }

    /// Puts a message into the mailbox now and answers what will bring the reply: messages posted one after the other by
    /// one caller arrive in that order.
    pub fn post<M, R>(
        &self,
        key: &A::Key,
        message: impl FnOnce(Reply<R>) -> M,
    ) -> Result<oneshot::Receiver<R>, AskError>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message<Result = ()> + Send + 'static,
    {
        let (entry, place) = self.admit(key)?;
        let (sender, answer) = oneshot::channel();
        send(
            &entry,
            message(Reply {
                sender,
                _place: place,
            }),
        );
        Ok(answer)
    }

    /// Tells the actor that there is something to read, starting it if need be. Pokes coalesce: one is in the mailbox at
    /// most. A full mailbox or a resting actor misses it; whoever runs unasked looks for work when it starts.
    pub fn poke(&self, key: &A::Key)
    where
        A: Handler<Poke>,
        A::Context: ToEnvelope<A, Poke>,
    {
        // All under the lock: an actor that has been poked cannot be retired.
        let mut entries = self.shared.entries.lock();
        if let Ok(entry) = self.shared.find_or_start(key, &mut entries)
            && !entry.link.is_poked.swap(true, Ordering::AcqRel)
        {
            send(&entry, Poke);
        }
    }

    /// Whether an actor for `key` runs.
    pub fn is_running(&self, key: &A::Key) -> bool {
        self.shared.entries.lock().by_key.contains_key(key)
    }

    /// How many actors run.
    pub fn len(&self) -> usize {
        self.shared.entries.lock().by_key.len()
    }

    /// Whether no actor runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys of all running actors.
    pub fn keys(&self) -> Vec<A::Key> {
        self.shared.entries.lock().by_key.keys().cloned().collect()
    }

    /// Starts no further actor. Those that run go on until they are dropped with their arbiters, which must not stop
    /// before this was called.
    pub fn close(&self) {
        self.shared.entries.lock().is_closed = true;
    }

    /// Finds or starts the actor and reserves one message to it, under one lock: an actor that has been admitted to cannot
    /// be retired.
    fn admit(&self, key: &A::Key) -> Result<(Arc<Entry<A>>, OwnedSemaphorePermit), AskError> {
        let mut entries = self.shared.entries.lock();
        let entry = self.shared.find_or_start(key, &mut entries)?;
        let place = Arc::clone(&entry.link.in_flight)
            .try_acquire_owned()
            .map_err(|_none_left| AskError::Full)?;
        Ok((entry, place))
    }
}

impl<A: Keyed> Shared<A> {
    fn find_or_start(
        self: &Arc<Self>,
        key: &A::Key,
        entries: &mut Entries<A>,
    ) -> Result<Arc<Entry<A>>, AskError> {
        if let Some(entry) = entries.by_key.get(key).filter(|e| e.addr.connected()) {
            return Ok(Arc::clone(entry));
        }
        if entries.is_closed {
            return Err(AskError::Stopped);
        }
        if let Some(deaths) = entries.deaths.get(key)
            && let Some(rest) = deaths.rest_left(Instant::now())
        {
            return Err(AskError::Resting(rest));
        }
        Ok(self.start(key, entries))
    }

    fn start(self: &Arc<Self>, key: &A::Key, entries: &mut Entries<A>) -> Arc<Entry<A>> {
        let link = Arc::new(Link {
            generation: entries.generation_next,
            in_flight: Arc::new(Semaphore::new(self.options.in_flight_max)),
            is_poked: AtomicBool::new(false),
        });
        entries.generation_next += 1;
        let follows_a_death = entries.deaths.contains_key(key);
        let lifeline = Lifeline::new(
            Arc::downgrade(self),
            key.clone(),
            Arc::clone(&link),
            follows_a_death,
        );
        let (shared, actor_key) = (Arc::clone(self), key.clone());
        let arbiter = self.arbiter_for(key);
        let addr = A::start_in_arbiter(&self.arbiters[arbiter], move |_| {
            (shared.factory)(actor_key, lifeline)
        });
        let entry = Arc::new(Entry {
            addr,
            link,
            arbiter,
            born_at: Instant::now(),
        });
        entries.by_key.insert(key.clone(), Arc::clone(&entry));
        entry
    }

    fn arbiter_for(&self, key: &A::Key) -> usize {
        let count = u64::try_from(self.arbiters.len()).expect("a few threads");
        usize::try_from(self.hasher.hash_one(key) % count).expect("an index of a Vec")
    }
}

fn send<A, M>(entry: &Entry<A>, message: M)
where
    A: Keyed + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message<Result = ()> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "the permit in the message, or the poke flag, is the bound"
    )]
    entry.addr.do_send(message);
}

#[cfg(test)]
mod tests;
