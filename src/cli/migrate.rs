//! `trunkline migrate`: brings the schemas of the configured store up to date, and says what was done.
//!
//! A server does the same by itself when it starts. Refuses a schema that is newer than this program. With `--from` and `--to`
//! it carries an embedded installation over to PostgreSQL instead.

mod carry_over;

use std::path::PathBuf;

use clap::Args;

use super::{Failure, Global, print};
use crate::{
    assemble::{self, MigratedDatabase},
    config::ServerUrl,
};

/// The arguments of `trunkline migrate`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Carries an embedded installation over instead: `sqlite:DATA_DIR`. No server may run on it; it is not changed.
    #[arg(long, value_name = "SQLITE", requires = "to", value_parser = carry_over::source)]
    from: Option<PathBuf>,
    /// Where to: `postgres://USER:PASSWORD@HOST/DATABASE`, a database that holds nothing, or what an earlier run left.
    #[arg(long, value_name = "POSTGRES", requires = "from", value_parser = carry_over::target)]
    to: Option<ServerUrl>,
    /// Shows what was carried over as one JSON object.
    #[arg(long, requires = "from")]
    json: bool,
}

/// Migrates.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let settings = global.load()?.settings;
    if let (Some(from), Some(to)) = (&arguments.from, &arguments.to) {
        return carry_over::run(&settings, from, to, arguments.json);
    }
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
