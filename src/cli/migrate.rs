//! `trunkline migrate`: brings the schemas of the configured store up to date, and says what was done.
//!
//! A server does the same by itself when it starts. Refuses a schema that is newer than this program.

use clap::Args;

use super::{Failure, Global, print};
use crate::assemble::{self, MigratedDatabase};

/// The arguments of `trunkline migrate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Migrates.
pub(crate) fn run(global: &Global, _: &Arguments) -> Result<(), Failure> {
    let settings = global.load()?.settings;
    super::block_on(async {
        for step in assemble::migrations(&settings).map_err(Failure::assemble)? {
            let done = step.run().await.map_err(Failure::assemble)?;
            print(&told(&done))?;
        }
        Ok(())
    })
}

fn told(done: &MigratedDatabase) -> String {
    let MigratedDatabase { what, migrated } = done;
    if migrated.from == migrated.to {
        format!("{what}: schema {} is up to date\n", migrated.to)
    } else {
        format!(
            "{what}: schema {} was brought to {}\n",
            migrated.from, migrated.to
        )
    }
}

#[cfg(test)]
mod tests {
    use store::Migrated;

    use super::*;

    #[test]
    fn what_was_done_is_told_and_what_was_not_needed_too() {
        let told = |from, to| {
            told(&MigratedDatabase {
                what: "the control plane in data".to_owned(),
                migrated: Migrated { from, to },
            })
        };
        assert_eq!(
            told(0, 2),
            "the control plane in data: schema 0 was brought to 2\n"
        );
        assert_eq!(
            told(2, 2),
            "the control plane in data: schema 2 is up to date\n"
        );
    }
}
