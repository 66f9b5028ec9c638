//! What is written, and how it is timed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{
    breaker::Breaker,
    event::{Event, EventType, Fields, Hash, Seed},
    event_id::event_id,
    fence::Fence,
    ids::{TenantId, WorkspaceId},
    position::{Position, Seq},
    time::Timestamp,
};
use store::log::{
    Append, Attempt, DeliveryState, RegionLog, Settle, WebhookNo, WebhookProgress, Write,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Events a commit.
pub(crate) const BATCHES: [u64; 5] = [1, 8, 32, 128, 1_000];
/// What an event carries.
pub(crate) const PAYLOAD: &[u8] = &[b'7'; 300];

/// Why nothing could be measured.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// How many commits of so many events.
pub(crate) fn commits_of(batch: u64) -> u64 {
    (40_000 / batch).clamp(100, 2_000)
}

/// Commits so many events of one tenant at once.
pub(crate) async fn log_rate(
    log: &dyn RegionLog,
    batch: u64,
    commits: u64,
) -> Result<Rate, Failure> {
    let mut head = Position::ZERO;
    let mut timer = Timer::new(batch, commits);
    for _ in 0..timer.rounds() {
        let append = append(1, head, batch);
        head = head.plus(batch);
        timer.begin();
        for outcome in log.commit(&[Write::Append(append)]).await? {
            outcome?;
        }
        timer.end();
    }
    Ok(timer.rate())
}

/// Commits one event of each of many tenants at once.
pub(crate) async fn spread_rate(
    log: &dyn RegionLog,
    tenants: u64,
    commits: u64,
) -> Result<Rate, Failure> {
    let mut timer = Timer::new(tenants, commits);
    for round in 0..timer.rounds() {
        let parts: Vec<Write> = (1..=u128::from(tenants))
            .map(|number| Write::Append(append(number, Position::new(round), 1)))
            .collect();
        timer.begin();
        for outcome in log.commit(&parts).await? {
            outcome?;
        }
        timer.end();
    }
    Ok(timer.rate())
}

/// Reads the first tenant's events back; answers rows a second.
pub(crate) async fn read_rate(log: &dyn RegionLog) -> Result<f64, Failure> {
    let (mut after, mut rows) = (Position::ZERO, 0.0);
    let begun = Instant::now();
    loop {
        let events = log.read_after(tenant(1), after, 1_000, usize::MAX).await?;
        let Some(last) = events.last() else {
            break;
        };
        after = last.position;
        rows += 1_000.0;
    }
    Ok(rows / begun.elapsed().as_secs_f64())
}

/// Commits events of several tenants, each by itself and all at the same time; answers rows a second.
pub(crate) async fn side_by_side_rate(
    log: &Arc<dyn RegionLog>,
    committers: u32,
    batch: u64,
    commits: u64,
) -> Result<f64, Failure> {
    let begun = Instant::now();
    let tasks = (1..=u128::from(committers)).map(|number| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            let mut head = Position::ZERO;
            for _ in 0..commits {
                let parts = [Write::Append(append(number, head, batch))];
                head = head.plus(batch);
                for outcome in log
                    .commit(&parts)
                    .await
                    .map_err(|error| error.to_string())?
                {
                    outcome.map_err(|error| error.to_string())?;
                }
            }
            Ok::<_, String>(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a few digits are enough")]
    let rows = (u64::from(committers) * commits * batch) as f64;
    Ok(rows / begun.elapsed().as_secs_f64())
}

/// Commits outcomes of so many deliveries of one webhook at once, all of which went through.
pub(crate) async fn settle_rate(
    log: &dyn RegionLog,
    batch: u64,
    commits: u64,
) -> Result<Rate, Failure> {
    let mut cursor = Position::ZERO;
    let mut timer = Timer::new(batch, commits);
    for _ in 0..timer.rounds() {
        let settle = settle(cursor, batch);
        cursor = cursor.plus(batch);
        timer.begin();
        for outcome in log.commit(&[Write::Settle(settle)]).await? {
            outcome?;
        }
        timer.end();
    }
    Ok(timer.rate())
}

/// What came out.
pub(crate) struct Rate {
    /// Rows a second.
    pub(crate) rows: f64,
    /// Half of the commits take no longer than this …
    pub(crate) median: f64,
    /// … and none takes longer than this.
    pub(crate) worst: f64,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Rate {
            rows,
            median,
            worst,
        } = self;
        write!(
            f,
            "{rows:>8.0} rows/s ({median:>6.0} µs, worst {worst:>6.0} µs)"
        )
    }
}

/// Leaves the first rounds out, in which statements are prepared and files grow.
pub(crate) struct Timer {
    batch: u64,
    commits: u64,
    round: u64,
    begun: Instant,
    took: Vec<f64>,
}

impl Timer {
    const WARM_UP: u64 = 10;

    /// For so many commits of so many rows.
    pub(crate) fn new(batch: u64, commits: u64) -> Timer {
        Timer {
            batch,
            commits,
            round: 0,
            begun: Instant::now(),
            took: Vec::new(),
        }
    }

    /// How often to commit.
    pub(crate) fn rounds(&self) -> u64 {
        self.commits + Timer::WARM_UP
    }

    /// A commit begins.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// A commit has ended.
    pub(crate) fn end(&mut self) {
        self.round += 1;
        if self.round > Timer::WARM_UP {
            self.took.push(self.begun.elapsed().as_secs_f64());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few digits are enough")]
    /// What came out.
    pub(crate) fn rate(&self) -> Rate {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        let total: f64 = took.iter().sum();
        Rate {
            rows: (self.batch * self.commits) as f64 / total,
            median: took.get(took.len() / 2).map_or(0.0, |took| took * 1e6),
            worst: took.last().map_or(0.0, |took| took * 1e6),
        }
    }
}

/// A tenant by number.
pub(crate) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

/// So many events that follow a head.
pub(crate) fn append(number: u128, head: Position, batch: u64) -> Append {
    let kind = EventType::new("order.created").expect("a well-formed type");
    let events = (1..=batch).map(|step| {
        let position = head.plus(step);
        let received_at = Timestamp::from_micros(1_800_000_000_000_000)
            .plus(Duration::from_micros(position.get()));
        Arc::new(Event {
            position,
            seq: Seq::new(position.get()),
            id: event_id(received_at, position, step),
            workspace: WorkspaceId::from_uuid(Uuid::from_u128(2)),
            received_at,
            kind: kind.clone(),
            fields: Fields::default(),
            payload: PAYLOAD.into(),
            seed: Seed([3; 32]),
            prev_hash: Hash([4; 32]),
            hash: Hash([5; 32]),
        })
    });
    Append {
        tenant: tenant(number),
        expected_head: head,
        events: events.collect(),
        nodes: Vec::new(),
        answers: Vec::new(),
        sessions: Vec::new(),
        messages: Vec::new(),
    }
}

/// Outcomes of so many deliveries that follow a cursor.
fn settle(cursor: Position, batch: u64) -> Settle {
    let attempts = (1..=batch).map(|step| Attempt {
        position: cursor.plus(step),
        attempt: 1,
        at: Timestamp::from_micros(1_800_000_000_000_000),
        duration: Duration::from_millis(3),
        status: Some(200),
        error: None,
        response: Bytes::from_static(b"ok"),
        state: DeliveryState::Delivered,
    });
    Settle {
        tenant: tenant(1),
        fence: Fence::FIRST,
        progress: WebhookProgress {
            webhook: WebhookNo(1),
            cursor: cursor.plus(batch),
            has_work: true,
            breaker: Breaker::default(),
        },
        attempts: attempts.collect(),
        exceptions: Vec::new(),
        cleared: Vec::new(),
    }
}
