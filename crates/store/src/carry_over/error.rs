//! Why an installation was not carried over, by what the operator does about it.

use std::{fmt, path::PathBuf};

use domain::{ids::TenantId, ids::WorkspaceId, position::Position, region::Region};

use super::chains::Broken;
use crate::StoreError;

/// Why it was not carried over, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum CarryOverError {
    /// A database cannot be read or written. The same command goes on where it was.
    #[error("{what} of the {side}")]
    Store {
        /// At which end.
        side: Side,
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: StoreError,
    },
    /// The source was left by an older program.
    #[error(
        "{} has schema {found} and this program works with {wanted}: start `trunkline serve` once on the folder, then stop it",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: i64,
        /// The schema that it should have.
        wanted: i64,
    },
    /// The source was written by a newer program.
    #[error(
        "{} has schema {found}, which this program does not know: use the newer program that wrote it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: i64,
    },
    /// A tenant's log is not in the folder.
    #[error("{} is missing, and the tenant {tenant} lives there", path.display())]
    LogMissing {
        /// The file that should be there.
        path: PathBuf,
        /// Whose events would be lost.
        tenant: TenantId,
    },
    /// The master key is another one.
    #[error(
        "the key of the tenant {tenant} does not open: this is not the master key that the source was made with"
    )]
    OtherMasterKey {
        /// Whose key was tried.
        tenant: TenantId,
    },
    /// Somebody serves from the target.
    #[error("{nodes} node(s) serve from the target: stop them first")]
    TargetInUse {
        /// How many.
        nodes: i64,
    },
    /// The target is not empty, and what it holds is not ours.
    #[error("the target holds {what}: name an empty database")]
    TargetHolds {
        /// What.
        what: String,
    },
    /// A log is not what its chain says.
    #[error("the log of the {side}, region {region}, tenant {tenant}: {broken}")]
    Broken {
        /// At which end.
        side: Side,
        /// Which region's.
        region: Region,
        /// Whose.
        tenant: TenantId,
        /// Where, and how.
        broken: Broken,
    },
    /// The two ends do not hold the same log.
    #[error(
        "region {region}, tenant {tenant}: the target does not hold the source's log from position {position} on"
    )]
    Forked {
        /// Which region's.
        region: Region,
        /// Whose.
        tenant: TenantId,
        /// Where the difference was seen.
        position: Position,
    },
    /// The two ends do not agree about a chain.
    #[error(
        "region {region}, tenant {tenant}, workspace {workspace}, seq {seq}: {what} differs between source and target"
    )]
    ChainDiffers {
        /// Which region's.
        region: Region,
        /// Whose.
        tenant: TenantId,
        /// Which chain.
        workspace: WorkspaceId,
        /// The end of the chain.
        seq: u64,
        /// What is not the same.
        what: &'static str,
    },
    /// The two ends do not have equally many rows.
    #[error("{place}: the source has {wanted} rows and the target {found}")]
    CountDiffers {
        /// Of what.
        place: String,
        /// How many there should be.
        wanted: i64,
        /// How many there are.
        found: i64,
    },
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The embedded installation.
    Source,
    /// The server.
    Target,
}

impl CarryOverError {
    /// Whether the operator can help it by calling in another way, or at another time.
    pub fn is_usage(&self) -> bool {
        match self {
            CarryOverError::Older { .. }
            | CarryOverError::Newer { .. }
            | CarryOverError::LogMissing { .. }
            | CarryOverError::OtherMasterKey { .. }
            | CarryOverError::TargetInUse { .. }
            | CarryOverError::TargetHolds { .. } => true,
            CarryOverError::Store { .. }
            | CarryOverError::Broken { .. }
            | CarryOverError::Forked { .. }
            | CarryOverError::ChainDiffers { .. }
            | CarryOverError::CountDiffers { .. } => false,
        }
    }

    /// An error of a store, at one end.
    pub(super) fn store(
        side: Side,
        what: impl Into<String>,
    ) -> impl FnOnce(StoreError) -> CarryOverError {
        let what = what.into();
        move |source| CarryOverError::Store { side, what, source }
    }

    /// An error of a statement at the source.
    pub(super) fn source(what: impl Into<String>) -> impl FnOnce(sqlx::Error) -> CarryOverError {
        let wrap = CarryOverError::store(Side::Source, what);
        move |error| wrap(StoreError::Unavailable(error.to_string()))
    }

    /// An error of a statement at the target.
    pub(super) fn target(
        what: impl Into<String>,
    ) -> impl FnOnce(tokio_postgres::Error) -> CarryOverError {
        let wrap = CarryOverError::store(Side::Target, what);
        move |error| wrap(crate::log::postgres::sorted(error))
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}
