//! The data folder: who may enter it, that only one process serves from it, and the master key that it keeps.
//!
//! Opens no database. Knows nothing of what the key protects.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use domain::seal::MasterKey;

use super::AssembleError;
use crate::config::Secret;

/// Only the owner may enter.
const FOLDER_MODE: u32 = 0o700;
/// Only the owner may read.
const SECRET_MODE: u32 = 0o600;
/// The bits that let anybody but the owner in.
const OTHERS: u32 = 0o077;

const LOCK: &str = "serve.lock";
const MASTER_KEY: &str = "master.key";
const CONTROL: &str = "control.db";
const CHECKPOINTS: &str = "checkpoints";
const KEY_NOT_SHOWN: &str = "first-key-not-shown";

/// A folder that exists.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
}

/// Keeps other servers out of the folder for as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// Where the master key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyOrigin {
    /// The configuration gave it.
    Configured,
    /// It lay in the folder.
    Kept,
    /// It was made just now, and lies in the folder.
    Made,
}

impl DataFolder {
    /// Makes the folder if it is not there, and closes it to others.
    pub(crate) fn make(path: &Path) -> Result<DataFolder, AssembleError> {
        let failed = |source| AssembleError::Folder {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .map_err(failed)?;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & OTHERS != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
        }
        Ok(DataFolder {
            path: path.to_owned(),
        })
    }

    /// The folder that a server has made before.
    pub(crate) fn existing(path: &Path) -> Result<DataFolder, AssembleError> {
        let folder = DataFolder {
            path: path.to_owned(),
        };
        match folder.control_path().try_exists() {
            Ok(true) => Ok(folder),
            Ok(false) => Err(AssembleError::NoStore {
                path: path.to_owned(),
            }),
            Err(source) => Err(AssembleError::Folder {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Keeps every other server out.
    pub(crate) fn lock(&self) -> Result<FolderLock, AssembleError> {
        let path = self.path.join(LOCK);
        let failed = |source| AssembleError::Folder {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(AssembleError::InUse {
                path: self.path.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the control plane.
    pub(crate) fn control_path(&self) -> PathBuf {
        DataFolder::control_path_in(&self.path)
    }

    /// The same for a folder that need not exist.
    pub(crate) fn control_path_in(folder: &Path) -> PathBuf {
        folder.join(CONTROL)
    }

    /// Where the last signed checkpoints are remembered.
    pub(crate) fn checkpoints_path(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Where the master key is kept.
    pub(crate) fn master_key_path(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }

    /// Finds the master key, or makes one if nothing can have been sealed under another yet. The caller holds the lock.
    pub(crate) fn master_key(
        &self,
        configured: &Secret,
    ) -> Result<(MasterKey, KeyOrigin), AssembleError> {
        if let Some(found) = self.find_master_key(configured)? {
            return Ok(found);
        }
        let path = self.master_key_path();
        if self.control_path().exists() {
            return Err(AssembleError::MasterKeyLost { path });
        }
        let key = MasterKey::generate();
        let text = format!("{}\n", key.to_hex().as_str());
        write_secret(&path, text.as_bytes())
            .map_err(|source| AssembleError::Folder { path, source })?;
        Ok((key, KeyOrigin::Made))
    }

    /// Finds the master key that the store was made with.
    pub(crate) fn kept_master_key(&self, configured: &Secret) -> Result<MasterKey, AssembleError> {
        match self.find_master_key(configured)? {
            Some((key, _)) => Ok(key),
            None => Err(AssembleError::MasterKeyLost {
                path: self.master_key_path(),
            }),
        }
    }

    fn find_master_key(
        &self,
        configured: &Secret,
    ) -> Result<Option<(MasterKey, KeyOrigin)>, AssembleError> {
        if let Some(text) = configured.reveal() {
            let key = MasterKey::parse(text).expect("the configuration took only 64 hex digits");
            return Ok(Some((key, KeyOrigin::Configured)));
        }
        let path = self.master_key_path();
        match fs::read_to_string(&path) {
            Ok(text) => match MasterKey::parse(text.trim()) {
                Ok(key) => Ok(Some((key, KeyOrigin::Kept))),
                Err(_not_hex) => Err(AssembleError::MasterKeyUnreadable { path }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(AssembleError::Folder { path, source }),
        }
    }

    /// Notes that there is, or soon will be, a first key that nobody has seen.
    pub(crate) fn note_key_not_shown(&self) -> Result<(), AssembleError> {
        let path = self.path.join(KEY_NOT_SHOWN);
        write_secret(&path, b"").map_err(|source| AssembleError::Folder { path, source })
    }

    /// Notes that the first key was shown.
    pub(crate) fn note_key_shown(&self) -> Result<(), AssembleError> {
        let path = self.path.join(KEY_NOT_SHOWN);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(AssembleError::Folder { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether a first start ended before it could show its key.
    pub(crate) fn has_key_not_shown(&self) -> bool {
        self.path.join(KEY_NOT_SHOWN).exists()
    }
}

/// Writes a file that is there whole or not at all, and that only its owner can read.
fn write_secret(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // What an ended process left behind was never taken for the real file.
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(SECRET_MODE)
        .open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, DataFolder) {
        let home = TempDir::new().unwrap();
        let folder = DataFolder::make(&home.path().join("data")).unwrap();
        (home, folder)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_and_the_key_are_closed_to_others() {
        let (home, folder) = folder();
        let none = Secret::new("");
        let (made, origin) = folder.master_key(&none).unwrap();
        assert_eq!(origin, KeyOrigin::Made);
        assert_eq!(
            (mode(folder.path()), mode(&folder.master_key_path())),
            (0o700, 0o600)
        );
        let (kept, origin) = folder.master_key(&none).unwrap();
        assert_eq!(origin, KeyOrigin::Kept);
        assert_eq!(*kept.to_hex(), *made.to_hex());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        DataFolder::make(&home.path().join("data")).unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    #[test]
    fn a_configured_key_is_not_written_down() {
        let (_home, folder) = folder();
        let (key, origin) = folder.master_key(&Secret::new(&"ab".repeat(32))).unwrap();
        assert_eq!(
            (key.to_hex().as_str(), origin),
            (&*"ab".repeat(32), KeyOrigin::Configured)
        );
        assert!(!folder.master_key_path().exists());
    }

    #[test]
    fn a_lost_or_broken_key_is_never_replaced() {
        let (_home, folder) = folder();
        fs::write(folder.control_path(), "").unwrap();
        let lost = folder.master_key(&Secret::new(""));
        assert!(matches!(lost, Err(AssembleError::MasterKeyLost { .. })));
        fs::write(folder.master_key_path(), "half a k").unwrap();
        let broken = folder.master_key(&Secret::new(""));
        assert!(matches!(
            broken,
            Err(AssembleError::MasterKeyUnreadable { .. })
        ));
    }

    #[test]
    fn a_second_server_is_kept_out() {
        let (_home, folder) = folder();
        let lock = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(AssembleError::InUse { .. })));
        drop(lock);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn a_key_that_was_not_shown_is_remembered() {
        let (_home, folder) = folder();
        assert!(!folder.has_key_not_shown());
        folder.note_key_not_shown().unwrap();
        assert!(folder.has_key_not_shown());
        folder.note_key_shown().unwrap();
        folder.note_key_shown().unwrap();
        assert!(!folder.has_key_not_shown());
    }
}
