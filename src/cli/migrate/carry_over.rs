//! `trunkline migrate --from --to`: carries an embedded installation over to PostgreSQL, shows how far it is, and says what to
//! do afterwards.
//!
//! What is carried, and how it is proved, is decided in `store::carry_over`. Never shows the master key or a password.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use store::carry_over::{Broken, Carried, CarryOver, CarryOverError, Outcome, Progress};

use super::super::{Failure, block_on, print};
use crate::{
    assemble::DataFolder,
    config::{Database, ServerUrl, Settings},
};

/// Reads `sqlite:DATA_DIR`.
pub(super) fn source(text: &str) -> Result<PathBuf, String> {
    let path = text.strip_prefix("sqlite:").unwrap_or_default();
    match path.strip_prefix("//").unwrap_or(path) {
        "" => Err("expected sqlite: and the data folder, such as sqlite:data".to_owned()),
        path => Ok(path.into()),
    }
}

/// Reads `postgres://…`.
pub(super) fn target(text: &str) -> Result<ServerUrl, String> {
    match Database::try_from(text.to_owned()) {
        Ok(Database::Postgres(url)) => Ok(url),
        Ok(Database::Embedded) => Err("expected postgres://USER:PASSWORD@HOST/DATABASE".to_owned()),
        Err(expected) => Err(expected.to_owned()),
    }
}

/// Carries the folder over: success if all is there and verified, exit code 1 if not, 2 if it was refused before it began.
pub(super) fn run(
    settings: &Settings,
    from: &Path,
    to: &ServerUrl,
    as_json: bool,
) -> Result<(), Failure> {
    let folder = DataFolder::existing(from).map_err(Failure::assemble)?;
    let _lock = folder.lock().map_err(Failure::assemble)?;
    let master_key = folder
        .kept_master_key(&settings.security.master_key)
        .map_err(Failure::assemble)?;
    let bar = bar();
    let work = CarryOver {
        folder: folder.path(),
        control: &folder.control_path(),
        target: &settings.postgres.options(to),
        master_key: &master_key,
        watch: &|progress| show(&bar, progress),
    };
    block_on(async {
        let outcome = Box::pin(work.run()).await;
        bar.finish_and_clear();
        match outcome {
            Ok(outcome) if as_json => print(&format!("{}\n", outcome_json(&outcome))),
            Ok(outcome) => print(&told(&outcome, &folder, to)),
            Err(error) => {
                if as_json {
                    print(&format!("{}\n", error_json(&error)))?;
                }
                Err(failure(error))
            }
        }
    })
}

fn failure(error: CarryOverError) -> Failure {
    let is_usage = error.is_usage();
    let error = anyhow::Error::new(error);
    if is_usage {
        Failure::Usage(error.context("nothing was carried over"))
    } else {
        Failure::Failed(error.context("the installation was not carried over"))
    }
}

/// Hidden where nobody looks.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{bar:40} {percent:>3} %, {per_sec}, {eta} to go, {msg}";
    bar.set_style(ProgressStyle::with_template(template).expect("the template is tested"));
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Expected(steps) => bar.set_length(steps),
        Progress::Tenant(region, tenant) => bar.set_message(format!("{region} {tenant}")),
        Progress::Done(steps) => bar.inc(steps),
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::AlreadyDone { at } => {
            json!({ "ok": true, "already_done": true, "finished_at": at })
        }
        Outcome::Carried(Carried {
            tenants,
            control_rows,
            regions,
        }) => {
            let regions = regions.iter().map(|one| {
                json!({
                    "region": one.region.name(),
                    "tenants": one.tenants,
                    "events": one.events,
                    "workspaces": one.workspaces,
                    "rows": one.rows,
                })
            });
            json!({
                "ok": true,
                "already_done": false,
                "tenants": tenants,
                "control_rows": control_rows,
                "regions": regions.collect::<Vec<_>>(),
            })
        }
    }
}

fn error_json(error: &CarryOverError) -> Value {
    let mut report = json!({ "ok": false, "error": error.to_string() });
    match error {
        CarryOverError::Broken { tenant, broken, .. } => {
            let Broken {
                workspace,
                position,
                seq,
                ..
            } = broken;
            report["tenant"] = json!(tenant);
            report["workspace"] = json!(workspace);
            report["position"] = json!(position);
            report["first_bad_seq"] = json!(seq);
        }
        CarryOverError::ChainDiffers {
            tenant,
            workspace,
            seq,
            ..
        } => {
            report["tenant"] = json!(tenant);
            report["workspace"] = json!(workspace);
            report["seq"] = json!(seq);
        }
        CarryOverError::Forked {
            tenant, position, ..
        } => {
            report["tenant"] = json!(tenant);
            report["position"] = json!(position);
        }
        CarryOverError::Store { .. }
        | CarryOverError::Older { .. }
        | CarryOverError::Newer { .. }
        | CarryOverError::LogMissing { .. }
        | CarryOverError::OtherMasterKey { .. }
        | CarryOverError::TargetInUse { .. }
        | CarryOverError::TargetHolds { .. }
        | CarryOverError::CountDiffers { .. } => {}
    }
    report
}

fn told(outcome: &Outcome, folder: &DataFolder, to: &ServerUrl) -> String {
    let mut text = match outcome {
        Outcome::AlreadyDone { at } => {
            return format!(
                "{} was carried over to {to} at {at} already: nothing was done\n",
                folder.path().display()
            );
        }
        Outcome::Carried(Carried {
            tenants,
            control_rows,
            ..
        }) => {
            format!("OK: {tenants} tenants, {control_rows} rows of the control plane are in {to}\n")
        }
    };
    if let Outcome::Carried(carried) = outcome {
        for one in &carried.regions {
            text += &format!(
                "  {}: {} events in {} workspaces of {} tenants, every chain computed anew; {} other rows\n",
                one.region, one.events, one.workspaces, one.tenants, one.rows
            );
        }
    }
    text + &next_steps(folder, to)
}

/// What the operator has to do now.
fn next_steps(folder: &DataFolder, to: &ServerUrl) -> String {
    let key_file = folder.master_key_path();
    let key = if key_file.exists() {
        format!("the 64 hex digits in {}", key_file.display())
    } else {
        "the same as now".to_owned()
    };
    format!(
        "\nSet on every node:\n  DATABASE_URL={to}\n  MASTER_KEY=({key})\n\
         Copy {} into the data folder of every node, so that a log that was rolled back is noticed.\n\
         Start no server on {} any more: what it took in would not be in the new store. Keep the folder until you have a backup.\n",
        folder.checkpoints_path().display(),
        folder.path().display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_has_a_valid_template() {
        show(&bar(), Progress::Expected(10));
    }

    #[test]
    fn only_a_folder_can_be_the_source_and_only_a_server_the_target() {
        assert_eq!(source("sqlite:data").unwrap(), PathBuf::from("data"));
        assert_eq!(
            source("sqlite:///var/data").unwrap(),
            PathBuf::from("/var/data")
        );
        for text in ["", "sqlite:", "data", "postgres://h/d"] {
            assert!(source(text).is_err(), "{text}");
        }
        assert!(target("postgres://u:p@h/d").is_ok());
        for text in ["", "sqlite:", "sqlite:data", "mysql://h/d"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_to_do_next_shows_no_secret() {
        let home = tempfile::TempDir::new().unwrap();
        let folder = DataFolder::make(&home.path().join("data")).unwrap();
        std::fs::write(folder.master_key_path(), "ab".repeat(32)).unwrap();
        let to = target("postgres://user:s3cret@host/db").unwrap();
        let said = next_steps(&folder, &to);
        assert!(!said.contains("s3cret") && !said.contains("abab"), "{said}");
        assert!(
            said.contains("master.key") && said.contains("checkpoints"),
            "{said}"
        );
    }
}
