//! What the kernel knows of this process. Read when somebody asks; what cannot be read is left out.

use std::{fmt::Write as _, fs, time::Duration};

use domain::time::Timestamp;

/// The unit of processor time in `/proc`: the same on every Linux, whatever the kernel counts with.
const TICKS_A_SECOND: f64 = 100.0;

/// Adds the metrics of the process to the text of the others.
pub(super) fn append(text: &mut String, started_at: Timestamp, up_for: Duration) {
    let started_at = Duration::from_micros(u64::try_from(started_at.micros()).unwrap_or(0));
    let started_at = Some(started_at.as_secs_f64());
    let metrics = [
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory that the process holds.",
            resident_bytes(),
        ),
        (
            "process_cpu_seconds_total",
            "counter",
            "Processor time that the process has used.",
            cpu_seconds(),
        ),
        (
            "process_open_fds",
            "gauge",
            "Files and sockets that are open.",
            open_files(),
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process began, since 1970.",
            started_at,
        ),
        (
            "process_uptime_seconds",
            "gauge",
            "How long the process has run.",
            Some(up_for.as_secs_f64()),
        ),
    ];
    for (name, kind, help, value) in metrics {
        if let Some(value) = value {
            writeln!(
                text,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
            )
            .expect("a text takes what is written");
        }
    }
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024.0)
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name, in parentheses, and may hold anything. Time in user and kernel mode are
    // the 14th and 15th.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut ticks = after_name.split_ascii_whitespace().skip(11);
    let user: f64 = ticks.next()?.parse().ok()?;
    let kernel: f64 = ticks.next()?.parse().ok()?;
    Some((user + kernel) / TICKS_A_SECOND)
}

fn open_files() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}
