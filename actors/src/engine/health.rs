//! Whether the engine can do its work, and the counts that operators look at.

use std::time::Duration;

use domain::region::Region;
use store::log::Counts;

use super::Engine;
use crate::placement::{ClusterHealth, Standing};

/// How long a store may take to answer before it counts as gone.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// One region as operators see it.
#[derive(Clone, Debug)]
pub struct RegionHealth {
    /// Which.
    pub region: Region,
    /// How long a write takes, or what is wrong.
    pub probe: Result<Duration, String>,
}

/// Whether the engine is ready, and if not, why.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// How long the control plane takes, or what is wrong with it.
    pub control: Result<Duration, String>,
    /// Every region.
    pub regions: Vec<RegionHealth>,
    /// How the node stands among others; `None` if it is alone.
    pub cluster: Option<ClusterHealth>,
}

impl Readiness {
    /// Whether everything answers and this node may work. One that hears nothing of the others does what it can: it works for
    /// its own tenants and reads for all.
    pub fn is_ready(&self) -> bool {
        let may_work = |cluster: &ClusterHealth| cluster.standing == Standing::Held;
        self.cluster.as_ref().is_none_or(may_work)
            && self.control.is_ok()
            && self.regions.iter().all(|region| region.probe.is_ok())
    }
}

impl Engine {
    /// Asks every store.
    pub async fn readiness(&self) -> Readiness {
        let control = within_deadline(self.inner.control.ping()).await;
        let mut regions = Vec::new();
        for region in self.inner.logs.regions() {
            let log = self.inner.logs.get(region);
            let probe = within_deadline(log.probe()).await;
            regions.push(RegionHealth { region, probe });
        }
        Readiness {
            control,
            regions,
            cluster: self.inner.placement.health(),
        }
    }

    /// Counts over all regions, of the last 24 hours where a time matters.
    pub async fn counts(&self) -> Result<Counts, super::EngineError> {
        let since = self
            .inner
            .clock
            .now()
            .minus(Duration::from_secs(24 * 60 * 60));
        let mut sum = Counts::default();
        for region in self.inner.logs.regions() {
            let counts = self.inner.logs.get(region).counts(since).await?;
            sum.retrying += counts.retrying;
            sum.dead += counts.dead;
            sum.events += counts.events;
        }
        Ok(sum)
    }

    /// How many keys were used in the last five minutes, and how many webhooks have work.
    pub fn activity(&self) -> (usize, usize) {
        let since = self.inner.clock.now().minus(Duration::from_secs(5 * 60));
        (
            self.inner.auth.used_since(since).len(),
            self.inner.board.len(),
        )
    }
}

async fn within_deadline(
    probe: impl Future<Output = Result<Duration, store::StoreError>>,
) -> Result<Duration, String> {
    match tokio::time::timeout(PROBE_DEADLINE, probe).await {
        Ok(Ok(took)) => Ok(took),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {PROBE_DEADLINE:?}")),
    }
}
