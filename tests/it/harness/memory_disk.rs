//! A file system in memory: small ones fill up, and none has to wait for the machine's disk.

use std::{path::Path, process::Command};

use tempfile::TempDir;

/// A mounted file system, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryDisk {
    mount: TempDir,
}

impl MemoryDisk {
    /// Mounts one of this size.
    pub(crate) fn mount(size_mib: usize) -> MemoryDisk {
        let mount = TempDir::new().expect("a folder can be made");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_mib}m"), "tmpfs"])
            .arg(mount.path())
            .status()
            .expect("`mount` can be run");
        assert!(status.success(), "mounting needs root, which CI has");
        MemoryDisk { mount }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.mount.path()
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        // Lazily, because the engine may still have it open; if it fails, the folder stays behind.
        Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status()
            .ok();
    }
}
