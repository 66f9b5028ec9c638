//! What rows ask the sink (see [`crate::roles`]).

use anyhow::{Context as _, ensure};

use crate::{
    posting,
    roles::{Latency, Playing, Role},
    wire::{self, Wire},
};

/// A running sink.
#[derive(Debug)]
pub(super) struct Sink {
    playing: Playing,
}

impl Sink {
    /// Starts one.
    pub(super) async fn start() -> anyhow::Result<Sink> {
        let playing = Role::Sink.start().await?;
        Ok(Sink { playing })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.playing.address
    }

    /// The URL of one of its endpoints.
    pub(super) fn endpoint(&self, number: usize) -> String {
        posting::endpoint(self.playing.address, number)
    }

    /// Counts from zero again.
    pub(super) async fn reset(&self) -> anyhow::Result<()> {
        self.ask("/_reset").await.map(drop)
    }

    /// Counts from zero again, and takes the time from a body's stamp to its arrival.
    pub(super) async fn reset_stamped(&self) -> anyhow::Result<()> {
        self.ask("/_reset-stamped").await.map(drop)
    }

    /// Waits until so many requests have arrived since the last reset.
    pub(super) async fn wait_for(&self, count: u64) -> anyhow::Result<Latency> {
        let seen = self.ask(&format!("/_wait-{count}")).await?;
        ensure!(
            seen.count >= count,
            "only {} of {count} deliveries arrived",
            seen.count
        );
        Ok(seen)
    }

    async fn ask(&self, path: &str) -> anyhow::Result<Latency> {
        let mut wire = Wire::open(self.playing.address)
            .await
            .context("connect to the sink")?;
        wire.exchange(&wire::get(path, "none"))
            .await
            .context("ask the sink")?;
        serde_json::from_slice(wire.body()).context("read the sink's answer")
    }
}
