//! Clients that send events until they are told to stop, and remember what was acknowledged.
//!
//! A worker outlives its engine: while nobody answers it asks again, as a patient client does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{interval, sleep},
};

use super::{Answer, Client, client::number};

/// How long a worker waits for an engine that does not answer.
const PATIENCE: Duration = Duration::from_millis(5);

/// Workers that send.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    next: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
    refused: Mutex<Vec<Answer>>,
    unanswered: AtomicU64,
}

/// An event whose receipt came.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// Its id.
    pub(crate) id: String,
    /// Its position.
    pub(crate) position: u64,
    /// The number in its payload, which no other event has.
    pub(crate) number: u64,
}

impl Load {
    /// Starts workers that send one event after the other, as fast as they are answered.
    pub(crate) fn start(client: &Client, workers: usize, kind: &str) -> Load {
        let shared = Arc::new(Shared::default());
        let work = |_| {
            let (shared, client, kind) = (Arc::clone(&shared), client.clone(), kind.to_owned());
            tokio::spawn(async move {
                while !shared.is_over.load(Ordering::Relaxed) {
                    shared.send_one(&client, &kind).await;
                }
            })
        };
        let workers = (0..workers).map(work).collect();
        Load { shared, workers }
    }

    /// Starts one source that sends an event at every beat, whether or not earlier ones have been answered.
    pub(crate) fn at_pace(client: &Client, pace: Duration, kind: &str) -> Load {
        let shared = Arc::new(Shared::default());
        let (source, client, kind) = (Arc::clone(&shared), client.clone(), kind.to_owned());
        let worker = tokio::spawn(async move {
            let mut beat = interval(pace);
            while !source.is_over.load(Ordering::Relaxed) {
                beat.tick().await;
                let (shared, client, kind) = (Arc::clone(&source), client.clone(), kind.clone());
                tokio::spawn(async move { shared.send_one(&client, &kind).await });
            }
        });
        Load {
            shared,
            workers: vec![worker],
        }
    }

    /// How many events have been acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.shared.acknowledged.lock().expect("not poisoned").len()
    }

    /// What was answered otherwise up to now.
    pub(crate) fn refused(&self) -> Vec<Answer> {
        self.shared.refused.lock().expect("not poisoned").clone()
    }

    /// How many requests got no answer at all.
    pub(crate) fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Ordering::Relaxed)
    }

    /// Stops the workers after their present request, and answers what was acknowledged.
    pub(crate) async fn stop(self) -> Vec<Acknowledged> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.await.expect("workers do not panic");
        }
        let acknowledged = self.shared.acknowledged.lock().expect("not poisoned");
        acknowledged.clone()
    }
}

impl Shared {
    async fn send_one(&self, client: &Client, kind: &str) {
        let number_sent = self.next.fetch_add(1, Ordering::Relaxed);
        let event = json!({ "type": kind, "payload": { "n": number_sent } });
        match client.post("/v1/events", &event).attempt().await {
            Ok(answer) if answer.status == 202 => {
                let receipt: Value = answer.data();
                let id = receipt["id"]
                    .as_str()
                    .expect("a receipt has an id")
                    .to_owned();
                let position = number(&receipt, "position");
                let acknowledged = Acknowledged {
                    id,
                    position,
                    number: number_sent,
                };
                self.acknowledged
                    .lock()
                    .expect("not poisoned")
                    .push(acknowledged);
            }
            Ok(answer) => {
                self.refused.lock().expect("not poisoned").push(answer);
                sleep(PATIENCE).await;
            }
            Err(_nobody_answers) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                sleep(PATIENCE).await;
            }
        }
    }
}
