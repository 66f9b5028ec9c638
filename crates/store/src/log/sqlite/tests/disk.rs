//! A full disk, for which a small file system in memory is mounted.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use domain::region::Region;
use tempfile::TempDir;

use super::super::SqliteLog;
use crate::{
    StoreError,
    log::{
        RegionLog as _, Write,
        conformance::author::{Author, commit_one, read_all},
    },
};

/// A file system of a few MiB; goes when dropped.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn new(mebibytes: u32) -> SmallDisk {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(folder.path())
            .status()
            .expect("mount can be run");
        assert!(
            mounted.success(),
            "this test must be able to mount a file system"
        );
        SmallDisk { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all the room that is left, but for so many bytes.
    fn fill(&self, room: u64) -> PathBuf {
        use std::io::Write as _;

        let path = self.path().join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let block = [1_u8; 4_096];
        let mut length = 0;
        while file.write_all(&block).is_ok() {
            length += 4_096;
        }
        file.set_len(length - room.min(length)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "the file system stays mounted"
        );
    }
}

/// Appends until the disk is full; answers how many events were acknowledged.
async fn write_until_full(log: &SqliteLog, author: &mut Author, batch: usize) -> usize {
    let mut acknowledged = 0;
    loop {
        let mut events = author.events(batch);
        for event in &mut events {
            event.payload = vec![b'1'; 3_000].into();
        }
        match log.commit(&[Write::Append(author.append(events))]).await {
            Ok(outcomes) => {
                assert!(outcomes[0].is_ok(), "{outcomes:?}");
                acknowledged += batch;
            }
            Err(StoreError::Full) => return acknowledged,
            Err(other) => panic!("not reported as a full disk: {other:?}"),
        }
        assert!(acknowledged < 100_000, "the disk does not fill up");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_whole_commits_and_service_resumes_with_room() {
    for (batch, room) in [(1, 0), (7, 40_000), (300, 200_000), (64, 1_000_000)] {
        let disk = SmallDisk::new(8);
        let log = SqliteLog::open(disk.path(), Region::Au).await.unwrap();
        let mut author = Author::new(1);
        author.write(&log, 1).await;
        let ballast = disk.fill(room);
        let acknowledged = 1 + write_until_full(&log, &mut author, batch).await;

        // What was acknowledged is there, and nothing else, now and whenever it is tried again.
        for _ in 0..3 {
            assert_eq!(read_all(&log, author.tenant).await.len(), acknowledged);
            let mut newcomer = Author::new(2);
            let refused = {
                let mut events = newcomer.events(300);
                for event in &mut events {
                    event.payload = vec![b'2'; 30_000].into();
                }
                log.commit(&[Write::Append(newcomer.append(events))]).await
            };
            assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
            assert_eq!(read_all(&log, newcomer.tenant).await, []);
        }
        std::fs::remove_file(ballast).unwrap();
        let mut again = Author::new(1);
        again.events(acknowledged);
        let events = again.events(2);
        commit_one(&log, Write::Append(again.append(events))).await;
        Author::new(2).write(&log, 1).await;
        assert_eq!(read_all(&log, author.tenant).await.len(), acknowledged + 2);
        log.close().await;
        let log = SqliteLog::open(disk.path(), Region::Au).await.unwrap();
        assert_eq!(read_all(&log, author.tenant).await.len(), acknowledged + 2);
        log.close().await;
    }
}
