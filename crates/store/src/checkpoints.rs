//! The last signed checkpoint of every workspace, in files of their own: a database that was rolled back, or changed, cannot
//! make us sign a second history.
//!
//! Decides nothing: [`domain::checkpoint::SignDecision`] does.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{event::Hash, ids::WorkspaceId, region::Region};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::StoreError;

/// What was signed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// A folder of small files, one a workspace.
#[derive(Clone)]
pub struct SignedCheckpoints {
    folder: Arc<PathBuf>,
    lock: Arc<Mutex<()>>,
}

/// Held while one checkpoint is compared and remembered.
pub struct Signing<'a> {
    folder: &'a Path,
    _lock: MutexGuard<'a, ()>,
}

#[derive(Serialize, Deserialize)]
struct File {
    size: u64,
    root: String,
}

impl SignedCheckpoints {
    /// Uses `folder`, which is made if it is not there.
    pub fn open(folder: PathBuf) -> Result<SignedCheckpoints, StoreError> {
        std::fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        Ok(SignedCheckpoints {
            folder: Arc::new(folder),
            lock: Arc::default(),
        })
    }

    /// Waits until nobody else signs.
    pub async fn lock(&self) -> Signing<'_> {
        Signing {
            folder: &self.folder,
            _lock: self.lock.lock().await,
        }
    }
}

impl Signing<'_> {
    fn path(&self, region: Region, workspace: WorkspaceId) -> PathBuf {
        self.folder
            .join(region.name())
            .join(format!("{workspace}.json"))
    }

    /// The workspaces of a region of which anything was signed.
    pub async fn all(&self, region: Region) -> Result<Vec<WorkspaceId>, StoreError> {
        let folder = self.folder.join(region.name());
        let failed = |error| failed(&folder, &error);
        let mut entries = match tokio::fs::read_dir(&folder).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut workspaces = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".json"));
            workspaces.extend(name.and_then(|name| name.parse::<WorkspaceId>().ok()));
        }
        Ok(workspaces)
    }

    /// What was signed last for the workspace.
    pub async fn last(
        &self,
        region: Region,
        workspace: WorkspaceId,
    ) -> Result<Option<Signed>, StoreError> {
        let path = self.path(region, workspace);
        let text = match tokio::fs::read(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&path, &error)),
        };
        let corrupt =
            || StoreError::Corrupt(format!("{} is not a signed checkpoint", path.display()));
        let file: File = serde_json::from_slice(&text).map_err(|_not_json| corrupt())?;
        let root = parse_hash(&file.root).ok_or_else(corrupt)?;
        Ok(Some(Signed {
            size: file.size,
            root,
        }))
    }

    /// Remembers what is about to be signed. On disk when it answers.
    pub async fn remember(
        &self,
        region: Region,
        workspace: WorkspaceId,
        signed: Signed,
    ) -> Result<(), StoreError> {
        if self.last(region, workspace).await? == Some(signed) {
            return Ok(());
        }
        let path = self.path(region, workspace);
        let file = File {
            size: signed.size,
            root: signed.root.to_string(),
        };
        let text = serde_json::to_vec(&file).expect("two plain members have a JSON form");
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        written.map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

/// Writes a file that is either the old one or the new one, whatever happens.
fn write(path: &Path, text: &[u8]) -> Result<(), StoreError> {
    let folder = path.parent().expect("a file in a folder of ours");
    let new = path.with_extension("new");
    let replace = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = std::fs::File::create(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    replace().map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return StoreError::Full;
    }
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(Hash(hash))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn what_was_signed_is_remembered_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = WorkspaceId::from_uuid(Uuid::from_u128(7));
        let signed = Signed {
            size: 9,
            root: Hash([0xab; 32]),
        };
        let checkpoints = SignedCheckpoints::open(folder.path().into()).unwrap();
        let signing = checkpoints.lock().await;
        assert_eq!(signing.last(Region::Au, workspace).await.unwrap(), None);
        signing
            .remember(Region::Au, workspace, signed)
            .await
            .unwrap();
        let again = SignedCheckpoints::open(folder.path().into()).unwrap();
        let last = again
            .lock()
            .await
            .last(Region::Au, workspace)
            .await
            .unwrap();
        assert_eq!(last, Some(signed));
        let all = again.lock().await.all(Region::Au).await.unwrap();
        assert_eq!(all, [workspace]);
        assert_eq!(again.lock().await.all(Region::Us).await.unwrap(), []);
    }
}
