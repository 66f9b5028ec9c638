//! What the run was made on, as far as it explains the figures.

use std::{fs::File, io::Write as _, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::Instant;

use crate::stats::median;

/// Writes whose time is taken to learn what one fsync costs.
const SYNCS: usize = 30;

/// The machine under the run.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Threads that can run at once.
    pub(crate) cores: usize,
    /// The processor's name, if the system tells it.
    pub(crate) processor: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Median time of a 4 KiB append with fsync, in milliseconds.
    pub(crate) fsync_ms: f64,
}

impl Machine {
    /// Looks at the machine, and measures fsync in `data_root`.
    pub(crate) fn look(data_root: &Path) -> anyhow::Result<Machine> {
        let cores = std::thread::available_parallelism().context("count the cores")?;
        Ok(Machine {
            cores: cores.get(),
            processor: processor(),
            kernel: read("/proc/sys/kernel/osrelease"),
            fsync_ms: fsync_ms(data_root)?,
        })
    }
}

fn processor() -> String {
    read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_owned())
        .unwrap_or_default()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn fsync_ms(data_root: &Path) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir_in(data_root).context("make a folder for the fsync probe")?;
    let mut file = File::create(folder.path().join("probe")).context("make the probe's file")?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started_at = Instant::now();
        file.write_all(&[7; 4096]).context("write the probe")?;
        file.sync_data().context("sync the probe")?;
        times.push(started_at.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(&times))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .map(|kib| kib * 1_024)
        .with_context(|| format!("{path} has no VmRSS"))
}

/// Resident memory of a process that has come to rest: `settle` of calm, then the median of five readings.
pub(crate) async fn settled_bytes(process: u32, settle: Duration) -> anyhow::Result<f64> {
    tokio::time::sleep(settle).await;
    let mut readings = Vec::new();
    for _ in 0..5 {
        let bytes = u32::try_from(resident_bytes(process)? / 1_024).context("more than 4 TiB")?;
        readings.push(f64::from(bytes) * 1_024.0);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(median(&readings))
}
