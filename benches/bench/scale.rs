//! How much a run does: the bound of every load that the bench makes.
//!
//! A full run is long enough for medians that mean something; a quick one only proves that every row can be measured.

use std::time::Duration;

/// Counts and lengths of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Rounds of each row, engine and ceiling taking turns.
    pub(crate) rounds: usize,
    /// How long a timed round lasts.
    pub(crate) round: Duration,
    /// Unmeasured load before the first round.
    pub(crate) warm_up: Duration,
    /// Rounds of the rows that count to a fixed number of events.
    pub(crate) counted_rounds: usize,
    /// Events of a backlog for one endpoint; a fifth of it for each of ten.
    pub(crate) backlog_events: u64,
    /// Events of one flat-out round.
    pub(crate) flat_out_events: u64,
    /// Live readers.
    pub(crate) tails: usize,
    /// Events that each live reader gets in a round.
    pub(crate) tail_events: u64,
    /// Webhooks that match nothing.
    pub(crate) idle_webhooks: usize,
    /// Tenants of one wave of the memory row.
    pub(crate) idle_tenants: usize,
    /// Batches of events that fill the store's caches before the memory row counts tenants.
    pub(crate) cache_batches: usize,
    /// How long what the engine remembers of sleeping tenants takes to run out.
    pub(crate) forgotten: Duration,
    /// Devices that are connected and silent.
    pub(crate) idle_devices: usize,
    /// Devices that send.
    pub(crate) sending_devices: usize,
    /// How long latency is measured.
    pub(crate) latency: Duration,
    /// Calm before memory is read.
    pub(crate) settle: Duration,
}

impl Scale {
    /// The scale whose figures are kept.
    pub(crate) const FULL: Scale = Scale {
        rounds: 5,
        round: Duration::from_secs(2),
        warm_up: Duration::from_secs(1),
        counted_rounds: 3,
        backlog_events: 50_000,
        flat_out_events: 60_000,
        tails: 1_000,
        tail_events: 2_000,
        idle_webhooks: 10_000,
        idle_tenants: 3_000,
        cache_batches: 500,
        forgotten: Duration::from_secs(30),
        idle_devices: 20_000,
        sending_devices: 1_000,
        latency: Duration::from_secs(5),
        settle: Duration::from_secs(2),
    };

    /// The scale for a smoke test.
    pub(crate) const QUICK: Scale = Scale {
        rounds: 1,
        round: Duration::from_millis(300),
        warm_up: Duration::from_millis(100),
        counted_rounds: 1,
        backlog_events: 2_000,
        flat_out_events: 2_000,
        tails: 50,
        tail_events: 400,
        idle_webhooks: 200,
        idle_tenants: 20,
        cache_batches: 5,
        forgotten: Duration::from_millis(300),
        idle_devices: 100,
        sending_devices: 20,
        latency: Duration::from_secs(1),
        settle: Duration::from_millis(300),
    };
}
