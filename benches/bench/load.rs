//! Sends prepared requests over many connections, flat out or at a rate, always to a bound.
//!
//! Every answer must be a success: a figure that counts refusals would mean nothing, so the first one ends the load.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    bodies, clock,
    stats::{Latencies, per_second},
    wire::Wire,
};

/// What to send, where, and over how many connections.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// To whom.
    pub(crate) to: SocketAddr,
    /// Connections, each with one request in flight.
    pub(crate) connections: usize,
    /// The bytes of one request.
    pub(crate) request: Bytes,
    /// Events in one request.
    pub(crate) events: u64,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// When this time is over.
    After(Duration),
    /// When so many requests have been answered.
    Requests(u64),
}

/// What one load came to.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// Events that were acknowledged.
    pub(crate) events: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// One time for each request.
    pub(crate) latencies: Latencies,
}

/// How one connection knows when to end.
#[derive(Clone, Debug)]
enum Budget {
    Until(Instant),
    Left(Arc<AtomicU64>),
}

impl Sample {
    /// Events a second.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.events, self.elapsed)
    }
}

impl Load {
    /// Sends as fast as answers come.
    pub(crate) async fn flat_out(&self, stop: Stop) -> anyhow::Result<Sample> {
        let wires = self.open().await?;
        let started_at = Instant::now();
        let budget = match stop {
            Stop::After(time) => Budget::Until(started_at + time),
            Stop::Requests(count) => Budget::Left(Arc::new(AtomicU64::new(count))),
        };
        let mut tasks = JoinSet::new();
        for wire in wires {
            tasks.spawn(send_all(wire, self.request.clone(), budget.clone()));
        }
        self.gather(tasks, started_at).await
    }

    /// Sends `rate` requests a second for `time`, each stamped with the moment at which it left. The request must have been
    /// made from [`bodies::stamped`].
    pub(crate) async fn paced(&self, rate: f64, time: Duration) -> anyhow::Result<Sample> {
        let wires = self.open().await?;
        let every = Duration::from_secs(1)
            .mul_f64(f64::from(u32::try_from(self.connections)?) / rate.max(1.0));
        let started_at = Instant::now();
        let mut tasks = JoinSet::new();
        for (wire, place) in wires.into_iter().zip(0_u32..) {
            // The connections share out the beat: no two of them send at the same moment.
            let offset = every * place / u32::try_from(self.connections)?;
            let pace = Pace {
                first_at: started_at + offset,
                every,
                until: started_at + time,
            };
            tasks.spawn(send_paced(wire, self.request.to_vec(), pace));
        }
        self.gather(tasks, started_at).await
    }

    async fn open(&self) -> anyhow::Result<Vec<Wire>> {
        let mut wires = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let wire = Wire::open(self.to).await;
            wires.push(wire.with_context(|| format!("connect to {}", self.to))?);
        }
        Ok(wires)
    }

    async fn gather(
        &self,
        mut tasks: JoinSet<anyhow::Result<Latencies>>,
        started_at: Instant,
    ) -> anyhow::Result<Sample> {
        let mut latencies = Latencies::default();
        while let Some(ended) = tasks.join_next().await {
            latencies.merge(ended.context("one connection's task ended early")??);
        }
        Ok(Sample {
            events: u64::try_from(latencies.len())? * self.events,
            elapsed: started_at.elapsed(),
            latencies,
        })
    }
}

impl Budget {
    /// Whether one more request may go out.
    fn allows(&self, now: Instant) -> bool {
        match self {
            Budget::Until(end) => now < *end,
            Budget::Left(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok(),
        }
    }
}

async fn send_all(mut wire: Wire, request: Bytes, budget: Budget) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut sent_at = Instant::now();
    while budget.allows(sent_at) {
        succeed(&mut wire, &request).await?;
        let now = Instant::now();
        latencies.add(now - sent_at);
        sent_at = now;
    }
    Ok(latencies)
}

/// The beat of one connection.
#[derive(Clone, Copy, Debug)]
struct Pace {
    first_at: Instant,
    every: Duration,
    until: Instant,
}

async fn send_paced(mut wire: Wire, mut request: Vec<u8>, pace: Pace) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let mut due_at = pace.first_at;
    while due_at < pace.until {
        tokio::time::sleep_until(due_at).await;
        bodies::stamp(&mut request, clock::now());
        let sent_at = Instant::now();
        succeed(&mut wire, &request).await?;
        latencies.add(sent_at.elapsed());
        due_at += pace.every;
    }
    Ok(latencies)
}

async fn succeed(wire: &mut Wire, request: &[u8]) -> anyhow::Result<()> {
    let status = wire.exchange(request).await.context("send a request")?;
    if !(200..300).contains(&status) {
        let answer = String::from_utf8_lossy(wire.body()).into_owned();
        bail!("a request was answered {status}: {answer}");
    }
    Ok(())
}
