//! What a run came to: lines with their verdicts, printed as a table and kept as JSON.
//!
//! A verdict compares, it does not excuse: a line that falls short says so in both.

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use serde::Serialize;

use crate::{
    args::Args,
    clock,
    machine::Machine,
    rounds::{Rounds, Side},
    stats::median,
};

/// All results of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What the run is called.
    pub(crate) label: String,
    /// When it began.
    pub(crate) began_at: String,
    /// Small counts: not figures to keep.
    pub(crate) quick: bool,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Every line of every row.
    pub(crate) lines: Vec<Line>,
    /// Rows that could not be measured, and why.
    pub(crate) failures: Vec<String>,
}

/// One figure of one row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// The row's number.
    pub(crate) row: u8,
    /// What is measured.
    pub(crate) name: String,
    /// Of the engine's and the ceiling's figures.
    pub(crate) unit: &'static str,
    /// The engine.
    pub(crate) engine: Side,
    /// What it is measured against, in the same run.
    pub(crate) ceiling: Option<Side>,
    /// Median over the rounds of engine divided by ceiling.
    pub(crate) ratio: Option<f64>,
    /// What is wanted.
    pub(crate) wanted: Wanted,
    /// How it came out.
    pub(crate) verdict: Verdict,
}

/// What is wanted of a line.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wanted {
    /// A share of the ceiling.
    RatioAtLeast(f64),
    /// A figure to aim at.
    AtLeast(f64),
    /// A figure to stay below.
    AtMost(f64),
    /// Nothing: the figure is for orientation.
    Nothing,
}

/// How a line came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As wanted.
    Met,
    /// Less than wanted.
    Short,
    /// Nothing was wanted.
    Shown,
}

impl Line {
    /// A line that compares the engine with a ceiling.
    pub(crate) fn compared(
        row: u8,
        name: impl Into<String>,
        unit: &'static str,
        rounds: Rounds,
        at_least: f64,
    ) -> Line {
        let ratio = rounds.ratio();
        Line {
            row,
            name: name.into(),
            unit,
            engine: rounds.engine,
            ceiling: Some(rounds.ceiling),
            ratio: Some(ratio),
            wanted: Wanted::RatioAtLeast(at_least),
            verdict: Verdict::of(ratio >= at_least),
        }
    }

    /// A line that stands for itself.
    pub(crate) fn alone(
        row: u8,
        name: impl Into<String>,
        unit: &'static str,
        engine: Side,
        wanted: Wanted,
    ) -> Line {
        let figure = median(&engine.rounds);
        let verdict = match wanted {
            Wanted::AtLeast(least) => Verdict::of(figure >= least),
            Wanted::AtMost(most) => Verdict::of(figure <= most),
            Wanted::RatioAtLeast(_) | Wanted::Nothing => Verdict::Shown,
        };
        Line {
            row,
            name: name.into(),
            unit,
            engine,
            ceiling: None,
            ratio: None,
            wanted,
            verdict,
        }
    }

    /// Prints the line.
    pub(crate) fn print(&self) {
        println!("{}", self.text());
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{:>3}  {:<44} {:>12} {:>12}  {:<8} {:>6}  {:<9} {:<5}",
            self.row,
            self.name,
            figure(median(&self.engine.rounds)),
            self.ceiling
                .as_ref()
                .map_or_else(String::new, |ceiling| figure(median(&ceiling.rounds))),
            self.unit,
            self.ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.wanted.text(),
            self.verdict.text(),
        );
        for (who, side) in [
            ("engine", Some(&self.engine)),
            ("ceiling", self.ceiling.as_ref()),
        ] {
            if let Some((p50, p99)) = side.and_then(Side::quantiles) {
                write!(text, "  {who} p50 {} p99 {}", millis(p50), millis(p99))
                    .expect("writing to memory cannot fail");
            }
        }
        text
    }
}

impl Verdict {
    fn of(is_met: bool) -> Verdict {
        if is_met { Verdict::Met } else { Verdict::Short }
    }

    fn text(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Short => "SHORT",
            Verdict::Shown => "",
        }
    }
}

impl Wanted {
    fn text(self) -> String {
        match self {
            Wanted::RatioAtLeast(ratio) => format!(">= {ratio:.2}"),
            Wanted::AtLeast(least) => format!(">= {}", figure(least)),
            Wanted::AtMost(most) => format!("<= {}", figure(most)),
            Wanted::Nothing => String::new(),
        }
    }
}

impl Report {
    /// An empty report of a run that begins now.
    pub(crate) fn new(args: &Args, data_root: &Path) -> anyhow::Result<Report> {
        let began_at = clock::now().to_string();
        let date = began_at.split('T').next().unwrap_or_default();
        Ok(Report {
            label: args.label.clone().unwrap_or_else(|| date.to_owned()),
            began_at,
            quick: args.quick,
            machine: Machine::look(data_root)?,
            lines: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Prints what stands above the lines.
    pub(crate) fn print_head(&self) {
        println!(
            "{} · {} cores · {} · Linux {} · fsync {:.2} ms{}",
            self.label,
            self.machine.cores,
            self.machine.processor,
            self.machine.kernel,
            self.machine.fsync_ms,
            if self.quick {
                " · quick: no figures to keep"
            } else {
                ""
            },
        );
        println!(
            "{:>3}  {:<44} {:>12} {:>12}  {:<8} {:>6}  {:<9}",
            "row", "measured", "engine", "ceiling", "unit", "ratio", "wanted"
        );
    }

    /// Writes the results file, and prints the JSON if that was asked for.
    pub(crate) fn finish(&self, args: &Args) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self).context("render the results")?;
        if args.json_only {
            println!("{json}");
        }
        if args.quick && args.label.is_none() {
            return Ok(());
        }
        let path = args.results.join(format!("{}.json", self.label));
        std::fs::create_dir_all(&args.results).context("make the results folder")?;
        std::fs::write(&path, json + "\n").with_context(|| format!("write {}", path.display()))?;
        if !args.json_only {
            println!("results: {}", path.display());
        }
        Ok(())
    }
}

/// A figure with as many digits as it deserves and its thousands apart.
fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for group in digits.as_bytes()[first..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&String::from_utf8_lossy(group));
    }
    text
}

fn millis(micros: u32) -> String {
    format!("{:.2} ms", f64::from(micros) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_its_thousands() {
        assert_eq!(figure(1_234_567.4), "1,234,567");
        assert_eq!(figure(123.4), "123");
        assert_eq!(figure(12.345), "12.35");
    }

    #[test]
    fn a_line_below_its_wanted_ratio_is_short() {
        let rounds = Rounds {
            engine: Side::of(vec![4.0, 6.0, 5.0]),
            ceiling: Side::of(vec![10.0, 10.0, 10.0]),
        };
        let line = Line::compared(1, "ingest", "events/s", rounds, 0.6);
        assert_eq!(line.verdict, Verdict::Short);
        assert_eq!(line.ratio, Some(0.5));
    }
}
