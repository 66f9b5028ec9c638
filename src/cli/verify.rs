//! `trunkline verify`: checks an export, or the proof of one event, without any server.
//!
//! Reads files and shows what came of it. What is right and what is wrong is decided in `domain::verify`.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::PathBuf,
};

use clap::Args;
use domain::{
    checkpoint::NoteVerifier,
    verify::{Fault, FileError, ProofReport, Report, Shape, Trust, verify_export, verify_proof},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Failure, print};

/// How often an export is read: for its manifest, and for its events.
const READINGS: u64 = 2;
/// How far a file is looked at to see what it is.
const PEEK_BYTES: u64 = 512;
/// The longest proof: one event, and a path of a few hashes.
const PROOF_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The arguments of `trunkline verify`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An export (NDJSON or JSON), or the answer of GET /v1/events/{id}/proof.
    file: PathBuf,
    /// The key that must have signed, such as trunkline/AU+1a2b3c4d+…; without it the file's own is taken, which proves
    /// that nobody without that key changed the file, and not whose key it is.
    #[arg(long, value_name = "VERIFIER")]
    key: Option<NoteVerifier>,
    /// Shows the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was verified.
enum Verified {
    Export(Report),
    Proof(ProofReport),
}

/// Verifies the file: success if all is as it was signed, exit code 1 if not, 2 if it cannot be read.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let outcome = verify(arguments);
    let name = arguments.file.display();
    match outcome {
        Ok(verified) => print(&shown(&verified, arguments.json)),
        Err(FileError::Read(error)) => {
            let error = anyhow::Error::new(error).context(format!("read {name}"));
            Err(Failure::Usage(error))
        }
        Err(FileError::Fault(fault)) => {
            if arguments.json {
                print(&fault_json(&fault))?;
            }
            let fault = anyhow::Error::new(fault).context(format!("{name} does not verify"));
            Err(Failure::Failed(fault))
        }
    }
}

fn verify(arguments: &Arguments) -> Result<Verified, FileError> {
    let open = || File::open(&arguments.file);
    let key = arguments.key.as_ref();
    let mut beginning = Vec::new();
    open()?.take(PEEK_BYTES).read_to_end(&mut beginning)?;
    match Shape::of(&beginning) {
        Shape::Proof => {
            let mut proof = Vec::new();
            open()?.take(PROOF_BYTES_MAX).read_to_end(&mut proof)?;
            Ok(Verified::Proof(verify_proof(&proof, key)?))
        }
        Shape::Ndjson | Shape::Json => {
            let bar = bar(open()?.metadata()?.len() * READINGS);
            let report = verify_export(
                || {
                    Ok(Counted {
                        file: BufReader::new(open()?),
                        bar: &bar,
                    })
                },
                key,
            );
            bar.finish_and_clear();
            Ok(Verified::Export(report?))
        }
    }
}

fn fault_json(fault: &Fault) -> String {
    let (workspace, seq) = fault.first_bad().unzip();
    let report = json!({ "ok": false, "fault": fault.to_string(), "workspace": workspace, "first_bad_seq": seq });
    format!("{report}\n")
}

/// Hidden where nobody looks.
fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    let template = "{bar:40} {percent:>3} %, {binary_bytes_per_sec}, {eta} to go";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is tested"));
    bar
}

/// Counts what is read.
struct Counted<'a> {
    file: BufReader<File>,
    bar: &'a ProgressBar,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(into)?;
        self.bar.inc(length as u64);
        Ok(length)
    }
}

fn shown(verified: &Verified, as_json: bool) -> String {
    if as_json {
        let report = match verified {
            Verified::Export(report) => json!({ "ok": true, "export": report }),
            Verified::Proof(report) => json!({ "ok": true, "proof": report }),
        };
        return format!("{report}\n");
    }
    match verified {
        Verified::Export(report) => export_text(report),
        Verified::Proof(ProofReport {
            event,
            origin,
            tree_size,
            key,
            ..
        }) => {
            let signer = signer(key);
            format!("OK: {event} is one of the {tree_size} events of {origin}\n{signer}\n")
        }
    }
}

fn export_text(report: &Report) -> String {
    let Report {
        tenant,
        region,
        count,
        made_at,
        ..
    } = report;
    let mut text =
        format!("OK: {count} events of {tenant} in region {region}, exported {made_at}\n");
    for range in &report.workspaces {
        let (first, last) = (range.first_seq, range.last_seq);
        text += &format!(
            "  {}: {} events, seq {first} to {last}\n",
            range.workspace, range.count
        );
    }
    text += match (report.complete, report.truncated_by_limit) {
        (true, false) => "Every event between the first and the last of each workspace is there\n",
        (true, true) => "Every event up to the row limit is there; what follows was not exported\n",
        (false, _) => {
            "The export is a selection: events that it leaves out cannot be told from it\n"
        }
    };
    text + &signer(&report.key) + "\n"
}

fn signer(key: &Trust) -> String {
    match key {
        Trust::Expected(key) => format!("Signed by the expected key {key}"),
        Trust::Stated(key) => {
            format!("Signed by {key}, as the file itself says: compare it, or pass it as --key")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_valid_template() {
        assert_eq!(bar(10).length(), Some(10));
    }
}
