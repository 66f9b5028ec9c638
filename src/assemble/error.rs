//! Why there is no node, and whether whoever started it can help it.

use std::{io, path::PathBuf};

use domain::region::Region;
use outbound::{BusError, ClientError};
use store::StoreError;

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    /// Another process serves from the folder.
    #[error("another process serves from the data folder {}: stop it, or set DATA_DIR to another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder, or a file in it, cannot be used.
    #[error("{} cannot be used", path.display())]
    Folder {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing was ever stored there.
    #[error("there is no store in {}: `trunkline serve` makes it when it starts for the first time", path.display())]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// There are secrets, and nothing to open them with.
    #[error(
        "there is a store, and its master key is missing: put {} back, or set MASTER_KEY",
        path.display()
    )]
    MasterKeyLost {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The file of the key is damaged.
    #[error("{}: expected 64 hex digits, as `trunkline serve` has written them", path.display())]
    MasterKeyUnreadable {
        /// The file.
        path: PathBuf,
    },
    /// The key is a key, but another one.
    #[error("the master key is not the one that the store in {place} was made with")]
    OtherMasterKey {
        /// Where the store is.
        place: String,
    },
    /// Nodes share what is sealed: none of them can make the key for all.
    #[error(
        "storage.database_url is shared by all nodes: set MASTER_KEY to the same 64 hex digits on each of them, such as \
         `openssl rand -hex 32` makes"
    )]
    MasterKeyNotGiven,
    /// There can be no bus to the other nodes.
    #[error("the bus to the other nodes cannot be started")]
    Bus(#[source] BusError),
    /// A tenant lives where nobody serves.
    #[error("regions.enabled leaves out {region}, where the tenant {tenant} lives")]
    RegionLeftOut {
        /// Which region.
        region: Region,
        /// Whose.
        tenant: String,
    },
    /// A store cannot be opened.
    #[error("{what} cannot be opened")]
    Store {
        /// Which one.
        what: String,
        /// Why.
        source: StoreError,
    },
    /// The client that posts to webhooks cannot be made.
    #[error("the client for webhooks cannot be set up")]
    Client(#[from] ClientError),
    /// A thread cannot be started.
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
}

impl AssembleError {
    /// Whether the one who started the process can help it by starting it in another way.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            AssembleError::InUse { .. }
            | AssembleError::NoStore { .. }
            | AssembleError::MasterKeyLost { .. }
            | AssembleError::MasterKeyUnreadable { .. }
            | AssembleError::OtherMasterKey { .. }
            | AssembleError::MasterKeyNotGiven
            | AssembleError::RegionLeftOut { .. }
            | AssembleError::Store {
                source: StoreError::Unsuitable(_),
                ..
            } => true,
            AssembleError::Folder { .. }
            | AssembleError::Store { .. }
            | AssembleError::Client(_)
            | AssembleError::Bus(_)
            | AssembleError::Thread(_) => false,
        }
    }
}
