//! What the text of the metrics looks like.

use std::{collections::HashSet, fs, path::Path};

use super::*;

fn rendered(count: impl FnOnce()) -> String {
    let now = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let shown = Arc::clone(&now);
    let clock = Clock::new(Timestamp::from_micros(1_000_000), move || {
        Duration::from_secs(shown.load(std::sync::atomic::Ordering::Relaxed))
    });
    let (recorder, metrics) = Metrics::build(clock).unwrap();
    metrics::with_local_recorder(&recorder, || {
        describe();
        count();
    });
    now.store(7, std::sync::atomic::Ordering::Relaxed);
    metrics.render()
}

#[test]
fn every_metric_has_a_type_and_a_help_before_its_values() {
    let text = rendered(|| {
        metrics::counter!(HTTP_REQUESTS, "route" => "/v1/events", "status" => "202").increment(2);
        metrics::histogram!("commit_seconds", "region" => "AU").record(0.003);
        metrics::histogram!("commit_parts", "region" => "AU").record(3.0);
        metrics::gauge!("outbound_posts_in_flight").set(1.0);
    });
    let (mut helped, mut typed) = (HashSet::new(), HashSet::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.insert(rest.split(' ').next().unwrap().to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            typed.insert(rest.split(' ').next().unwrap().to_owned());
        } else {
            let name = line.split([' ', '{']).next().unwrap();
            let series = ["_bucket", "_sum", "_count"];
            let base = series.iter().find_map(|suffix| name.strip_suffix(suffix));
            let name = base.unwrap_or(name);
            assert!(helped.contains(name) && typed.contains(name), "{line}");
        }
    }
    assert!(text.contains("http_requests_total{route=\"/v1/events\",status=\"202\"} 2"));
    assert!(text.contains("commit_seconds_bucket{region=\"AU\",le=\"0.005\"} 1"));
    assert!(text.contains("commit_parts_bucket{region=\"AU\",le=\"5\"} 1"));
    assert!(text.contains("process_uptime_seconds 7\n"));
    assert!(text.contains("process_start_time_seconds 1\n"));
}

#[test]
fn names_say_what_they_count_in() {
    for (name, kind, help) in DESCRIPTIONS {
        let is_counter = matches!(kind, Kind::Counter);
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert!(help.ends_with('.'), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_knows_itself() {
    let text = rendered(|| ());
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(text.contains(&format!("\n{name} ")), "{name}");
    }
}

/// The names that the sources in a folder count under, where they are written out.
fn names_in(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for call in [
                "metrics::counter!(",
                "metrics::gauge!(",
                "metrics::histogram!(",
            ] {
                let uses = text.split(call).skip(1);
                let quoted = uses.filter_map(|after| after.trim_start().strip_prefix('"'));
                names.extend(quoted.filter_map(|name| Some(name.split_once('"')?.0.to_owned())));
            }
        }
    }
}

#[test]
fn every_metric_that_the_engine_counts_is_described() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    for folder in ["actors/src", "crates", "src/http"] {
        names_in(&root.join(folder), &mut names);
    }
    assert!(!names.is_empty());
    for name in names {
        assert!(
            DESCRIPTIONS
                .iter()
                .any(|(described, _, _)| *described == name),
            "{name}"
        );
    }
}

/// The first two cells of each line of the operating page's table: name and kind.
fn names_on_the_page() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating/metrics.md");
    let text = fs::read_to_string(page).unwrap();
    let cells = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, cells.next()?.trim().to_owned()))
    };
    text.lines().filter_map(cells).collect()
}

#[test]
fn the_operating_page_explains_exactly_the_metrics_that_there_are() {
    let mut there_are: Vec<(String, String)> = DESCRIPTIONS
        .iter()
        .map(|(name, kind, _)| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            ((*name).to_owned(), kind.to_owned())
        })
        .collect();
    // Those of the process are not counted, but read when somebody asks.
    let text = rendered(|| ());
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for (name, kind) in kinds.filter_map(|line| line.split_once(' ')) {
        if name.starts_with("process_") {
            there_are.push((name.to_owned(), kind.to_owned()));
        }
    }
    let mut explained = names_on_the_page();
    there_are.sort();
    explained.sort();
    assert_eq!(explained, there_are);
}
