//! The rows of the benchmark, and what they share. Each sets its scene, measures, and clears up.

mod batch;
mod cluster;
mod delivery;
mod devices;
mod flat_out;
mod ingest;
mod latency;
mod memory;
mod postgres;
mod readers;
mod sink;
mod tail;
mod unmatched;

use std::path::{Path, PathBuf};

use crate::{args::Args, engine::Engines, report::Line, scale::Scale};

/// What every row works with.
#[derive(Debug)]
pub(crate) struct Bench {
    /// Where engines come from.
    pub(crate) engines: Engines,
    /// How much to do.
    pub(crate) scale: Scale,
}

/// One row of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowId {
    /// Single-event ingest against a bare server.
    Ingest,
    /// Batch ingest against bulk inserts.
    Batch,
    /// Delivery of a backlog against the bare HTTP client.
    Delivery,
    /// From POST to arrival, flat out.
    FlatOut,
    /// Live readers against a bare loop.
    Tail,
    /// Ingest beside webhooks that do not match.
    Unmatched,
    /// From POST to arrival, at a tenth of the top rate.
    Latency,
    /// Memory at rest.
    Memory,
    /// Ingest with the stores on PostgreSQL against bare inserts.
    PostgresIngest,
    /// Delivery with the stores on PostgreSQL against the bare HTTP client.
    PostgresDelivery,
    /// Three nodes against one.
    Cluster,
    /// Memory of connected devices.
    IdleDevices,
    /// Devices that send.
    SendingDevices,
}

impl Bench {
    /// What the command line asked for.
    pub(crate) fn new(args: &Args) -> anyhow::Result<Bench> {
        let data_root: PathBuf = args.data_root.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Bench {
            engines: Engines {
                program: args.engine.clone(),
                data_root: data_root.canonicalize()?,
                log: args.engine_log.clone(),
            },
            scale: if args.quick {
                Scale::QUICK
            } else {
                Scale::FULL
            },
        })
    }

    /// The folder below which stores are made.
    pub(crate) fn data_root(&self) -> &Path {
        &self.engines.data_root
    }
}

impl RowId {
    /// Every row, in the order of their numbers.
    const ALL: [RowId; 13] = [
        RowId::Ingest,
        RowId::Batch,
        RowId::Delivery,
        RowId::FlatOut,
        RowId::Tail,
        RowId::Unmatched,
        RowId::Latency,
        RowId::Memory,
        RowId::PostgresIngest,
        RowId::PostgresDelivery,
        RowId::Cluster,
        RowId::IdleDevices,
        RowId::SendingDevices,
    ];

    /// The rows with these numbers; all of them if none is given.
    pub(crate) fn wanted(numbers: &[u8]) -> Vec<RowId> {
        RowId::ALL
            .into_iter()
            .filter(|row| numbers.is_empty() || numbers.contains(&row.number()))
            .collect()
    }

    /// The row's number, from 1.
    pub(crate) fn number(self) -> u8 {
        match self {
            RowId::Ingest => 1,
            RowId::Batch => 2,
            RowId::Delivery => 3,
            RowId::FlatOut => 4,
            RowId::Tail => 5,
            RowId::Unmatched => 6,
            RowId::Latency => 7,
            RowId::Memory => 8,
            RowId::PostgresIngest => 9,
            RowId::PostgresDelivery => 10,
            RowId::Cluster => 11,
            RowId::IdleDevices => 12,
            RowId::SendingDevices => 13,
        }
    }

    /// Measures the row.
    pub(crate) async fn run(self, bench: &Bench) -> anyhow::Result<Vec<Line>> {
        let row = self.number();
        match self {
            RowId::Ingest => Box::pin(ingest::run(bench, row)).await,
            RowId::Batch => Box::pin(batch::run(bench, row)).await,
            RowId::Delivery => Box::pin(delivery::run(bench, row)).await,
            RowId::FlatOut => Box::pin(flat_out::run(bench, row)).await,
            RowId::Tail => Box::pin(tail::run(bench, row)).await,
            RowId::Unmatched => Box::pin(unmatched::run(bench, row)).await,
            RowId::Latency => Box::pin(latency::run(bench, row)).await,
            RowId::Memory => Box::pin(memory::run(bench, row)).await,
            RowId::PostgresIngest => Box::pin(postgres::ingest(bench, row)).await,
            RowId::PostgresDelivery => Box::pin(postgres::delivery(bench, row)).await,
            RowId::Cluster => Box::pin(cluster::run(bench, row)).await,
            RowId::IdleDevices => Box::pin(devices::idle(bench, row)).await,
            RowId::SendingDevices => Box::pin(devices::sending(bench, row)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_picked_by_number() {
        assert_eq!(RowId::wanted(&[7, 1]), [RowId::Ingest, RowId::Latency]);
        assert_eq!(RowId::wanted(&[]), RowId::ALL);
    }
}
