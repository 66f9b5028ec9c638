//! What the operating system knows of a process, and signals to it.

use std::{fs, process};

use tokio::process::Command;

/// Sends a signal, such as `TERM`, to one process.
pub(crate) async fn signal(process_id: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &process_id.to_string()])
        .status()
        .await
        .expect("`kill` can be run");
    assert!(sent.success(), "the signal {name} could not be sent");
}

/// Sends a signal to a process that may have ended.
pub(crate) async fn try_signal(process_id: u32, name: &str) {
    let mut command = Command::new("kill");
    command.stderr(process::Stdio::null());
    command
        .args([&format!("-{name}"), &process_id.to_string()])
        .status()
        .await
        .expect("`kill` can be run");
}

/// The same where nothing can be awaited.
pub(crate) fn signal_now(process_id: u32, name: &str) {
    process::Command::new("kill")
        .args([&format!("-{name}"), &process_id.to_string()])
        .stderr(process::Stdio::null())
        .status()
        .ok();
}

/// The processes that this one has started and that still run.
pub(crate) fn children(process_id: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("the kernel shows its processes");
    let is_child = |child: &u32| {
        // The name stands in parentheses and may hold anything; state and parent follow it.
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let parent = rest.split_ascii_whitespace().nth(1);
        parent == Some(&process_id.to_string())
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

/// Bytes of memory that a process holds and shares with no file: what it has allocated and touched.
pub(crate) fn anonymous_memory_bytes(process_id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process_id}/status"))
        .expect("a running process has a status");
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .expect("the status names RssAnon");
    kib * 1024
}

/// How many connections to a local port are open, seen from the side that listens.
pub(crate) fn established_connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel shows its connections");
    let local = format!(":{port:04X}");
    let is_ours = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_local = fields
            .next()
            .is_some_and(|address| address.ends_with(&local));
        is_local && fields.nth(1) == Some(ESTABLISHED)
    };
    table.lines().filter(is_ours).count()
}
