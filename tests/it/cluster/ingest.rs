//! Clients that send at a steady pace through all nodes, and remember the fate of every attempt.
//!
//! Two manners. A patient client gives its event a dedup id and tries other nodes until somebody acknowledges it. The other
//! sends each event once and never again, so that a server that repeats what it was told once would be found out. Both go to
//! another node when no connection can be made, because then nothing was sent.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::harness::{
    Answer, Client,
    client::{number, text},
};

/// How often each client sends.
const PACE: Duration = Duration::from_millis(40);

/// Clients at work: one of each manner for each tenant.
#[derive(Debug)]
pub(super) struct Ingest {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What became of one attempt to send an event.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The tenant, by its place in the test's list.
    pub(super) tenant: usize,
    /// The number in the event's payload, which no other event has.
    pub(super) number: u64,
    /// The node that was asked.
    pub(super) node: usize,
    /// When the outcome was known.
    pub(super) at: Instant,
    /// The outcome.
    pub(super) fate: Fate,
}

/// What a client knows of its event.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is in the log.
    Acknowledged {
        /// Its id.
        id: String,
        /// Where; an answer that it had been there before does not say.
        position: Option<u64>,
    },
    /// It was refused with a problem.
    Refused {
        /// The status.
        status: u16,
        /// The code.
        code: String,
        /// What was said about it.
        detail: String,
        /// Whether it was said when to come again.
        has_retry_after: bool,
    },
    /// No connection could be made: nothing was sent.
    NotSent,
    /// It was sent and there was no answer.
    Unknown {
        /// What happened instead.
        error: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Patient,
    Once,
}

#[derive(Debug)]
struct Shared {
    /// A client for each tenant and node.
    clients: Vec<Vec<Client>>,
    patience: Duration,
    is_over: AtomicBool,
    next: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
}

impl Ingest {
    /// Starts them. `clients` has a row for each tenant, with a client for each node; a request that is not answered within
    /// `patience` is given up.
    pub(super) fn start(clients: Vec<Vec<Client>>, patience: Duration) -> Ingest {
        let tenants = clients.len();
        let shared = Arc::new(Shared {
            clients,
            patience,
            is_over: AtomicBool::new(false),
            next: AtomicU64::new(0),
            attempts: Mutex::default(),
        });
        let mut workers = Vec::new();
        for tenant in 0..tenants {
            for manner in [Manner::Patient, Manner::Once] {
                let shared = Arc::clone(&shared);
                workers.push(tokio::spawn(shared.work(tenant, manner)));
            }
        }
        Ingest { shared, workers }
    }

    /// Every attempt up to now.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.shared.attempts.lock().expect("not poisoned").clone()
    }

    /// How many events of each tenant have been acknowledged.
    pub(super) fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.shared.clients.len()];
        for attempt in &*self.shared.attempts.lock().expect("not poisoned") {
            if matches!(attempt.fate, Fate::Acknowledged { .. }) {
                counts[attempt.tenant] += 1;
            }
        }
        counts
    }

    /// Stops them after their present request, and answers every attempt.
    pub(super) async fn stop(self) -> Vec<Attempt> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("workers do not panic");
        }
        let attempts = self.shared.attempts.lock().expect("not poisoned");
        attempts.clone()
    }
}

impl Shared {
    async fn work(self: Arc<Shared>, tenant: usize, manner: Manner) {
        let mut beat = interval(PACE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let nodes = self.clients[tenant].len();
        let mut node = tenant % nodes;
        while !self.is_over() {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            loop {
                beat.tick().await;
                let fate = self.send(tenant, node, number, manner).await;
                let is_settled = match &fate {
                    Fate::Acknowledged { .. } => true,
                    Fate::NotSent => false,
                    Fate::Refused { .. } | Fate::Unknown { .. } => manner == Manner::Once,
                };
                self.note(tenant, node, number, fate);
                node = (node + 1) % nodes;
                if is_settled || self.is_over() {
                    break;
                }
            }
        }
    }

    async fn send(&self, tenant: usize, node: usize, number: u64, manner: Manner) -> Fate {
        let mut event = json!({ "type": "under.load", "payload": { "n": number } });
        if manner == Manner::Patient {
            event["dedup_id"] = json!(format!("n-{number}"));
        }
        let call = self.clients[tenant][node].post("/v1/events", &event);
        match call.within(self.patience).attempt().await {
            Ok(answer) => Fate::of(&answer),
            Err(error) if error.is_connect() => Fate::NotSent,
            Err(error) => Fate::Unknown {
                error: format!("{error:?}"),
            },
        }
    }

    fn note(&self, tenant: usize, node: usize, number: u64, fate: Fate) {
        let attempt = Attempt {
            tenant,
            number,
            node,
            at: Instant::now(),
            fate,
        };
        self.attempts.lock().expect("not poisoned").push(attempt);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tenant, number, node) = (self.tenant, self.number, self.node);
        write!(f, "event {number} of tenant {tenant} on node {node}: ")?;
        match &self.fate {
            Fate::Acknowledged { id, position } => write!(f, "{id} at {position:?}"),
            Fate::Refused {
                status,
                code,
                detail,
                ..
            } => write!(f, "{status} {code}: {detail}"),
            Fate::NotSent => f.write_str("not sent"),
            Fate::Unknown { error } => f.write_str(error),
        }
    }
}

impl Fate {
    fn of(answer: &Answer) -> Fate {
        if answer.status == 202 {
            let receipt = answer.data();
            return Fate::Acknowledged {
                id: text(&receipt, "id").to_owned(),
                position: Some(number(&receipt, "position")),
            };
        }
        let problem: Value = answer.json();
        let code = text(&problem["error"], "code").to_owned();
        if code == "duplicate_event" {
            let id = text(&problem, "existing_id").to_owned();
            return Fate::Acknowledged { id, position: None };
        }
        Fate::Refused {
            status: answer.status,
            code,
            detail: text(&problem, "detail").to_owned(),
            has_retry_after: answer.header("retry-after").is_some(),
        }
    }
}
