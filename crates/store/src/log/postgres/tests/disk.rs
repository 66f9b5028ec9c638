//! A full disk, for which a small file system in memory holds the tables of the log.

use std::process::Command;

use domain::region::Region;
use tempfile::TempDir;

use super::{
    super::PostgresLog,
    ground::{Database, connect},
};
use crate::{
    PostgresOptions, StoreError,
    log::{
        RegionLog as _, Write,
        conformance::author::{Author, commit_one, read_all},
    },
};

/// A file system of some MiB that the server may write to; goes when dropped.
struct SmallDisk {
    folder: TempDir,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).status();
    status.is_ok_and(|status| status.success())
}

impl SmallDisk {
    fn new(mebibytes: u32) -> SmallDisk {
        let folder = TempDir::new().unwrap();
        let path = folder.path().to_str().unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", path]);
        assert!(mounted, "this test must be able to mount a file system");
        assert!(run("mkdir", &[&format!("{path}/tables")]));
        assert!(run("chown", &["-R", "postgres", path]));
        SmallDisk { folder }
    }

    fn path(&self) -> String {
        format!("{}/tables", self.folder.path().display())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.folder.path().to_str().unwrap();
        assert!(
            run("umount", &["-l", path]),
            "the file system stays mounted"
        );
    }
}

/// An append of events whose payloads cannot be compressed.
fn large(author: &mut Author) -> Write {
    let mut events = author.events(20);
    for event in &mut events {
        let mut state = 0x9e37_79b9_7f4a_7c15 ^ event.position.get();
        let bytes = (0..6_000).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        });
        event.payload = bytes.collect::<Vec<u8>>().into();
    }
    Write::Append(author.append(events))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_whole_commits_and_service_resumes_with_room() {
    let disk = SmallDisk::new(24);
    let database = Database::new().await;
    let name = database.name();
    let admin = connect(database.server()).await;
    let make = format!("CREATE TABLESPACE {name} LOCATION '{}'", disk.path());
    admin.batch_execute(&make).await.unwrap();
    let client = connect(&database.url()).await;
    let place = format!("ALTER DATABASE {name} SET default_tablespace = {name}");
    client.batch_execute(&place).await.unwrap();
    let log = PostgresLog::open(&PostgresOptions::new(database.url()), Region::Au)
        .await
        .unwrap();
    let ballast = format!(
        "SET default_tablespace = {name}; CREATE TABLE heavy AS
         SELECT n, repeat('x', 1000) AS text FROM generate_series(1, 4000) AS n"
    );
    client.batch_execute(&ballast).await.unwrap();

    let mut author = Author::new(1);
    let mut acknowledged = 0;
    loop {
        match log.commit(&[large(&mut author)]).await {
            Ok(outcomes) => assert!(outcomes[0].is_ok(), "{outcomes:?}"),
            Err(StoreError::Full) => break,
            Err(other) => panic!("not reported as a full disk: {other:?}"),
        }
        acknowledged += 20;
        assert!(acknowledged < 10_000, "the disk does not fill up");
    }
    assert!(acknowledged > 0);
    for _ in 0..3 {
        assert_eq!(read_all(&log, author.tenant).await.len(), acknowledged);
        let mut again = Author::new(1);
        again.events(acknowledged);
        let refused = log.commit(&[large(&mut again)]).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    }
    client.batch_execute("DROP TABLE heavy").await.unwrap();
    // Files of dropped tables are cut at once and removed by the next checkpoint.
    client.batch_execute("CHECKPOINT").await.unwrap();
    let mut again = Author::new(1);
    again.events(acknowledged);
    commit_one(&log, large(&mut again)).await;
    assert_eq!(read_all(&log, author.tenant).await.len(), acknowledged + 20);

    log.close().await;
    drop((log, client, database));
    admin
        .batch_execute(&format!("DROP TABLESPACE {name}"))
        .await
        .unwrap();
}
