//! Where an account's blob is kept: with the engine, under the fence of the session, or in a file.
//!
//! What can pass is tried again here; what is answered as an error will not pass.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use gateway::{CredentialsError, Gateway};
use tempfile::NamedTempFile;
use tracing::warn;

/// See the module.
#[derive(Clone)]
pub(crate) enum Keep {
    /// A file on this machine.
    File(PathBuf),
    /// The engine. Only the newest session of the device may write.
    Engine(Gateway),
}

/// Why the account cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The file cannot be read or written.
    #[error("the file {path} cannot be {what}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The engine does not give or take it.
    #[error("the engine does not keep the account: {0}")]
    Engine(#[from] CredentialsError),
    /// What is kept is no account.
    #[error(transparent)]
    Bad(super::BadBlob),
    /// Nobody writes any more.
    #[error("the session is over")]
    Closed,
}

/// Between two attempts to reach the engine, or to write to a disk that is full.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What the engine takes of a device's credentials.
const ENGINE_BYTES_MAX: usize = 1024 * 1024;
/// What is written into a file: far less than what is read from one, which is larger when it is inflated.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The lowest status that is the engine's own trouble and not this request's.
const SERVER_ERROR: u16 = 500;

impl Keep {
    /// A file, made when there is something to keep.
    pub(crate) fn file(path: PathBuf) -> Keep {
        Keep::File(path)
    }

    /// The largest blob that it takes.
    pub(crate) fn bytes_max(&self) -> usize {
        match self {
            Keep::File(_) => FILE_BYTES_MAX,
            Keep::Engine(_) => ENGINE_BYTES_MAX,
        }
    }

    /// What is kept.
    pub(crate) async fn load(&self) -> Result<Option<Vec<u8>>, KeepError> {
        match self {
            Keep::File(path) => match tokio::fs::read(path).await {
                Ok(blob) => Ok(Some(blob)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(KeepError::File {
                    path: path.clone(),
                    what: "read",
                    source,
                }),
            },
            Keep::Engine(gateway) => loop {
                match gateway.credentials().await {
                    Ok(kept) => return Ok(kept.bytes.map(Vec::from)),
                    Err(error) => wait_if_it_passes(error).await?,
                }
            },
        }
    }

    /// Keeps it instead of what was kept; durable when this answers.
    pub(crate) async fn save(&self, blob: Vec<u8>) -> Result<(), KeepError> {
        match self {
            Keep::File(path) => loop {
                match replaced(path, blob.clone()).await {
                    Ok(()) => return Ok(()),
                    Err(KeepError::Closed) => return Err(KeepError::Closed),
                    Err(error) => {
                        warn!("the account is not kept, and is tried again: {error}");
                        tokio::time::sleep(TRY_AGAIN_AFTER).await;
                    }
                }
            },
            Keep::Engine(gateway) => {
                let blob = Bytes::from(blob);
                loop {
                    match gateway.put_credentials(blob.clone()).await {
                        Ok(()) => return Ok(()),
                        Err(error) => wait_if_it_passes(error).await?,
                    }
                }
            }
        }
    }
}

/// Waits a little after what may be different next time.
async fn wait_if_it_passes(error: CredentialsError) -> Result<(), KeepError> {
    let passes = match &error {
        CredentialsError::Failed(_) => true,
        CredentialsError::Refused { status, .. } => *status >= SERVER_ERROR || *status == 429,
        CredentialsError::Fenced | CredentialsError::Ended(_) => false,
    };
    if !passes {
        return Err(error.into());
    }
    warn!("{error}; it is tried again");
    tokio::time::sleep(TRY_AGAIN_AFTER).await;
    Ok(())
}

async fn replaced(path: &Path, blob: Vec<u8>) -> Result<(), KeepError> {
    let to = path.to_path_buf();
    match tokio::task::spawn_blocking(move || replace(&to, &blob)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(KeepError::File {
            path: path.to_path_buf(),
            what: "written",
            source,
        }),
        Err(_broken) => Err(KeepError::Closed),
    }
}

/// Either the old blob or the new one is there, whenever the power goes.
fn replace(path: &Path, blob: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut next = NamedTempFile::new_in(folder)?;
    next.write_all(blob)?;
    next.as_file().sync_all()?;
    next.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}
